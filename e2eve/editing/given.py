"""What a caller may hand over: paths, Pillow pictures and arrays, made pictures and masks."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image, ImageOps

from e2eve.data.images import FORMATS, from_pillow, read_image
from e2eve.geometry import Box

Picture = str | Path | Image.Image | np.ndarray
"""A file, a Pillow picture of any mode, or a `uint8` array (height, width, 3)."""

Region = Box | Picture
"""A box in pixels of the source, or a mask of its size that is white where to edit; as an array
it is `bool`, or `uint8` with 0 and 255."""

WHITE = 128
"""The least grey level of a mask that counts as white."""


def as_image(given: Any, what: str) -> UInt8[np.ndarray, "height width 3"]:
    """A `Picture` as RGB; `what` is its name in messages.

    Raises:
        ValueError: for a file that cannot be read, and anything that is no `Picture`.
    """
    if isinstance(given, str | Path):
        return read_image(given)
    if isinstance(given, Image.Image):
        return _converted(given, what)
    filled = isinstance(given, np.ndarray) and given.dtype == np.uint8 and given.size
    if filled and given.ndim == 3 and given.shape[2] == 3:
        return given
    raise ValueError(
        f"The {what} is {_described(given)}: give a path, a Pillow picture or a uint8 array of "
        "shape (height, width, 3) with values 0 to 255."
    )


def as_region(given: object, width: int, height: int) -> Bool[np.ndarray, "height width"]:
    """A `Region` as a mask: True where a source of `width` × `height` pixels is to be edited.

    A mask's transparent parts are kept, its grey parts edited from `WHITE` on.

    Raises:
        ValueError: for a box that leaves the source, a mask of another size or without a white
            pixel, a file that cannot be read, and anything that is no `Region`.
    """
    if isinstance(given, Box):
        if not Box(0, 0, width, height).contains(given):
            raise ValueError(
                f"The region {given} reaches outside the source of {width}×{height} pixels: give "
                "one inside it."
            )
        return given.mask(width, height)
    mask = _as_mask(given)
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


def _as_mask(given: object) -> Bool[np.ndarray, "height width"]:
    if isinstance(given, str | Path):
        return read_mask(given)
    if isinstance(given, Image.Image):
        return _lit(_converted(_over_black(given), "mask"))
    if isinstance(given, np.ndarray) and given.ndim == 2:
        if given.dtype == np.bool_:
            return given
        if given.dtype == np.uint8:
            return given >= WHITE
    raise ValueError(
        f"The region is {_described(given)}: give a Box, a path, a Pillow picture, or a bool or "
        "uint8 array of shape (height, width)."
    )


def read_mask(path: str | Path) -> Bool[np.ndarray, "height width"]:
    """Read as pictures are, except that transparency lies over black: unpainted is kept."""
    picture = read_image(path)
    with Image.open(path, formats=FORMATS) as image:
        if image.has_transparency_data:
            picture = from_pillow(_over_black(image))
    return _lit(picture)


def _over_black(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image
    image = ImageOps.exif_transpose(image).convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "black"), image).convert("RGB")


def _lit(
    picture: UInt8[np.ndarray, "height width 3"],
) -> Bool[np.ndarray, "height width"]:
    return picture.max(-1) >= WHITE


def _converted(image: Image.Image, what: str) -> UInt8[np.ndarray, "height width 3"]:
    try:
        return from_pillow(image)
    except ValueError as error:
        raise ValueError(f"The {what} cannot be used ({error}): give another picture.") from error


def _described(given: object) -> str:
    if isinstance(given, np.ndarray):
        return f"a {given.dtype} array of shape {given.shape}"
    return f"of type {type(given).__name__}"
