"""Brushed edit regions: what a person paints with a thick brush."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import cos, pi, sin
from typing import NamedTuple

import cv2
import numpy as np

from e2eve.edit_simulation.checks import check_range
from e2eve.edit_simulation.regions import Region

_STEP = 0.04  # distance between two places of the brush, as a share of the image side
_BEND = 0.14  # radian, standard deviation of the change of curvature at each step
_SUBPIXEL_BITS = 4  # strokes are rasterised at 1/16 pixel


@dataclass(frozen=True)
class Brush:
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

    def __post_init__(self) -> None:
        check_range("brushed area", self.min_area, self.max_area, 0.01, 0.9)
        check_range("brush width", self.min_width, self.max_width, 0.05, 0.5)
        check_range("stroke length", self.min_length, self.max_length, 0.05, 10)

    def __call__(self, side: int, rng: np.random.Generator) -> Region:
        area = side * side * rng.uniform(self.min_area, self.max_area)
        mask = np.zeros((side, side), dtype=np.uint8)
        x, y = rng.uniform(0.1, 0.9, size=2).tolist()
        while True:
            for dab in self._stroke(x, y, rng):
                _paint(mask, dab)
                if cv2.countNonZero(mask) >= area:
                    return Region.of_mask(mask.view(bool))
            row, column = divmod(int(rng.choice(np.flatnonzero(mask))), side)
            x, y = (column + 0.5) / side, (row + 0.5) / side

    def _stroke(self, x: float, y: float, rng: np.random.Generator) -> Iterator["_Dab"]:
        """A walk whose curvature wanders; it bounces off the image borders."""
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
            yield _Dab(x, y, end_x, end_y, width)
            x, y = end_x, end_y


class _Dab(NamedTuple):
    """One step of the brush; everything as shares of the image side."""

    start_x: float
    start_y: float
    end_x: float
    end_y: float
    width: float


def _paint(mask: np.ndarray, dab: _Dab) -> None:
    side = mask.shape[0]
    ends = [round((place * side - 0.5) * 2**_SUBPIXEL_BITS) for place in dab[:4]]
    thickness = max(1, round(dab.width * side))
    cv2.line(mask, ends[:2], ends[2:], 1, thickness, shift=_SUBPIXEL_BITS)
