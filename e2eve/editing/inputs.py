"""What a person may hand over beside the source: a driver, and where to edit."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from e2eve.data.images import decoded, from_pillow, square
from e2eve.editing.pictures import ImageInput, Picture, described
from e2eve.geometry import Box

# A box in pixels of the source, or a mask of its size that is white where to edit; as an array it
# is `bool`, or `uint8` with 0 and 255.
RegionInput = Box | ImageInput

WHITE = 128  # the least grey level of a mask that counts as white, of an opacity that is seen
GREY = 128  # what a driver shows where it shows nothing


@dataclass(frozen=True, eq=False)
class Driver:
    """What should appear, out of an image that may show more.

    What is transparent or outside the part is not shown to the editor but plain grey, and the
    driver is cropped to what is left.

    Attributes:
        part: a box or a mask of what is the driver; None: all of the image.
        fit: of what is not square, "crop" shows the largest centred square, "pad" all of it, with
            its border pixels repeated.
    """

    image: ImageInput
    part: RegionInput | None = None
    fit: str = "crop"

    def shown(self, side: int) -> UInt8[np.ndarray, "side side 3"]:
        """As an editor sees it.

        Raises:
            ValueError: when image or part cannot be used, or all of the part is transparent.
        """
        if self.fit not in ("crop", "pad"):
            raise ValueError(f'The driver\'s fit is "{self.fit}": give "crop" or "pad".')
        picture = Picture.of(self.image, "driver")
        image, (width, height) = picture.shown, picture.size
        part = Box(0, 0, width, height) if self.part is None else self.part
        seen = as_region(part, width, height, of="driver").copy()
        if picture.opacity is not None:
            seen &= picture.opacity >= WHITE
            if not seen.any():
                raise ValueError("The driver is transparent: give one that shows something.")
        box = Box.around(seen)
        image = box.crop(image)
        if not box.crop(seen).all():
            image = np.where(box.crop(seen)[..., None], image, np.uint8(GREY))
        if self.fit == "pad":
            image = Box(0, 0, box.width, box.height).padded_crop(image)
        return square(image, side)


def as_region(
    given: object, width: int, height: int, of: str = "source"
) -> Bool[np.ndarray, "height width"]:
    """A `RegionInput` as a mask: True where a source of `width` × `height` pixels is to be edited.

    A mask's transparent parts are kept, its grey parts edited from `WHITE` on.

    Args:
        of: what the image is called in messages.

    Raises:
        ValueError: for a box that leaves the source, a mask of another size or without a white
            pixel, a file that cannot be read, and anything that is no `RegionInput`.
    """
    if isinstance(given, Box):
        if not Box(0, 0, width, height).contains(given):
            raise ValueError(
                f"The box {given} reaches outside the {of} of {width}×{height} pixels: give "
                "one inside it."
            )
        return given.mask(width, height)
    mask = as_mask(given)
    if mask.shape != (height, width):
        raise ValueError(
            f"The mask has {mask.shape[1]}×{mask.shape[0]} pixels and the {of} "
            f"{width}×{height}: give a mask of the {of}'s size."
        )
    if not mask.any():
        raise ValueError(
            "The mask marks no pixel: paint white what is meant (255, or True in a bool array)."
        )
    return mask


def apart(
    given: Sequence[object], width: int, height: int
) -> list[Bool[np.ndarray, "height width"]]:
    """Regions of a source of `width` × `height` pixels as masks, see `as_region`.

    Raises:
        ValueError: also where none is given, or two share a pixel.
    """
    regions = [as_region(one, width, height) for one in given]
    taken = np.zeros((height, width), bool)
    for number, mask in enumerate(regions, start=1):
        if (shared := np.count_nonzero(taken & mask)) > 0:
            raise ValueError(
                f"Region {number} shares {shared} pixels with one before it: give regions apart."
            )
        taken |= mask
    if not regions:
        raise ValueError("No region is given: give at least one.")
    return regions


def as_mask(given: object) -> Bool[np.ndarray, "height width"]:
    """A mask of any size, True where it is white.

    Raises:
        ValueError: for a file that cannot be read, and anything that is no mask.
    """
    if isinstance(given, str | Path):
        black = partial(from_pillow, background="black")
        return decoded(given, str(given), black).max(-1) >= WHITE
    if isinstance(given, Image.Image):
        try:
            return from_pillow(given, "black").max(-1) >= WHITE
        except ValueError as error:
            raise ValueError(f"The mask cannot be used ({error}): give another image.") from error
    if isinstance(given, np.ndarray) and given.ndim == 2 and given.dtype in (np.bool_, np.uint8):
        return given if given.dtype == np.bool_ else given >= WHITE
    raise ValueError(
        f"The region is {described(given)}: give a Box, a path, a Pillow image, or a bool or "
        "uint8 array of shape (height, width)."
    )
