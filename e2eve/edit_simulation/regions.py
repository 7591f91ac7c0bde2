"""Edit regions: which pixels of a square image are to be edited. All sizes are shares of the image.

A region sampler is a callable `(side, rng) -> Region`: any class that a config names may be one.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import cos, pi, sin, sqrt
from typing import ClassVar, NamedTuple

import cv2
import numpy as np
from einops import rearrange
from jaxtyping import Bool, Float

from e2eve.checks import full_name, require, require_call
from e2eve.geometry import Box

_SUBPIXEL_BITS = 4  # outlines and strokes are rasterised at 1/16 pixel


class Limited:
    """A dataclass whose numbers lie within `LIMITS`.

    Each is (field, field, smallest, largest): the first field is at most the second, and the same
    one where it is a single number.

    Raises:
        ValueError: unless smallest <= low <= high <= largest.
    """

    LIMITS: ClassVar[tuple[tuple[str, str, float, float], ...]] = ()

    def __post_init__(self) -> None:
        for first, second, smallest, largest in self.LIMITS:
            for name in (first, second):
                if not smallest <= (value := getattr(self, name)) <= largest:
                    raise ValueError(f"{name} is {value}: give {smallest} to {largest}.")
            low, high = getattr(self, first), getattr(self, second)
            if low > high:
                raise ValueError(f"{first} is {low} and {second} {high}: give the smaller first.")


class Region(NamedTuple):
    """The pixels to edit (True), and the smallest box that holds them."""

    mask: Bool[np.ndarray, "side side"]
    box: Box

    @classmethod
    def of_mask(cls, mask: np.ndarray) -> "Region":
        """The region of a mask of side × side, True where to edit.

        Raises:
            ValueError: when it holds anything but True and False, or nothing to edit.
        """
        fits = isinstance(mask, np.ndarray) and mask.dtype == bool and mask.ndim == 2
        require(fits, "The mask of a region is", mask, "bool of side × side, such as mask > 0.5")
        return cls(mask, Box.around(mask))

    @property
    def is_block(self) -> bool:
        """Whether the mask fills its box."""
        return int(np.count_nonzero(self.mask)) == self.box.area


# Draws an edit region for an image of so many pixels per side; never an empty one.
RegionSampler = Callable[[int, np.random.Generator], Region]


def draw_region(sampler: RegionSampler, side: int, rng: np.random.Generator) -> Region:
    """What the sampler gives.

    Raises:
        ValueError: when it fails or gives anything but a region of that side; it is named.
    """
    try:
        region = sampler(side, rng)
    except ValueError as error:
        raise ValueError(f"{full_name(sampler)} fails: {error}") from error
    wanted = f"a Region of {side} × {side} pixels, such as Region.of_mask(mask)"
    require(isinstance(region, Region), sampler, region, wanted)
    fits = region.mask.shape == (side, side) and region.mask.dtype == bool
    require(fits, sampler, region.mask, wanted)
    return region


@dataclass(frozen=True)
class Block(Limited):
    """A square around a point drawn uniformly from the image, clipped to the image.

    Args:
        min_side, max_side: range of the side before clipping, as a share of the image side.
    """

    min_side: float = 0.4
    max_side: float = 0.6

    LIMITS = (("min_side", "max_side", 0.05, 1),)

    def __call__(self, side: int, rng: np.random.Generator) -> Region:
        block = max(1, round(side * rng.uniform(self.min_side, self.max_side)))
        corner = np.rint(rng.uniform(0, side, size=2) - block / 2)
        left, top = corner.clip(1 - block, side - 1).astype(int).tolist()
        box = Box(left, top, left + block, top + block).clipped(side, side)
        return Region(box.mask(side, side), box)


@dataclass(frozen=True)
class Rectangle(Limited):
    """A rectangle around a point drawn uniformly from the image, clipped to the image.

    Args:
        min_side, max_side: range of width and height before clipping, each drawn by itself,
            uniformly in its logarithm, as a share of the image side.
    """

    min_side: float = 0.2
    max_side: float = 0.9

    LIMITS = (("min_side", "max_side", 0.05, 1),)

    def __call__(self, side: int, rng: np.random.Generator) -> Region:
        shares = np.exp(rng.uniform(np.log(self.min_side), np.log(self.max_side), size=2))
        sides = np.maximum(1, np.rint(side * shares))
        corner = np.rint(rng.uniform(0, side, size=2) - sides / 2).clip(1 - sides, side - 1)
        edges = np.concatenate([corner, corner + sides]).astype(int).tolist()
        box = Box(*edges).clipped(side, side)
        return Region(box.mask(side, side), box)


@dataclass(frozen=True)
class Mixed:
    """Each time one of several samplers.

    Args:
        regions: samplers by name.
        weights: how often each is chosen, by the same names; relative, they need not add up to 1.
    """

    regions: Mapping[str, RegionSampler]
    weights: Mapping[str, float]

    def __post_init__(self) -> None:
        for region in self.regions.values():
            require_call(region, "side", "rng")
        if set(self.regions) != set(self.weights):
            raise ValueError(
                f"The mixed regions are {', '.join(self.regions)} and the weights are for "
                f"{', '.join(self.weights)}, give one weight for each region."
            )
        if min(self.weights.values(), default=0) < 0 or sum(self.weights.values()) <= 0:
            raise ValueError(
                f"The weights of the mixed regions are {dict(self.weights)}, give numbers from 0 "
                f"on, at least one of them above 0."
            )

    def __call__(self, side: int, rng: np.random.Generator) -> Region:
        names = list(self.regions)
        weights = np.array([self.weights[name] for name in names], dtype=float)
        chosen = rng.choice(len(names), p=weights / weights.sum())
        return draw_region(self.regions[names[chosen]], side, rng)


# Free form: smooth random blobs.
_CANDIDATES = 8  # blobs drawn at once, of which the first that is round enough is taken
_ROUNDNESS = 0.5  # least 4 pi area / perimeter**2 that is round enough: 1 is a circle, 0 a line
_T = np.linspace(0, 1, 16, endpoint=False)  # points of each curve between two corners
_BERNSTEIN = np.stack([(1 - _T) ** 3, 3 * _T * (1 - _T) ** 2, 3 * _T**2 * (1 - _T), _T**3])


@dataclass(frozen=True)
class FreeForm(Limited):
    """A smooth blob around a point drawn uniformly from the image, clipped to the image.

    The area is drawn uniformly too, and the blob is scaled until its part inside the image has it:
    blobs at the border are as large as those in the middle.

    Args:
        min_area, max_area: range of the area, as a share of the image area; kept to within 1 % or
            a pixel.
        points: number of points that the outline runs through.
        edginess: 0 gives the roundest outline, 1 a polygon.
    """

    min_area: float = 0.05
    max_area: float = 0.6
    points: int = 7
    edginess: float = 0.1

    LIMITS = (
        ("min_area", "max_area", 0.01, 0.8),
        ("points", "points", 3, 100),
        ("edginess", "edginess", 0, 1),
    )

    def __call__(self, side: int, rng: np.random.Generator) -> Region:
        area = side * side * rng.uniform(self.min_area, self.max_area)
        blobs = outlines(_scattered(_CANDIDATES, self.points, rng), self.edginess)
        blob = _first_round(blobs)
        centre = rng.uniform(0, side, size=2)
        scale = sqrt(area)
        for _ in range(12):  # corrections at most
            mask = np.zeros((side, side), dtype=np.uint8)
            outline = (blob * scale + centre - 0.5) * 2**_SUBPIXEL_BITS  # it may leave the image
            cv2.fillPoly(mask, [np.rint(outline).astype(np.int32)], 1, shift=_SUBPIXEL_BITS)
            covered = max(1, cv2.countNonZero(mask))
            if abs(covered - area) <= max(1, 0.01 * area):
                break
            # Area grows as scale**2, and less where the image clips: the exponent suits both.
            scale *= (area / covered) ** 0.7
        return Region.of_mask(mask.view(bool))


def _first_round(blobs: Float[np.ndarray, "batch outline 2"]) -> Float[np.ndarray, "outline 2"]:
    # The first blob that is round enough, or the roundest; of area 1, around its mean.
    ahead = _following(blobs)
    cross = blobs[..., 0] * ahead[..., 1] - blobs[..., 1] * ahead[..., 0]
    areas = np.abs(cross.sum(axis=1)) / 2  # the shoelace formula
    perimeters = _lengths(blobs - ahead).sum(axis=1)
    roundness = np.minimum(4 * np.pi * areas / perimeters**2, _ROUNDNESS)
    chosen = int(np.argmax(roundness))
    return (blobs[chosen] - blobs[chosen].mean(axis=0)) / np.sqrt(areas[chosen])


def _scattered(
    batch: int, points: int, rng: np.random.Generator
) -> Float[np.ndarray, "batch points 2"]:
    # Around an ellipse, one in each sector, kept apart by a fifth of a sector.
    angles = 2 * np.pi / points * (np.arange(points) + 0.8 * rng.random((batch, points)))
    radii = rng.uniform(0.35, 1, size=(batch, points))
    x, y = radii * np.cos(angles), radii * np.sin(angles) * rng.uniform(0.5, 1, size=(batch, 1))
    turn = rng.uniform(0, np.pi, size=(batch, 1))
    return np.stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)], -1)


def outlines(
    points: Float[np.ndarray, "batch points 2"], edginess: float
) -> Float[np.ndarray, "batch outline 2"]:
    """Closed curves through points, which are visited in the order of their angle from their mean.

    Between neighbours runs a cubic Bézier curve. Its direction at a point is that from the point
    before to the point after, and its handles are (1 - edginess) / 3 of the distance long.
    """
    from_mean = points - points.mean(axis=1, keepdims=True)
    order = np.argsort(np.arctan2(from_mean[..., 1], from_mean[..., 0]), axis=1)
    start = np.take_along_axis(points, order[..., None], axis=1)
    end = _following(start)
    direction = end - np.concatenate([start[:, -1:], start[:, :-1]], axis=1)
    direction /= _lengths(direction)[..., None] + 1e-9
    handle = _lengths(end - start)[..., None] * (1 - edginess) / 3
    controls = np.stack(
        [start, start + handle * direction, end - handle * _following(direction), end]
    )
    curves = np.tensordot(_BERNSTEIN, controls, axes=(0, 0))
    return rearrange(curves, "step batch point xy -> batch (point step) xy")


def _following(ring: Float[np.ndarray, "batch n xy"]) -> Float[np.ndarray, "batch n xy"]:
    # The first comes after the last: a fifth of the time of `np.roll`.
    return np.concatenate([ring[:, 1:], ring[:, :1]], axis=1)


def _lengths(vectors: Float[np.ndarray, "*batch 2"]) -> Float[np.ndarray, "*batch"]:
    return np.sqrt(vectors[..., 0] * vectors[..., 0] + vectors[..., 1] * vectors[..., 1])


# Brush: strokes as a person paints them.
_STEP = 0.04  # distance between two places of the brush, as a share of the image side
_BEND = 0.14  # radian, standard deviation of the change of curvature at each step


@dataclass(frozen=True)
class Brush(Limited):
    """Thick, curving strokes of varying width, each begun where something is painted already.

    The area is drawn uniformly; strokes are painted until it is reached, so that it is exceeded by
    at most the last step of the brush.

    Args:
        min_area, max_area: range of the area, as a share of the image area.
        min_width, max_width: range of the brush's width, as a share of the image side; it wanders
            between them along a stroke.
        min_length, max_length: range of the length of a stroke, as a share of the image side.
    """

    min_area: float = 0.05
    max_area: float = 0.4
    min_width: float = 0.12
    max_width: float = 0.25
    min_length: float = 0.3
    max_length: float = 1.0

    LIMITS = (
        ("min_area", "max_area", 0.01, 0.9),
        ("min_width", "max_width", 0.05, 0.5),
        ("min_length", "max_length", 0.05, 10),
    )

    def __call__(self, side: int, rng: np.random.Generator) -> Region:
        area = side * side * rng.uniform(self.min_area, self.max_area)
        mask = np.zeros((side, side), dtype=np.uint8)
        x, y = rng.uniform(0.1, 0.9, size=2).tolist()
        while True:
            for place, width in self._stroke(x, y, rng):
                ends = [round((share * side - 0.5) * 2**_SUBPIXEL_BITS) for share in place]
                thickness = max(1, round(width * side))
                cv2.line(mask, ends[:2], ends[2:], 1, thickness, shift=_SUBPIXEL_BITS)
                if cv2.countNonZero(mask) >= area:
                    return Region.of_mask(mask.view(bool))
            row, column = divmod(int(rng.choice(np.flatnonzero(mask))), side)
            x, y = (column + 0.5) / side, (row + 0.5) / side

    def _stroke(
        self, x: float, y: float, rng: np.random.Generator
    ) -> Iterator[tuple[tuple[float, ...], float]]:
        """A walk whose curvature wanders; it bounces off the image borders.

        Yields, of each step, x and y of its start and its end, and its width: shares of the side.
        """
        steps = max(1, round(rng.uniform(self.min_length, self.max_length) / _STEP))
        widths = rng.uniform(self.min_width, self.max_width, size=3)
        widths = np.interp(np.linspace(0, 2, steps), np.arange(3), widths).tolist()
        bends = rng.normal(0, _BEND, size=steps).tolist()
        heading, curvature = rng.uniform(0, 2 * pi), 0.0
        for width, bend in zip(widths, bends, strict=True):
            curvature = 0.8 * curvature + bend
            heading += curvature
            end_x, end_y = x + _STEP * cos(heading), y + _STEP * sin(heading)
            if not 0 <= end_x <= 1:
                heading, end_x = pi - heading, min(max(end_x, 0.0), 1.0)
            if not 0 <= end_y <= 1:
                heading, end_y = -heading, min(max(end_y, 0.0), 1.0)
            yield (x, y, end_x, end_y), width
            x, y = end_x, end_y
