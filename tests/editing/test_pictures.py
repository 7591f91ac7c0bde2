"""Pictures: what a file holds outlives an edit outside the region, and inside it fits the rest."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from e2eve.data.images import FORMATS, read_image
from e2eve.editing import Picture
from e2eve.editing.compositing import edit_weights, window_around
from e2eve.geometry import Box

WIDTH, HEIGHT = 40, 30
BOX = Box(5, 6, 20, 25)
OUTSIDE = ~BOX.mask(WIDTH, HEIGHT)
RED = np.full((32, 32, 3), (200, 30, 40), np.uint8)


def wide_gamut() -> bytes:
    """sRGB's profile with the curves of its channels taken for straight ones, so colours differ."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    number = int.from_bytes(data[128:132], "big")
    tags = {}
    for n in range(number):
        entry = 132 + 12 * n
        tags[bytes(data[entry : entry + 4])] = entry
    red, blue = tags[b"rXYZ"], tags[b"bXYZ"]
    data[red + 4 : red + 12], data[blue + 4 : blue + 12] = (
        data[blue + 4 : blue + 12],
        data[red + 4 : red + 12],
    )
    where = int.from_bytes(data[tags[b"desc"] + 4 : tags[b"desc"] + 8], "big")
    text = data.find("sRGB".encode("utf-16-be"), where)
    data[text : text + 8] = "Odd!".encode("utf-16-be")
    return bytes(data)


def noise(mode: str, seed: int = 0) -> Image.Image:
    channels = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4, "I;16": 1, "1": 1, "P": 1}[mode]
    rng = np.random.default_rng(seed)
    if mode == "I;16":
        return Image.fromarray(rng.integers(0, 65536, (HEIGHT, WIDTH), dtype=np.uint16))
    if mode == "1":
        return Image.fromarray(rng.random((HEIGHT, WIDTH)) < 0.5)
    values = rng.integers(0, 256, (HEIGHT, WIDTH, channels), dtype=np.uint8)
    image = (
        Image.frombytes("RGB" if mode == "P" else mode, (WIDTH, HEIGHT), values.tobytes())
        if mode != "P"
        else Image.fromarray(np.repeat(values, 3, 2)).quantize(16)
    )
    return image


def edited(picture: Picture, edit: np.ndarray = RED, feather: float = 0) -> Picture:
    window = window_around(BOX, *picture.size)
    return picture.with_edit(edit, window, BOX, edit_weights(~OUTSIDE, feather))


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "CMYK", "I;16"])
@pytest.mark.parametrize("feather", [0, 3])
def test_outside_the_region_are_the_files_own_values(mode, feather):
    image = noise(mode)
    result = edited(Picture.of(image, "source"), feather=feather).image()
    assert result.mode == mode
    assert np.array_equal(np.asarray(result)[OUTSIDE], np.asarray(image)[OUTSIDE])
    assert not np.array_equal(np.asarray(result), np.asarray(image))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "CMYK"])
def test_an_edit_has_the_colours_that_were_painted(mode):
    shown = edited(Picture.of(noise(mode), "source")).shown
    assert np.abs(shown[~OUTSIDE].astype(int) - RED[0, 0]).max() <= (2 if mode == "CMYK" else 0)


@pytest.mark.parametrize("mode", ["L", "I;16"])
def test_of_a_grey_source_edits_are_grey(mode):
    shown = edited(Picture.of(noise(mode), "source")).shown[~OUTSIDE]
    grey = np.asarray(Image.fromarray(RED).convert("L"))[0, 0]
    assert (shown == grey).all()


def test_an_edit_is_seen_where_the_source_was_not():
    image = noise("RGBA")
    image.putalpha(0)
    result = edited(Picture.of(image, "source"))
    assert result.opacity is not None
    assert (result.opacity[~OUTSIDE] == 255).all()
    assert (result.opacity[OUTSIDE] == 0).all()


def test_in_the_rim_hidden_colours_do_not_show():
    """A rim over nothing has the edit's colour and less of it."""
    image = Image.new("RGBA", (WIDTH, HEIGHT), (0, 255, 0, 0))
    result = edited(Picture.of(image, "source"), feather=4)
    assert (result.values[~OUTSIDE][:, :3] == RED[0, 0]).all()
    assert result.opacity is not None
    assert 0 < result.opacity[6, 12] < 255


def test_colours_are_seen_and_edited_in_the_files_own_space():
    image = noise("RGB")
    profile = wide_gamut()
    image.info["icc_profile"] = profile
    picture = Picture.of(image, "source")
    plain = Picture.of(noise("RGB"), "source")
    assert np.abs(picture.shown.astype(int) - plain.shown).max() > 40
    result = edited(picture, np.full((32, 32, 3), 128, np.uint8))
    assert result.image().info["icc_profile"] == profile
    assert np.array_equal(result.values[OUTSIDE], picture.values[OUTSIDE])
    assert np.abs(result.shown[~OUTSIDE].astype(int) - 128).max() <= 2
    back = edited(picture, picture.shown[:30, :30])  # in gamut or not, no traceback
    assert back.values.shape == picture.values.shape


@pytest.mark.parametrize("profile", [b"", b"no profile", wide_gamut()[:200]])
def test_a_damaged_profile_is_kept_and_changes_no_colour(profile):
    image = noise("RGB")
    image.info["icc_profile"] = profile
    picture = Picture.of(image, "source")
    assert np.array_equal(picture.shown, Picture.of(noise("RGB"), "source").shown)
    assert picture.image().info["icc_profile"] == profile


def test_a_profile_of_other_channels_changes_nothing():
    image = noise("L")
    image.info["icc_profile"] = wide_gamut()
    assert np.array_equal(Picture.of(image, "source").shown[..., 0], np.asarray(image))


def written(image: Image.Image, path: Path, **options: Any) -> Path:
    image.save(path, **options)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif", "a.bmp", "a.avif"])
def test_files_are_shown_as_they_are_read(tmp_path, name):
    path = written(noise("RGB"), tmp_path / name)
    assert np.array_equal(Picture.of(path, "source").shown, read_image(path))
    data = io.BytesIO(path.read_bytes())
    assert np.array_equal(Picture.of(data, "source").shown, read_image(path))


@pytest.mark.parametrize("mode", ["1", "P"])
def test_bits_and_palettes_keep_their_colours(mode, tmp_path):
    image = noise(mode)
    picture = Picture.of(written(image, tmp_path / "a.png"), "source")
    assert picture.mode == {"1": "L", "P": "RGB"}[mode]
    assert np.array_equal(picture.shown, np.asarray(image.convert("RGB")))


def test_a_transparent_palette_keeps_its_transparency(tmp_path):
    path = tmp_path / "a.png"
    noise("P").save(path, transparency=3)
    picture = Picture.of(path, "source")
    assert picture.mode == "RGBA"
    assert picture.opacity is not None
    assert set(np.unique(picture.opacity)) == {0, 255}


def test_rotation_is_applied_once_and_the_rest_of_exif_is_kept(tmp_path):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Maker"
    path = written(noise("RGB"), tmp_path / "a.jpg", exif=exif, dpi=(300, 300))
    picture = Picture.of(path, "source")
    assert picture.size == (HEIGHT, WIDTH)
    assert np.array_equal(picture.shown, read_image(path))
    again = Picture.of(written(picture.image(), tmp_path / "b.png", **picture.about), "source")
    assert np.array_equal(again.shown, picture.shown)
    with Image.open(tmp_path / "b.png") as image:
        assert dict(image.getexif())[0x010F] == "Maker"
        assert np.allclose(image.info["dpi"], 300, atol=0.1)


def test_a_camera_file_with_a_second_image_is_its_first(tmp_path):
    first, second = noise("RGB"), noise("RGB", 1)
    first.save(tmp_path / "a.mpo", save_all=True, append_images=[second])
    (tmp_path / "a.mpo").rename(tmp_path / "a.jpg")
    shown = Picture.of(tmp_path / "a.jpg", "source").shown.astype(int)
    assert np.abs(shown - np.asarray(first)).mean() < np.abs(shown - np.asarray(second)).mean()


@pytest.mark.skipif("HEIF" not in FORMATS, reason="pillow-heif is not installed")
def test_photographs_of_telephones_are_read(tmp_path):
    image = Image.new("RGB", (64, 48), (200, 100, 50))
    path = written(image, tmp_path / "a.heic")
    assert np.abs(Picture.of(path, "source").shown.astype(int) - np.asarray(image)).max() < 8


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_colours_of_16_bits_are_refused_and_not_cut_off(tmp_path, suffix):
    import cv2

    deep = np.random.default_rng(0).integers(0, 65536, (8, 8, 3), dtype=np.uint16)
    path = tmp_path / f"deep.{suffix}"
    assert cv2.imwrite(str(path), deep)
    with pytest.raises(ValueError, match=r"deep.* cannot be read \(it is RGB of 16 bits, convert"):
        Picture.of(path, "source")
    assert read_image(path).shape == (8, 8, 3)  # as a driver or for training 8 bits are enough


@pytest.mark.parametrize("suffix", ["gif", "png", "tif", "webp"])
def test_a_file_of_several_pictures_is_known_for_one(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    noise("RGB").save(path, save_all=True, append_images=[noise("RGB", n) for n in (1, 2)])
    assert Picture.of(path, "source").pictures == 3
    noise("RGB").save(path)
    assert Picture.of(path, "source").pictures == 1


def test_a_profile_of_other_colours_is_left_out(tmp_path):
    """An edit of a Lab file is RGB, which its profile says nothing of."""
    path, profile = tmp_path / "a.tif", ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    noise("RGB").convert("LAB").save(path, icc_profile=profile.tobytes())
    picture = Picture.of(path, "source")
    assert picture.mode == "RGB" and "icc_profile" not in picture.about
