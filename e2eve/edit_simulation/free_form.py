"""Free-form edit regions: smooth random blobs."""

from dataclasses import dataclass

import cv2
import numpy as np
from einops import rearrange
from jaxtyping import Float

from e2eve.edit_simulation.checks import check_range
from e2eve.edit_simulation.regions import Region

_CANDIDATES = 8  # blobs drawn at once, of which the first that suits is taken
_ROUNDNESS = 0.5  # least 4 pi area / perimeter**2 of a blob that suits: 1 is a circle, 0 a line
_STEPS = 16  # points of the outline on each curve between two corners
_SUBPIXEL_BITS = 4  # outlines are rasterised at 1/16 pixel


@dataclass(frozen=True)
class FreeForm:
    """A closed, smooth curve through random points, lying wholly inside the image.

    The area is drawn uniformly, and the size of the blob follows from it. Of 8 random blobs the
    first is taken that fits into the image and is no splinter; where all fail, the one that comes
    nearest is taken, shrunk until it fits.

    Args:
        min_area, max_area: range of the area, as a share of the image area; above 0.6 most blobs
            have to be shrunk.
        points: number of points that the curve runs through.
        edginess: 0 gives the roundest curve, 1 a polygon.
    """

    min_area: float = 0.05
    max_area: float = 0.6
    points: int = 7
    edginess: float = 0.1

    def __post_init__(self) -> None:
        check_range("free-form area", self.min_area, self.max_area, 0.01, 0.7)
        check_range("number of points", self.points, self.points, 3, 100)
        check_range("edginess", self.edginess, self.edginess, 0, 1)

    def __call__(self, side: int, rng: np.random.Generator) -> Region:
        area = side * side * rng.uniform(self.min_area, self.max_area)
        blobs = outlines(_scattered(_CANDIDATES, self.points, rng), self.edginess)
        outline = _sized(blobs, area, side)
        outline += rng.random(2) * (side - 1 - outline.max(axis=0))
        mask = np.zeros((side, side), dtype=np.uint8)
        fixed_point = np.rint(outline * 2**_SUBPIXEL_BITS).astype(np.int32)
        cv2.fillPoly(mask, [fixed_point], 1, shift=_SUBPIXEL_BITS)
        return Region.of_mask(mask.astype(bool))


def _sized(
    blobs: Float[np.ndarray, "batch outline 2"], area: float, side: int
) -> Float[np.ndarray, "outline 2"]:
    """The blob that suits best, in the upper left corner, scaled to `area` pixels at most.

    Filling a polygon also paints the pixels that its outline crosses, half a pixel on each side:
    of area a and perimeter p it covers a + p / 2 pixels.
    """
    a, p = _areas(blobs), _perimeters(blobs)
    extents = np.ptp(blobs, axis=1)
    scales = (np.sqrt((p / 2) ** 2 + 4 * a * area) - p / 2) / (2 * a)
    scales = np.minimum(scales, (side - 1) / extents.max(axis=1))
    reached = (a * scales**2 + p / 2 * scales) / area
    roundness = 4 * np.pi * a / p**2
    suits = np.minimum(reached, 1) * np.minimum(roundness / _ROUNDNESS, 1)
    chosen = int(np.argmax(suits.round(3)))
    return (blobs[chosen] - blobs[chosen].min(axis=0)) * scales[chosen]


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
    end = np.roll(start, -1, axis=1)
    direction = end - np.roll(start, 1, axis=1)
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True) + 1e-9
    handle = np.linalg.norm(end - start, axis=-1, keepdims=True) * (1 - edginess) / 3
    controls = np.stack(
        [start, start + handle * direction, end - handle * np.roll(direction, -1, axis=1), end]
    )
    t = np.linspace(0, 1, _STEPS, endpoint=False)
    bernstein = np.stack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3])
    curves = np.tensordot(bernstein, controls, axes=(0, 0))
    return rearrange(curves, "step batch point xy -> batch (point step) xy")


def _areas(curves: Float[np.ndarray, "batch outline 2"]) -> Float[np.ndarray, " batch"]:
    """Shoelace formula."""
    x, y = curves[..., 0], curves[..., 1]
    return np.abs((x * np.roll(y, -1, axis=1) - y * np.roll(x, -1, axis=1)).sum(axis=1)) / 2


def _perimeters(curves: Float[np.ndarray, "batch outline 2"]) -> Float[np.ndarray, " batch"]:
    return np.linalg.norm(curves - np.roll(curves, -1, axis=1), axis=-1).sum(axis=1)
