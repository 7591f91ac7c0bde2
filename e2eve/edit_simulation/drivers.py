"""Where in an edit region the driver is cut out, and the cut."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import UInt8

from e2eve.data.images import resize
from e2eve.edit_simulation.checks import check_range
from e2eve.edit_simulation.regions import Region
from e2eve.geometry import Box

_LARGE = 0.8  # an inscribed square is large from this share of the largest one's side


class RegionTooThinError(ValueError):
    """The region holds no square of the smallest side allowed."""


@dataclass(frozen=True)
class DriverCrop:
    """A random square that lies wholly inside the region.

    In a block it may lie anywhere, and alpha is measured on the shorter side. In any other region
    it lies in a large inscribed square, on whose side alpha is measured: a pixel is drawn uniformly
    from those on which a square of at least 0.8 times the largest side can be centred.

    Args:
        alpha_min, alpha_max: range of the driver's side, as a share of the region's side.
        position_augmentation: whether the place within the block or the inscribed square is drawn
            uniformly; otherwise the driver is at its centre.
        min_side: smallest side in pixels; a driver that alpha makes smaller gets this side.
    """

    alpha_min: float = 0.6
    alpha_max: float = 0.6
    position_augmentation: bool = True
    min_side: int = 4

    def __post_init__(self) -> None:
        check_range("driver alpha", self.alpha_min, self.alpha_max, 0.05, 1)
        check_range("smallest driver side", self.min_side, self.min_side, 1, 1024)

    def __call__(self, region: Region, rng: np.random.Generator) -> Box:
        """Raises RegionTooThinError, a ValueError, where no square of `min_side` pixels fits."""
        frame = region.box if region.is_block else large_square(region, rng)
        longest = min(frame.width, frame.height)
        if longest < self.min_side:
            raise RegionTooThinError(
                f"The largest square found inside the region has {longest} pixels a side, a driver "
                f"needs {self.min_side}; paint a thicker region or lower min_side."
            )
        side = max(self.min_side, round(longest * rng.uniform(self.alpha_min, self.alpha_max)))
        spare = np.array([frame.width - side, frame.height - side])
        place = rng.integers(spare + 1) if self.position_augmentation else spare // 2
        right, down = place.tolist()
        return Box(0, 0, side, side).shifted(frame.left + right, frame.top + down)


def large_square(region: Region, rng: np.random.Generator) -> Box:
    """A random one of the large squares, of odd side, that hold pixels of the region only."""
    box = region.box
    cut = region.mask[box.top : box.bottom, box.left : box.right].view(np.uint8)
    inside = cv2.copyMakeBorder(cut, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    reach = cv2.distanceTransform(inside, cv2.DIST_C, 3)
    least = (_LARGE * (2 * reach.max() - 1) + 1) / 2
    centres = np.flatnonzero(reach >= least)
    row, column = divmod(int(centres[rng.integers(centres.size)]), reach.shape[1])
    radius = int(reach[row, column]) - 1
    square = Box(column - radius, row - radius, column + radius + 1, row + radius + 1)
    return square.shifted(box.left - 1, box.top - 1)


def crop_driver(
    image: UInt8[np.ndarray, "height width 3"], driver_box: Box, driver_size: int
) -> UInt8[np.ndarray, "driver_size driver_size 3"]:
    """The part of the image in the box, resized; the image may be another than the region's."""
    height, width = image.shape[:2]
    if not Box(0, 0, width, height).contains(driver_box):
        raise ValueError(
            f"The driver {driver_box} leaves the image of {width} by {height} pixels, resize the "
            f"image to the side that the box was drawn for."
        )
    return resize(driver_box.crop(image), driver_size, driver_size)
