"""What a caller may hand over: paths, Pillow images and arrays, made images and masks."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from e2eve.data.images import from_pillow, read_image
from e2eve.geometry import Box

# A file, a Pillow image of any mode, or a `uint8` array (height, width, 3).
ImageInput = str | Path | Image.Image | np.ndarray

# A box in pixels of the source, or a mask of its size that is white where to edit; as an array it
# is `bool`, or `uint8` with 0 and 255.
RegionInput = Box | ImageInput

WHITE = 128  # the least grey level of a mask that counts as white


def as_image(
    given: Any, what: str, background: str = "white"
) -> UInt8[np.ndarray, "height width 3"]:
    """An `ImageInput` as RGB.

    Args:
        what: its name in messages.
        background: colour that transparent parts lie over.

    Raises:
        ValueError: for a file that cannot be read, and anything that is no `ImageInput`.
    """
    if isinstance(given, str | Path):
        return read_image(given, background)
    if isinstance(given, Image.Image):
        try:
            return from_pillow(given, background)
        except ValueError as error:
            raise ValueError(f"The {what} cannot be used ({error}): give another image.") from error
    filled = isinstance(given, np.ndarray) and given.dtype == np.uint8 and given.size
    if filled and given.ndim == 3 and given.shape[2] == 3:
        return given
    raise ValueError(
        f"The {what} is {_described(given)}: give a path, a Pillow image or a uint8 array of "
        "shape (height, width, 3) with values 0 to 255."
    )


def as_region(given: object, width: int, height: int) -> Bool[np.ndarray, "height width"]:
    """A `RegionInput` as a mask: True where a source of `width` × `height` pixels is to be edited.

    A mask's transparent parts are kept, its grey parts edited from `WHITE` on.

    Raises:
        ValueError: for a box that leaves the source, a mask of another size or without a white
            pixel, a file that cannot be read, and anything that is no `RegionInput`.
    """
    if isinstance(given, Box):
        if not Box(0, 0, width, height).contains(given):
            raise ValueError(
                f"The region {given} reaches outside the source of {width}×{height} pixels: give "
                "one inside it."
            )
        return given.mask(width, height)
    mask = as_mask(given)
    if mask.shape != (height, width):
        raise ValueError(
            f"The mask has {mask.shape[1]}×{mask.shape[0]} pixels and the source "
            f"{width}×{height}: give a mask of the source's size."
        )
    if not mask.any():
        raise ValueError(
            "The mask marks no pixel: paint what to edit white (255, or True in a bool array)."
        )
    return mask


def as_mask(given: object) -> Bool[np.ndarray, "height width"]:
    """A mask of any size, True where it is white.

    Raises:
        ValueError: for a file that cannot be read, and anything that is no mask.
    """
    if isinstance(given, str | Path | Image.Image):
        return as_image(given, "mask", background="black").max(-1) >= WHITE
    if isinstance(given, np.ndarray) and given.ndim == 2 and given.dtype in (np.bool_, np.uint8):
        return given if given.dtype == np.bool_ else given >= WHITE
    raise ValueError(
        f"The region is {_described(given)}: give a Box, a path, a Pillow image, or a bool or "
        "uint8 array of shape (height, width)."
    )


def _described(given: object) -> str:
    if isinstance(given, np.ndarray):
        return f"a {given.dtype} array of shape {given.shape}"
    return f"of type {type(given).__name__}"
