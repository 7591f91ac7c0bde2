"""What a data set of pictures is."""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8


@runtime_checkable
class Pictures(Protocol):
    """A map-style data set of uint8 pictures with names."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> UInt8[np.ndarray, "height width 3"]: ...
    def name(self, index: int) -> str: ...
