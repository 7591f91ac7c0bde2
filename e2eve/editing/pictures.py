"""A source as its file holds it: bits, colour space and transparency outlive an edit."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped, UInt8
from PIL import ExifTags, Image, ImageCms

from e2eve.data.images import decoded, from_pillow, upright
from e2eve.editing.compositing import composed
from e2eve.geometry import Box

# Modes that values are kept in; the number of channels and whether the last of them is opacity.
MODES = {
    "L": (1, False),
    "LA": (2, True),
    "RGB": (3, False),
    "RGBA": (4, True),
    "CMYK": (4, False),
    "I;16": (1, False),
}

OTHER_COLOURS = ("LAB", "HSV", "YCbCr")  # become RGB, of which their profile says nothing
SEQUENCES = ("GIF", "PNG", "TIFF", "WEBP")  # may hold several pictures that are meant to be seen

# A file, a Pillow image of any mode, or a `uint8` array (height, width, 3).
ImageInput = str | Path | Image.Image | np.ndarray


@dataclass(frozen=True, eq=False)
class Picture:
    """Values in the colour space and with the bits that a file has.

    Palettes become RGB and single bits grey; EXIF rotation is applied. Other modes than `MODES` are
    converted to RGB.

    Attributes:
        values: uint8, or uint16 in mode I;16.
        about: profile, EXIF and resolution of the file, as Pillow takes them when saving.
        pictures: that the file holds, of which this is the first.
    """

    values: Shaped[np.ndarray, "height width channels"]
    mode: str
    about: Mapping[str, Any] = field(default_factory=dict)
    pictures: int = 1

    @classmethod
    def of(cls, given: Any, what: str) -> "Picture":
        """An `ImageInput`, or the bytes of a file.

        Args:
            what: its name in messages, as in "source".

        Raises:
            ValueError: for a file that cannot be read, values that no mode holds (RGB of 16 bits),
                and anything that is no image.
        """
        if isinstance(given, str | Path):
            return decoded(given, str(given), cls._from_pillow)
        if isinstance(given, io.BytesIO):
            return decoded(given, f"The {what}", cls._from_pillow)
        if isinstance(given, Image.Image):
            try:
                return cls._from_pillow(given)
            except ValueError as error:
                raise ValueError(
                    f"The {what} cannot be used ({error}): give another image."
                ) from error
        filled = isinstance(given, np.ndarray) and given.dtype == np.uint8 and given.size
        if filled and given.ndim == 3 and given.shape[2] == 3:
            return cls(given, "RGB")
        raise ValueError(
            f"The {what} is {described(given)}: give a path, a Pillow image or a uint8 array of "
            "shape (height, width, 3) with values 0 to 255."
        )

    @classmethod
    def _from_pillow(cls, image: Image.Image) -> "Picture":
        # Pillow opens such files too, with the lower eight bits cut off.
        if image.mode not in ("I", "I;16") and ";16" in repr(getattr(image, "tile", "")):
            raise ValueError(f"it is {image.mode} of 16 bits, convert it to 8 bits a channel")
        pictures = getattr(image, "n_frames", 1) if image.format in SEQUENCES else 1
        image = upright(image)
        kept = _kept(image)
        names = {"icc_profile", "dpi"} & image.info.keys()
        if image.mode in OTHER_COLOURS:
            names -= {"icc_profile"}
        about: dict[str, Any] = {str(name): image.info[name] for name in names}
        exif = image.getexif()
        exif.pop(ExifTags.Base.Orientation, None)
        if exif:
            about["exif"] = exif.tobytes()
        values = np.array(kept)
        return cls(values.reshape(*values.shape[:2], -1), kept.mode, about, pictures)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.values.shape[1], self.values.shape[0]

    @property
    def suffix(self) -> str:
        """Of a file that loses nothing."""
        return ".tif" if self.mode == "CMYK" else ".png"

    @cached_property
    def opacity(self) -> UInt8[np.ndarray, "height width"] | None:
        """0 to 255 where the file has transparency."""
        return self.values[..., -1] if MODES[self.mode][1] else None

    @cached_property
    def shown(self) -> UInt8[np.ndarray, "height width 3"]:
        """As a person sees it: sRGB, what is transparent over white."""
        if self.mode == "RGB" and self._profile is None:
            return self.values
        if self.opacity is None:
            return from_pillow(self._converted(self._image(self.values, self.mode), to="sRGB"))
        colours = self._converted(self._image(self.values[..., :-1], self.mode[:-1]), to="sRGB")
        colours.putalpha(Image.fromarray(self.opacity))
        return from_pillow(colours)

    def image(self) -> Image.Image:
        """As Pillow holds it."""
        image = self._image(self.values, self.mode)
        image.info.update(self.about)
        return image

    def with_edit(
        self,
        edit: UInt8[np.ndarray, "side side 3"],
        window: Box,
        box: Box,
        weights: Float[np.ndarray, "box_height box_width"],
    ) -> "Picture":
        """The edit of a window inside the region, in this picture's colours; outside, its values.

        Args:
            box: bounding box of the region, in pixels of the source.
            weights: of the region, see `edit_weights`.
        """
        values = composed(
            self.values, box, weights, window, edit, self._from_srgb, self.opacity is not None
        )
        return Picture(values, self.mode, self.about)

    def _from_srgb(
        self, colours: UInt8[np.ndarray, "height width 3"]
    ) -> Shaped[np.ndarray, "height width channels"]:
        """Opaque values of this picture's mode."""
        colour = self.mode.removesuffix("A")
        if colour == "I;16":
            grey = np.asarray(Image.fromarray(colours).convert("L"), np.uint16)
            return grey[..., None] * np.uint16(257)
        image = self._converted(Image.fromarray(colours), to=colour)
        values = np.asarray(image).reshape(*colours.shape[:2], -1)
        if self.opacity is None:
            return values
        return np.concatenate([values, np.full_like(values[..., :1], 255)], axis=-1)

    def _converted(self, image: Image.Image, to: str) -> Image.Image:
        """Colours of this picture as sRGB, or sRGB (`to` is a mode) as colours of this picture."""
        profile = self._profile
        if profile is None or image.mode == "I;16":
            # Of 16 bits `from_pillow` makes 8.
            return image if to == "sRGB" else image.convert(to)
        if to == "sRGB":
            found = ImageCms.profileToProfile(image, profile, SRGB, outputMode="RGB")
        else:
            found = ImageCms.profileToProfile(image, SRGB, profile, outputMode=to)
        assert found is not None  # as it is not in place
        return found

    @cached_property
    def _profile(self) -> ImageCms.ImageCmsProfile | None:
        """That of the file, where colours differ from sRGB by it and it can be used."""
        data = self.about.get("icc_profile")
        if not data or self.mode == "I;16":
            return None
        colour = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}[self.mode.removesuffix("A")]
        try:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
            known = ImageCms.getProfileDescription(profile).startswith("sRGB")
            fits = profile.profile.xcolor_space.strip() == colour
            if fits and not known:  # both ways, since a profile may lack one of them
                modes = (self.mode.removesuffix("A"), "RGB")
                ImageCms.buildTransform(profile, SRGB, *modes)
                ImageCms.buildTransform(SRGB, profile, *modes[::-1])
        except (OSError, ImageCms.PyCMSError):  # damaged: colours as if there were none
            return None
        return profile if fits and not known else None

    @staticmethod
    def _image(values: Shaped[np.ndarray, "height width channels"], mode: str) -> Image.Image:
        size = (values.shape[1], values.shape[0])
        return Image.frombytes(mode, size, np.ascontiguousarray(values).tobytes())


SRGB = ImageCms.createProfile("sRGB")


def _kept(image: Image.Image) -> Image.Image:
    """The image in the first of `MODES` that holds all of it."""
    if image.mode == "F" or image.mode.startswith("I"):
        if image.mode not in ("I;16",):
            from_pillow(image)  # says what does not fit
        return Image.fromarray(np.asarray(image).astype(np.uint16))
    if image.mode in MODES and not image.has_transparency_data:
        return image
    if image.mode in ("LA", "RGBA"):
        return image
    if image.mode in ("1", "L", "La"):
        return image.convert("LA" if image.has_transparency_data else "L")
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def described(given: object) -> str:
    """For messages."""
    if isinstance(given, np.ndarray):
        return f"a {given.dtype} array of shape {given.shape}"
    return f"of type {type(given).__name__}"
