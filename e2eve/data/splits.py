"""What a data set of images is, and both of its parts as a config names them."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from e2eve.config import instantiate, plain


@runtime_checkable
class Images(Protocol):
    """A map-style data set of uint8 RGB images of any size, with a name for each."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> UInt8[np.ndarray, "height width 3"]: ...
    def name(self, index: int) -> str: ...


class Splits(NamedTuple):
    """The images that are trained on, and those that validation looks at."""

    train: Images
    val: Images


def build_splits(dataset: Any) -> Splits:
    """Both parts of the config's group `dataset`.

    The group has one `_target_`, which returns (train, val), or nodes `train` and `val` with a
    `_target_` each.

    Raises:
        ValueError: when one of them cannot be built.
    """
    node = plain(dataset)
    if "_target_" in node:
        return Splits(*instantiate(node, "dataset"))
    return Splits(*(instantiate(node[part], f"dataset.{part}") for part in Splits._fields))
