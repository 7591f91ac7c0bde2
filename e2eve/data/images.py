"""Images in and out: files to uint8 RGB, resizing, and the [-1, 1] tensors of the networks."""

import io
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from torch import Tensor

# What Pillow may decode; its many rarer decoders stay shut to files from strangers.
FORMATS: tuple[str, ...] = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "AVIF")
with suppress(ImportError):  # photographs of telephones
    import pillow_heif

    pillow_heif.register_heif_opener()
    FORMATS = (*FORMATS, "HEIF")

Made = TypeVar("Made")

MAX_PIXELS = 64_000_000  # of the largest image decoded, width times height: 192 MB as RGB


def read_image(path: str | Path, background: str = "white") -> UInt8[np.ndarray, "height width 3"]:
    """The image as a person sees it: EXIF rotation applied, 8 bits; the first of an animation.

    Colour profiles are not applied.

    Args:
        background: colour that transparent parts lie over.

    Raises:
        ValueError: one sentence that names the file: missing, no known format, damaged, too large.
    """
    return decoded(path, str(path), partial(from_pillow, background=background))


def decoded(file: str | Path | io.BytesIO, what: str, make: Callable[[Image.Image], Made]) -> Made:
    """What `make` makes of the image in a file, called `what` in messages.

    Raises:
        ValueError: as `read_image` does.
    """
    if not isinstance(file, io.BytesIO) and not Path(file).is_file():
        raise ValueError(f"{what} is not a file, give the path of an image.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=FORMATS) as image:
                return make(image)
    except UnidentifiedImageError as error:
        known = ", ".join(FORMATS)
        heic = "" if "HEIF" in FORMATS else " (HEIC needs pip install pillow-heif)"
        raise ValueError(f"{what} is in none of the formats {known}, convert it{heic}.") from error
    except Exception as error:  # damaged files make decoders raise nearly anything
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise ValueError(f"{what} cannot be read ({reason}), replace or remove it.") from error


def from_pillow(
    image: Image.Image, background: str = "white"
) -> UInt8[np.ndarray, "height width 3"]:
    """A Pillow image of any mode as RGB, with EXIF rotation applied and transparency over a colour.

    Raises:
        ValueError: when it has more than `MAX_PIXELS` pixels or holds floating-point values.
    """
    image = _to_8_bit(upright(image))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, background), image)
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def upright(image: Image.Image) -> Image.Image:
    """The image with its EXIF rotation applied.

    Raises:
        ValueError: when it has more than `MAX_PIXELS` pixels.
    """
    pixels = image.width * image.height
    if pixels > MAX_PIXELS:
        raise ValueError(f"it has {pixels} pixels, more than the limit of {MAX_PIXELS}")
    turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
    return ImageOps.exif_transpose(image) if turned else image


def _to_8_bit(image: Image.Image) -> Image.Image:
    """Grey images of 16 bits scaled to 8; Pillow's own `convert` would clip them at 255."""
    if image.mode == "F":
        raise ValueError("its values are floating point, which have no agreed white")
    if not image.mode.startswith("I"):
        return image
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise ValueError(f"its values, up to {values.max()}, do not fit 16 bits")
    return Image.fromarray(((values + 128) // 257).astype(np.uint8))


def resize(
    image: UInt8[np.ndarray, "height width 3"], width: int, height: int
) -> UInt8[np.ndarray, "new_height new_width 3"]:
    """Averages pixels along an axis that shrinks, interpolates (cubic) along one that grows."""
    old_height, old_width = image.shape[:2]
    if (old_width, old_height) == (width, height):
        return image
    smaller = (min(width, old_width), min(height, old_height))
    if smaller != (old_width, old_height):
        image = cv2.resize(image, smaller, interpolation=cv2.INTER_AREA)
    if smaller != (width, height):
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)
    return image


def square(
    image: UInt8[np.ndarray, "height width 3"], side: int
) -> UInt8[np.ndarray, "side side 3"]:
    """The largest centred square of the image, resized to `side` pixels."""
    height, width = image.shape[:2]
    shortest = min(height, width)
    top, left = (height - shortest) // 2, (width - shortest) // 2
    return resize(image[top : top + shortest, left : left + shortest], side, side)


def to_tensor(
    images: UInt8[np.ndarray, "*batch height width 3"],
) -> Float[Tensor, "*batch 3 height width"]:
    """0…255 to -1…1; `to_uint8` undoes it exactly."""
    channels_first = rearrange(images, "... height width rgb -> ... rgb height width")
    levels = torch.from_numpy(np.ascontiguousarray(channels_first, dtype=np.float32))
    return levels.div_(127.5).sub_(1)


def to_uint8(
    images: Float[Tensor, "*batch 3 height width"],
) -> UInt8[np.ndarray, "*batch height width 3"]:
    """-1…1 to 0…255, rounded, values outside the range clamped."""
    levels = ((images.detach().float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return rearrange(levels, "... rgb height width -> ... height width rgb").cpu().numpy()
