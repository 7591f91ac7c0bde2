"""One edit that a person asks for: what may be handed over, and what comes of it, best first."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from torch import Tensor

from e2eve.conditioning import EditInputs
from e2eve.data.images import from_pillow, read_image, resize, square, to_tensor
from e2eve.editing.compositing import composed, cut, edit_weights, pasted, reduced, window_around
from e2eve.features import FeatureExtractor
from e2eve.geometry import Box
from e2eve.metrics.retrieval import sweep_distances, sweep_features
from e2eve.reporting.grid import image_grid, outlined
from e2eve.reporting.outputs import new_folder

FEATHER = 1 / 128  # width of the rim in which source and edit mix, as a share of the window
COLUMNS = 6  # of the grid
CELL = 224  # side of an image in the grid, in pixels
MANIFEST = "edit.json"

# A file, a Pillow image of any mode, or a `uint8` array (height, width, 3).
ImageInput = str | Path | Image.Image | np.ndarray

# A box in pixels of the source, or a mask of its size that is white where to edit; as an array it
# is `bool`, or `uint8` with 0 and 255.
RegionInput = Box | ImageInput

WHITE = 128  # the least grey level of a mask that counts as white


@dataclass(frozen=True, eq=False)
class Edits:
    """Edits of one source, best first.

    Attributes:
        images: of the source's size.
        scores: nearness of each to the driver, higher is nearer: minus the Euclidean distance
            between features of the driver and of the region (`driver_distances`). They compare
            edits of one request; between requests they mean little.
        numbers: which sample of the seed each is, from 0.
        seed: what the samples were drawn with.
        region: True where pixels may differ from the source.
        driver: as the editor saw it.
    """

    images: list[Image.Image]
    scores: list[float]
    numbers: list[int]
    seed: int
    region: Bool[np.ndarray, "height width"]
    source: UInt8[np.ndarray, "height width 3"]
    driver: UInt8[np.ndarray, "driver_side driver_side 3"]

    def __len__(self) -> int:
        return len(self.images)

    def grid(self) -> Image.Image:
        """Source with the region outlined, driver, and the edits with their scores."""
        cells = [outlined(self.source, self.region), self.driver, *map(np.asarray, self.images)]
        ranked = [f"#{n}  score {score:.2f}" for n, score in enumerate(self.scores, start=1)]
        captions = ["source and region", "driver", *ranked]
        starts = range(0, len(cells), COLUMNS)
        return image_grid(
            [cells[start : start + COLUMNS] for start in starts],
            cell=CELL,
            captions=[captions[start : start + COLUMNS] for start in starts],
        )

    def _repr_png_(self) -> bytes | None:
        """How a notebook shows the edits."""
        return self.grid()._repr_png_()

    def save(self, folder: str | Path, **arguments: Any) -> Path:
        """Write edit_01.png (the best), edit_02.png, …, region.png, grid.png and edit.json.

        Where one of these is in the folder already, a new folder with a number behind its name is
        written: no file is ever replaced.

        Args:
            arguments: what else edit.json should hold.

        Returns the folder.
        """
        *names, region, grid, manifest = files = file_names(len(self))
        folder = new_folder(folder, files)
        folder.mkdir(parents=True, exist_ok=True)
        images = [*self.images, Image.fromarray(self.region), self.grid()]
        for name, image in zip([*names, region, grid], images, strict=True):
            with (folder / name).open("xb") as file:  # "x": whoever was faster keeps the file
                image.save(file, format="PNG")
        samples = [
            {"file": name, "score": score, "number": number}
            for name, score, number in zip(names, self.scores, self.numbers, strict=True)
        ]
        facts = {**arguments, "seed": self.seed, "samples": samples, "files": files}
        with (folder / manifest).open("x", encoding="utf-8") as text:
            text.write(json.dumps(facts, indent=2, ensure_ascii=False) + "\n")
        return folder


def file_names(count: int) -> list[str]:
    """The files that so many edits of a source leave; what a folder got is in its `MANIFEST`."""
    return [*(f"edit_{n:02d}.png" for n in range(1, count + 1)), "region.png", "grid.png", MANIFEST]


@dataclass(frozen=True, eq=False)
class EditRequest:
    """`source` and `region` are as given; `window_*` and `driver` as the editor sees them.

    Of a driver that is not square the largest centred square is used.
    """

    source: UInt8[np.ndarray, "height width 3"]
    region: Bool[np.ndarray, "height width"]
    window: Box
    window_image: UInt8[np.ndarray, "side side 3"]
    window_region: Bool[np.ndarray, "side side"]
    driver: UInt8[np.ndarray, "driver_side driver_side 3"]

    @classmethod
    def of(
        cls,
        source: ImageInput,
        driver: ImageInput,
        region: RegionInput,
        image_size: int,
        driver_size: int,
    ) -> "EditRequest":
        """Read the images, choose the window and resize it to `image_size` pixels.

        Raises:
            ValueError: when one of them cannot be used; the sentence says what to give.
        """
        image = as_image(source, "source")
        height, width = image.shape[:2]
        mask = as_region(region, width, height)
        window = window_around(Box.around(mask), width, height)
        return cls(
            source=image,
            region=mask,
            window=window,
            window_image=resize(cut(image, window), image_size, image_size),
            window_region=reduced(cut(mask, window), image_size),
            driver=square(as_image(driver, "driver"), driver_size),
        )

    def inputs(self, device: torch.device, dtype: torch.dtype) -> EditInputs:
        """A batch of one, as an editor takes it."""
        return EditInputs(
            to_tensor(self.window_image)[None].to(device, dtype),
            torch.from_numpy(self.window_region)[None, None].to(device),
            to_tensor(self.driver)[None].to(device, dtype),
        )

    def pastes(self, device: torch.device, dtype: torch.dtype) -> Float[Tensor, "1 3 side side"]:
        """The driver pasted into the window, in [-1, 1]."""
        region = self.window_region
        paste = pasted(self.window_image, region, Box.around(region), self.driver)
        return to_tensor(paste)[None].to(device, dtype)

    def ranked(
        self,
        drawn: Sequence[UInt8[np.ndarray, "side side 3"]],
        seed: int,
        extractor: FeatureExtractor,
        keep: int | None = None,
    ) -> Edits:
        """What an editor drew into the window, put into the source and ranked.

        Args:
            drawn: samples 0, 1, … of the seed; only what lies inside the region is used.
            keep: how many of them are kept, the best ones; None keeps all.
        """
        box = Box.around(self.window_region)
        distances = driver_distances(extractor, drawn, box, self.driver)
        order = [int(number) for number in np.argsort(distances, kind="stable")][:keep]
        weights = edit_weights(self.region, FEATHER * self.window.width)
        place = (Box.around(self.region), weights, self.window)
        return Edits(
            images=[
                Image.fromarray(composed(self.source, *place, drawn[number])) for number in order
            ],
            scores=[-float(distances[number]) for number in order],
            numbers=order,
            seed=seed,
            region=self.region,
            source=self.source,
            driver=self.driver,
        )


@torch.no_grad()
def driver_distances(
    extractor: FeatureExtractor,
    edits: Sequence[UInt8[np.ndarray, "side side 3"]],
    region: Box,
    driver: UInt8[np.ndarray, "driver_side driver_side 3"],
) -> Float[np.ndarray, " edits"]:
    """Distance of each edit's region to the driver, in the extractor's feature space.

    As in the metric R@k: the Euclidean distance to the nearest of 14 sub-crops of the region, so
    that an object counts wherever in the region it stands.

    Args:
        region: bounding box of the region, in pixels of the edits.
    """
    images = to_tensor(np.stack(edits)).to(extractor.device)
    queries = sweep_features(extractor, images, [region] * len(edits), side=len(driver))
    target = extractor(to_tensor(driver)[None].to(extractor.device))
    return sweep_distances(queries, target.expand(len(edits), 1, -1))[:, 0].cpu().numpy()


def as_image(
    given: Any, what: str, background: str = "white"
) -> UInt8[np.ndarray, "height width 3"]:
    """An `ImageInput` as RGB.

    Args:
        what: its name in messages.
        background: colour that transparent parts lie over.

    Raises:
        ValueError: for a file that cannot be read, and anything that is no `ImageInput`.
    """
    if isinstance(given, str | Path):
        return read_image(given, background)
    if isinstance(given, Image.Image):
        try:
            return from_pillow(given, background)
        except ValueError as error:
            raise ValueError(f"The {what} cannot be used ({error}): give another image.") from error
    filled = isinstance(given, np.ndarray) and given.dtype == np.uint8 and given.size
    if filled and given.ndim == 3 and given.shape[2] == 3:
        return given
    raise ValueError(
        f"The {what} is {_described(given)}: give a path, a Pillow image or a uint8 array of "
        "shape (height, width, 3) with values 0 to 255."
    )


def as_region(given: object, width: int, height: int) -> Bool[np.ndarray, "height width"]:
    """A `RegionInput` as a mask: True where a source of `width` × `height` pixels is to be edited.

    A mask's transparent parts are kept, its grey parts edited from `WHITE` on.

    Raises:
        ValueError: for a box that leaves the source, a mask of another size or without a white
            pixel, a file that cannot be read, and anything that is no `RegionInput`.
    """
    if isinstance(given, Box):
        if not Box(0, 0, width, height).contains(given):
            raise ValueError(
                f"The region {given} reaches outside the source of {width}×{height} pixels: give "
                "one inside it."
            )
        return given.mask(width, height)
    mask = as_mask(given)
    if mask.shape != (height, width):
        raise ValueError(
            f"The mask has {mask.shape[1]}×{mask.shape[0]} pixels and the source "
            f"{width}×{height}: give a mask of the source's size."
        )
    if not mask.any():
        raise ValueError(
            "The mask marks no pixel: paint what to edit white (255, or True in a bool array)."
        )
    return mask


def as_mask(given: object) -> Bool[np.ndarray, "height width"]:
    """A mask of any size, True where it is white.

    Raises:
        ValueError: for a file that cannot be read, and anything that is no mask.
    """
    if isinstance(given, str | Path | Image.Image):
        return as_image(given, "mask", background="black").max(-1) >= WHITE
    if isinstance(given, np.ndarray) and given.ndim == 2 and given.dtype in (np.bool_, np.uint8):
        return given if given.dtype == np.bool_ else given >= WHITE
    raise ValueError(
        f"The region is {_described(given)}: give a Box, a path, a Pillow image, or a bool or "
        "uint8 array of shape (height, width)."
    )


def _described(given: object) -> str:
    if isinstance(given, np.ndarray):
        return f"a {given.dtype} array of shape {given.shape}"
    return f"of type {type(given).__name__}"
