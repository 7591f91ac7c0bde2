"""An edit to begin with: two toy faces, and what of the one is to be shown in the other."""

from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from e2eve.data.toyfaces.dataset import ToyFaces
from e2eve.geometry import Box

_SOURCE, _OTHER = 3, 7  # faces of the validation split
_REGION = (0.22, 0.03, 0.78, 0.41)  # left, top, right and bottom in shares of the image
_SHOWN = (0.25, 0.06, 0.5)  # of the other face: left, top and side


class ExampleEdit(NamedTuple):
    """The driver is what `shown` holds of `other`; boxes are in pixels."""

    source: UInt8[np.ndarray, "side side 3"]
    region: Box
    other: UInt8[np.ndarray, "side side 3"]
    shown: Box

    @property
    def driver(self) -> UInt8[np.ndarray, "driver_side driver_side 3"]:
        return self.shown.crop(self.other)


def example_edit(size: int) -> ExampleEdit:
    """The example at `size` pixels per side; faces are drawn at 32 to 512 pixels at most."""
    size = min(max(size, 32), 512)
    faces = ToyFaces("val", size)
    left, top, side = (round(size * share) for share in _SHOWN)
    region = Box(*(round(size * share) for share in _REGION))
    shown = Box(left, top, left + side, top + side)
    return ExampleEdit(faces[_SOURCE], region, faces[_OTHER], shown)
