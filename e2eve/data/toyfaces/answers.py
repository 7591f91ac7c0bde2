"""Edits of toy faces with a right answer, known to the pixel: faces are drawn from attributes.

An edit gives a face A what another one, B, has in one group of attributes; the answer is A drawn
with them. All that is drawn in the region is then B's, or left out of both faces. The driver shows
it as A would have it: B is redrawn with A's hair colour and, but for clothes, A's accent colour.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Complex, UInt8

from e2eve.data.toyfaces.accessories import COVERING
from e2eve.data.toyfaces.attributes import CHOICES, RANGES, FaceAttributes, follows_rules
from e2eve.data.toyfaces.dataset import draw_face
from e2eve.geometry import Box

Image = UInt8[np.ndarray, "size size 3"]

CHANGE = 24
"""Grey levels, of 255, by which a pixel that counts as changed differs in some channel."""

# Sizes in pixels at which no pixel outside the region may differ.
_SIZES = (64, 128)
_LEAST_CHANGED = 0.1  # share of the region
_LEAST_GRADED = 0.8  # share of the pixels that change


class Group(NamedTuple):
    """Attributes that are edited together.

    Attributes:
        fields: what the answer takes from B.
        box: left, top, right, bottom of what they are drawn in, in coordinates of the head, or of
            the body, which is not tilted with it.
        allowed: choices of optional features beside "none", which is put in place of others.
        wanted: a feature that B must have.
    """

    fields: tuple[str, ...]
    box: tuple[float, float, float, float]
    allowed: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    wanted: str | None = None
    is_tilted: bool = True


GROUPS = {
    "eyes": Group(
        ("eyes", "iris", "eye_scale", "eye_distance", "gaze_x", "gaze_y", "brows", "glasses",
         "glasses_colour"),
        (-31, -18, 31, 11),
    ),
    "mouth": Group(
        ("mouth", "mouth_scale", "moustache", "beard"), (-24, 8, 24, 40), {"beard": ("goatee",)}
    ),
    "hat": Group(
        ("hat", "hat_colour"), (-46, -54, 46, -8), {"hat": COVERING, "brows": ()}, wanted="hat"
    ),
    "clothes": Group(
        ("clothes", "clothes_colour", "accent_colour"),
        (-48, 31, 48, 56),
        {"hat": CHOICES["hat"][1:-1]},  # a headscarf would hide them
        is_tilted=False,
    ),
}  # fmt: skip

# Features that reach into several regions are left out of all faces.
_ALLOWED: dict[str, tuple[str, ...]] = {
    "cheeks": (),
    "earrings": (),
    "glasses": CHOICES["glasses"][1:-2],  # no monocle, no patch
}

_SEEN = ("background", "background_colour", "skin", "centre_x", "centre_y", "head_scale")
_COLOURS = {"skin", "iris"} | {name for name in CHOICES if name.endswith("_colour")}


class Answered(NamedTuple):
    """An edit of `source` that has an answer."""

    group: str
    source: FaceAttributes
    driver: FaceAttributes  # what the driver is cut out of
    answer: FaceAttributes


def answered(group: str, a: FaceAttributes, b: FaceAttributes, keep_skin: bool) -> Answered:
    """The edit that gives A what B has.

    Args:
        group: key of `GROUPS`.
        keep_skin: whether B is redrawn with its own skin, or with A's as the answer has it.
    """
    source, other = _composed(a, group), _composed(b, group)
    shared = ["hair_colour"] + ["accent_colour"] * (group != "clothes") + ["skin"] * (not keep_skin)
    driver = _with_fields(other, shared, source)
    return Answered(group, source, driver, _with_fields(source, GROUPS[group].fields, driver))


def _composed(face: FaceAttributes, group: str) -> FaceAttributes:
    allowed = {**_ALLOWED, **GROUPS[group].allowed}
    left_out: dict[str, Any] = {
        name: "none" for name, kinds in allowed.items() if getattr(face, name) not in kinds
    }
    return replace(face, **left_out)


def _with_fields(
    face: FaceAttributes, names: Iterable[str], other: FaceAttributes
) -> FaceAttributes:
    return replace(face, **{name: getattr(other, name) for name in names})


@dataclass(frozen=True)
class Placed:
    """The box of a group on a face under its pose, in an image of `size` pixels per side."""

    face: FaceAttributes
    group: str
    size: int

    @cached_property
    def corners(self) -> Complex[np.ndarray, "4"]:
        """x + iy of each, in pixels."""
        (left, top, right, bottom), face = GROUPS[self.group].box, self.face
        units = np.array(
            [left + top * 1j, right + top * 1j, right + bottom * 1j, left + bottom * 1j]
        )
        turn = np.exp(1j * np.deg2rad(face.tilt)) if GROUPS[self.group].is_tilted else 1
        middle = complex(face.centre_x, face.centre_y)
        return (face.head_scale * turn * units + middle) * self.size / 100

    @property
    def box(self) -> Box:
        """The bounding rectangle in whole pixels, clipped to the image."""
        edges = self.corners.view(float).reshape(-1, 2)
        low, high = np.floor(edges.min(0)).astype(int), np.ceil(edges.max(0)).astype(int)
        return Box(*low.tolist(), *high.tolist()).clipped(self.size, self.size)

    def onto(self, other: "Placed") -> Box:
        """Where the box's square lies on another face: both hold things of one size."""
        scale, square = other.face.head_scale / self.face.head_scale, self.box.square
        offset = complex(square.left, square.top) - self.corners.mean()
        corner = np.rint([other.corners.mean() + scale * offset]).view(float).astype(int).tolist()
        side = round(square.width * scale)
        return Box(0, 0, side, side).shifted(*corner)


def refusal(edit: Answered, size: int) -> str | None:
    """Why the edit has no answer in images of `size` pixels per side; None where it has one."""
    wanted = GROUPS[edit.group].wanted
    if wanted and getattr(edit.driver, wanted) == "none":
        return f"the driver shows no {wanted}"
    if not all(map(follows_rules, edit[1:])):
        return "against the rules of faces"
    if any(changed(edit, side)[~_region(edit, side)].any() for side in {*_SIZES, size}):
        return "pixels outside change"
    region, change = _region(edit, size), changed(edit, size, CHANGE)
    if change.sum() < _LEAST_CHANGED * region.sum():
        return "too few pixels change"
    if (change & graded(edit, size)).sum() < _LEAST_GRADED * change.sum():
        return "pixels are not determined"
    return None


def changed(edit: Answered, size: int, above: int = 0) -> Bool[np.ndarray, "size size"]:
    """Where the answer differs from the source by more than so many grey levels in some channel."""
    return _differ(draw_face(edit.source, size), draw_face(edit.answer, size), above)


@lru_cache(maxsize=1)
def graded(edit: Answered, size: int) -> Bool[np.ndarray, "size size"]:
    """Where in the region the answer follows from source and driver.

    Left out is what another attribute decides that nothing outside the region tells of: hair below
    a hat, say. For each other choice and both ends of each range the answer is drawn again; where
    no pixel outside changes, those inside that do are left out.
    """
    region, answer = _region(edit, size), draw_face(edit.answer, size)
    result = region.copy()
    for other in _alternatives(edit):
        differs = _differ(answer, draw_face(other, size))
        if not differs[~region].any():
            result &= ~differs
    return result


# A colour decides the same pixels whichever it is: one other stands for all. Left out is what is
# always seen outside too.
def _alternatives(edit: Answered) -> Iterator[FaceAttributes]:
    own = {*GROUPS[edit.group].fields, *_ALLOWED, *GROUPS[edit.group].allowed, *_SEEN}
    for name, values in {**CHOICES, **RANGES}.items():
        known = getattr(edit.answer, name)
        others = [value for value in values if value != known]
        for value in others[: 1 if name in _COLOURS else None] if name not in own else ():
            change: dict[str, Any] = {name: value}
            yield replace(edit.answer, **change)


def _region(edit: Answered, size: int) -> Bool[np.ndarray, "size size"]:
    return Placed(edit.source, edit.group, size).box.mask(size, size)


def _differ(a: Image, b: Image, above: int = 0) -> Bool[np.ndarray, "size size"]:
    return (np.abs(a.astype(int) - b) > above).any(-1)
