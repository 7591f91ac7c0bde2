"""Step 1 of an edit simulation: the square view of a picture that becomes the target."""

from dataclasses import dataclass
from math import sqrt

import cv2
import numpy as np
from jaxtyping import UInt8

from e2eve.data.images import resize, square
from e2eve.edit_simulation.checks import check_range


@dataclass(frozen=True)
class RandomView:
    """A random square of the picture, resized, and flipped left to right at times.

    Args:
        min_area, max_area: range of the square's area, as a share of the largest square that the
            picture holds; drawn uniformly, as is the place.
        flip: probability of a horizontal flip.
    """

    min_area: float = 0.75
    max_area: float = 1.0
    flip: float = 0.5

    def __post_init__(self) -> None:
        check_range("area", self.min_area, self.max_area, 0.01, 1)
        check_range("flip", self.flip, self.flip, 0, 1)

    def __call__(
        self, image: UInt8[np.ndarray, "height width 3"], side: int, rng: np.random.Generator
    ) -> UInt8[np.ndarray, "side side 3"]:
        height, width = image.shape[:2]
        share = sqrt(rng.uniform(self.min_area, self.max_area))
        crop = max(1, round(min(height, width) * share))
        top, left = rng.integers(height - crop + 1), rng.integers(width - crop + 1)
        view = resize(image[top : top + crop, left : left + crop], side, side)
        return cv2.flip(view, 1) if rng.random() < self.flip else np.ascontiguousarray(view)


@dataclass(frozen=True)
class CentreView:
    """The largest centred square of the picture, resized: nothing random, for validation."""

    def __call__(
        self, image: UInt8[np.ndarray, "height width 3"], side: int, rng: np.random.Generator
    ) -> UInt8[np.ndarray, "side side 3"]:
        return square(image, side)
