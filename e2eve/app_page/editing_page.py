"""The page on which people edit images: what is sent, what is drawn of it, what is shown."""

import base64
import binascii
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from e2eve.app_page.queue import Progress, WorkQueue
from e2eve.app_page.site import PNG, Answer, Site
from e2eve.config import read_settings
from e2eve.data.toyfaces.example import example_edit
from e2eve.editing import Driver, Picture
from e2eve.editing.inputs import as_region
from e2eve.editor import Editor
from e2eve.geometry import Box
from e2eve.limits import NonNegative, NonNegativeFloat, Positive, PositiveFloat
from e2eve.reporting.page import script_safe

MAX_POINTS = 20_000  # of all strokes
FAR = 100_000.0  # coordinates of strokes in pixels are nearer to 0


@dataclass(frozen=True)
class Mark:
    """A stroke of the brush or the eraser along points, or a box by two opposite corners.

    Attributes:
        points: (x, y) in pixels of the source.
        radius: of a stroke, in pixels of the source.
    """

    tool: Literal["box", "brush", "eraser"]
    points: list[tuple[float, float]]
    radius: NonNegativeFloat = 0.0


@dataclass(frozen=True)
class EditForm:
    """What the page sends; images as the bytes of their files in base 64.

    Attributes:
        driver_box: left, top, right and bottom of the square of the driver's image that is the
            driver; None: the largest centred one.
        driver_hidden: strokes over what the driver does not show, in pixels of its image.
    """

    source: str
    driver: str
    marks: list[Mark]
    num_samples: Positive
    seed: NonNegative
    temperature: NonNegativeFloat
    top_p: PositiveFloat
    guidance: NonNegativeFloat
    driver_box: tuple[int, int, int, int] | None = None
    driver_hidden: list[Mark] = field(default_factory=list)


@dataclass(frozen=True)
class Limits:
    """What is refused, each with a sentence."""

    max_megabytes: PositiveFloat  # of both images together
    max_megapixels: PositiveFloat  # of each
    max_samples: Positive
    max_seconds: PositiveFloat
    max_waiting: Positive


class Drawn(NamedTuple):
    """Files of edits, best first, and samples and remarks in words for the page."""

    images: list[bytes]
    grid: bytes
    samples: list[dict[str, Any]]
    remarks: list[str]


@dataclass
class EditingSite(Site):
    """Images sent, edited in turn and handed back; they are kept in memory until fetched.

    Args:
        name: of the editor, as the page shows it.
        start: values that the page's fields begin with.
        sampling: further sampling settings, the same for all edits.
    """

    editor: Editor
    name: str
    limits: Limits
    start: dict[str, Any]
    sampling: dict[str, Any] = field(default_factory=dict)

    template = "editing.html.j2"

    def __post_init__(self) -> None:
        self.queue = WorkQueue(self.limits.max_waiting, self.limits.max_seconds)
        _ = self.editor.extractor  # built before anybody waits for it

    def content(self) -> dict[str, Any]:
        limits, editor = self.limits, self.editor
        data = {
            "max_bytes": int(limits.max_megabytes * 1e6),
            "max_pixels": int(limits.max_megapixels * 1e6),
            "total": editor.transformer.layout.target,
        }
        shown = {"name": self.name, "limits": limits, "start": self.start, "title": "e2eve"}
        return {**shown, "data": script_safe(data)}

    def answer(self, method: str, names: list[str], body: Any) -> Answer | None:
        match method, names:
            case "GET", ["example"]:
                return Answer.of(self.example)
            case "GET", ["queue"]:
                return Answer.of({"length": len(self.queue)})
            case "POST", ["edits"]:
                form = read_form(body, self.limits)
                return Answer.of({"name": self.queue.add(partial(self.drawn, form))})
            case "GET", ["edits", name]:
                return Answer.of(self.state(name))
            case "GET", ["edits", name, file]:
                return self.file(name, file)
            case "DELETE", ["edits", name]:
                self.queue.drop(name)
                return Answer.of({})
        return None

    @cached_property
    def example(self) -> dict[str, Any]:
        """Both images, the mark, and left, top and side of what is cropped out of the driver's."""
        found = example_edit(self.editor.image_size)
        box, shown = found.region, found.shown
        corners = [(box.left, box.top), (box.right, box.bottom)]
        images = {"source": found.source, "driver": found.other}
        return {
            **{k: base64.b64encode(png(Image.fromarray(v))).decode() for k, v in images.items()},
            "mark": {"tool": "box", "points": corners, "radius": 0},
            "crop": [shown.left, shown.top, shown.width],
        }

    def state(self, name: str) -> dict[str, Any]:
        job, ahead = self.queue.look(name)
        samples = job.result.samples if job.result else []
        return {
            "state": job.state,
            "ahead": ahead,
            "done": job.done,
            "message": job.message,
            "samples": samples,
            "remarks": job.result.remarks if job.result else [],
        }

    def file(self, name: str, file: str) -> Answer | None:
        """A result: grid.png, or 0.png for the best edit, 1.png for the next."""
        job, _ = self.queue.look(name)
        if job.result is None:
            return None
        files = {f"{n}.png": data for n, data in enumerate(job.result.images)}
        found = {**files, "grid.png": job.result.grid}.get(file)
        return found and Answer(PNG, found)

    def drawn(self, form: EditForm, progress: Progress) -> Drawn:
        """The edits that a form asks for: `Editor.edit` with the same arguments."""
        source = self._image(form.source, "source")
        driver = self._image(form.driver, "driver")
        names = ("temperature", "top_p", "guidance")
        found = self.editor.edit(
            source.image(),
            Driver(driver.image(), driver_part(form, *driver.size)),
            marked(form.marks, *source.size),
            num_samples=form.num_samples,
            seed=form.seed,
            progress=progress,
            **{**self.sampling, **{name: getattr(form, name) for name in names}},
        )
        images = []
        for image in found.images:
            images.append(png(image))
            progress(self.editor.transformer.layout.target)
        scores = zip(found.scores, found.numbers, strict=True)
        samples = [{"score": round(score, 3), "number": number} for score, number in scores]
        return Drawn(images, png(found.grid()), samples, found.remarks)

    def _image(self, sent: str, what: str) -> Picture:
        try:
            data = base64.b64decode(sent, validate=True)
        except binascii.Error:
            raise ValueError(f"The {what} was not sent in base 64.") from None
        image = Picture.of(io.BytesIO(data), what)
        pixels = image.size[0] * image.size[1]
        if pixels > self.limits.max_megapixels * 1e6:
            raise ValueError(
                f"The {what} has {pixels / 1e6:.1f} megapixels and the limit is "
                f"{self.limits.max_megapixels:g}: take a smaller image."
            )
        return image


def read_form(body: Any, limits: Limits) -> EditForm:
    """Raises ValueError for what is missing, misshapen or out of range."""
    if not isinstance(body, dict):
        raise ValueError("What was sent is no form.")
    form = read_settings(body, EditForm)
    if form.num_samples > limits.max_samples:
        raise ValueError(
            f"{form.num_samples} samples are asked for and the limit is {limits.max_samples}."
        )
    points = [point for mark in [*form.marks, *form.driver_hidden] for point in mark.points]
    if len(points) > MAX_POINTS or any(abs(x) > FAR for point in points for x in point):
        raise ValueError("There are too many strokes: clear them and mark again.")
    return form


def marked(marks: Sequence[Mark], width: int, height: int) -> Bool[np.ndarray, "height width"]:
    """Where the marks leave the source of `width` × `height` pixels marked, one after the other.

    Raises:
        ValueError: when that is nowhere.
    """
    mask = _covered(marks, width, height)
    if not mask.any():
        raise ValueError("No pixel of the source is marked: drag a box over it, or paint.")
    return mask


def driver_part(
    form: EditForm, width: int, height: int
) -> Box | Bool[np.ndarray, "height width"] | None:
    """What of an image of `width` × `height` pixels is the driver, as `Driver.part` takes it.

    Raises:
        ValueError: when nothing is left.
    """
    box = None if form.driver_box is None else Box(*form.driver_box)
    if not form.driver_hidden:
        return box
    seen = ~_covered(form.driver_hidden, width, height)
    if box is not None:
        seen &= as_region(box, width, height, of="driver")
    if not seen.any():
        raise ValueError("All of the driver is hidden: undo some of that.")
    return seen


def _covered(marks: Sequence[Mark], width: int, height: int) -> Bool[np.ndarray, "height width"]:
    mask = np.zeros((height, width), np.uint8)
    for mark in marks:
        if mark.tool == "box":
            _draw_box(mask, mark)
        else:
            _draw_stroke(mask, mark, int(mark.tool == "brush"))
    return mask > 0


def _draw_box(mask: UInt8[np.ndarray, "height width"], mark: Mark) -> None:
    if len(mark.points) != 2:
        raise ValueError(f"A box has {len(mark.points)} corners: give two opposite ones.")
    edges = np.rint(mark.points).astype(int)
    (left, top), (right, bottom) = edges.min(0).clip(0), edges.max(0).clip(0)
    mask[top:bottom, left:right] = 1


_SHIFT = 4  # binary digits behind the point of a coordinate, as OpenCV takes them


def _draw_stroke(mask: UInt8[np.ndarray, "height width"], mark: Mark, value: int) -> None:
    # OpenCV's coordinates are those of pixels' centres.
    points = np.rint((np.array(mark.points).reshape(-1, 2) - 0.5) * 2**_SHIFT).astype(np.int32)
    thickness = max(1, round(2 * min(mark.radius, sum(mask.shape))))
    cv2.polylines(mask, [points], False, value, thickness, shift=_SHIFT)
    radius = round(min(mark.radius, sum(mask.shape)) * 2**_SHIFT)
    for point in (points[:1], points[-1:]):  # alone a point is no line
        for centre in point.tolist():
            cv2.circle(mask, centre, radius, value, cv2.FILLED, shift=_SHIFT)


def png(image: Image.Image) -> bytes:
    """The image as a PNG file; written fast, as nothing is kept for long.

    What PNG does not hold, which is CMYK, becomes RGB.
    """
    buffer = io.BytesIO()
    picture = Picture.of(image, "edit")
    shown = Image.fromarray(picture.shown) if picture.suffix != ".png" else image
    shown.save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()
