"""Free-form edit regions: smooth random blobs."""

from dataclasses import dataclass
from math import sqrt

import cv2
import numpy as np
from einops import rearrange
from jaxtyping import Float, UInt8

from e2eve.edit_simulation.checks import check_range
from e2eve.edit_simulation.regions import Region

_CANDIDATES = 8  # blobs drawn at once, of which the first that is round enough is taken
_ROUNDNESS = 0.5  # least 4 pi area / perimeter**2 that is round enough: 1 is a circle, 0 a line
_STEPS = 16  # points of the outline on each curve between two corners
_CORRECTIONS = 12  # of the scale at most, until the area is right
_TOLERANCE = 0.01  # error of the area, as a share of it
_SUBPIXEL_BITS = 4  # outlines are rasterised at 1/16 pixel

_T = np.linspace(0, 1, _STEPS, endpoint=False)
_BERNSTEIN = np.stack([(1 - _T) ** 3, 3 * _T * (1 - _T) ** 2, 3 * _T**2 * (1 - _T), _T**3])


@dataclass(frozen=True)
class FreeForm:
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

    def __post_init__(self) -> None:
        check_range("free-form area", self.min_area, self.max_area, 0.01, 0.8)
        check_range("number of points", self.points, self.points, 3, 100)
        check_range("edginess", self.edginess, self.edginess, 0, 1)

    def __call__(self, side: int, rng: np.random.Generator) -> Region:
        area = side * side * rng.uniform(self.min_area, self.max_area)
        blobs = outlines(_scattered(_CANDIDATES, self.points, rng), self.edginess)
        blob = _first_round(blobs)
        centre = rng.uniform(0, side, size=2)
        scale = sqrt(area)
        for _ in range(_CORRECTIONS):
            mask = _filled(blob * scale + centre, side)
            covered = max(1, cv2.countNonZero(mask))
            if abs(covered - area) <= max(1, _TOLERANCE * area):
                break
            # Area grows as scale**2, and less where the image clips: the exponent suits both.
            scale *= (area / covered) ** 0.7
        return Region.of_mask(mask.view(bool))


def _first_round(blobs: Float[np.ndarray, "batch outline 2"]) -> Float[np.ndarray, "outline 2"]:
    """The first blob that is round enough, or the roundest; of area 1, around its mean."""
    areas, perimeters = _measured(blobs)
    roundness = np.minimum(4 * np.pi * areas / perimeters**2, _ROUNDNESS)
    chosen = int(np.argmax(roundness))
    return (blobs[chosen] - blobs[chosen].mean(axis=0)) / np.sqrt(areas[chosen])


def _filled(outline: Float[np.ndarray, "outline 2"], side: int) -> UInt8[np.ndarray, "side side"]:
    """1 inside the outline, which is in pixels and may leave the image."""
    mask = np.zeros((side, side), dtype=np.uint8)
    fixed_point = np.rint((outline - 0.5) * 2**_SUBPIXEL_BITS).astype(np.int32)
    return cv2.fillPoly(mask, [fixed_point], 1, shift=_SUBPIXEL_BITS)


def _scattered(
    batch: int, points: int, rng: np.random.Generator
) -> Float[np.ndarray, "batch points 2"]:
    """Random points around an ellipse, one in each sector, kept apart by a fifth of a sector."""
    sectors = np.arange(points) + 0.8 * rng.random((batch, points))
    angles = 2 * np.pi / points * sectors
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
    """The next point of each, the first after the last: a fifth of the time of `np.roll`."""
    return np.concatenate([ring[:, 1:], ring[:, :1]], axis=1)


def _lengths(vectors: Float[np.ndarray, "*batch 2"]) -> Float[np.ndarray, "*batch"]:
    x, y = vectors[..., 0], vectors[..., 1]
    return np.sqrt(x * x + y * y)


def _measured(
    curves: Float[np.ndarray, "batch outline 2"],
) -> tuple[Float[np.ndarray, " batch"], Float[np.ndarray, " batch"]]:
    """Areas by the shoelace formula, and perimeters."""
    ahead = _following(curves)
    cross = curves[..., 0] * ahead[..., 1] - curves[..., 1] * ahead[..., 0]
    return np.abs(cross.sum(axis=1)) / 2, _lengths(curves - ahead).sum(axis=1)
