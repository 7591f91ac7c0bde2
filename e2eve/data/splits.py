"""What a data set of images is, and both of its parts as a config names them."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from e2eve.checks import full_name, require
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
        ValueError: when one of them cannot be built, or is no data set of images.
    """
    node, parts = plain(dataset), Splits._fields
    if "_target_" in node:
        made = tuple(instantiate(node, "dataset"))
        if len(made) != len(parts):
            raise ValueError(f"{node['_target_']} gives {len(made)} things, give (train, val).")
    else:
        nodes = {f"dataset.{part}": node.get(part) for part in parts}
        for key, part in nodes.items():
            require(isinstance(part, dict), f"{key} is", part, "a group of settings with _target_")
        made = tuple(instantiate(part, key) for key, part in nodes.items())
    return Splits(*map(check_images, made))


def check_images(images: Any) -> Images:
    """The data set itself, once its first image has been looked at.

    Raises:
        ValueError: when it lacks a method, images, or gives anything but `Images` says.
    """
    for method in ("__len__", "__getitem__", "name"):
        if not callable(getattr(images, method, None)):
            raise ValueError(
                f"{full_name(images)} has no method {method}: a data set has __len__, __getitem__ "
                "and name, the latter two of an index."
            )
    if len(images) < 1:
        raise ValueError(f"{full_name(images)} has no images: its length is 0, give at least 1.")
    image, name = images[0], images.name(0)
    fits = isinstance(image, np.ndarray) and image.dtype == np.uint8
    fits = fits and image.ndim == 3 and image.shape[2] == 3 and image.size > 0
    require(fits, images, image, "uint8 of height × width × 3 (RGB)")
    require(isinstance(name, str), images.name, name, "text")
    return images
