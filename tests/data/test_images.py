"""Reading odd files, resizing, and the way to tensors and back."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from e2eve.data import images
from e2eve.data.images import (
    decoded,
    from_pillow,
    read_image,
    resize,
    square,
    to_tensor,
    to_uint8,
)


@pytest.fixture
def ramp() -> np.ndarray:
    """Every pixel different, 16 wide and 12 high."""
    values = np.arange(12 * 16, dtype=np.uint8).reshape(12, 16)
    return np.stack([values, 255 - values, values // 2], axis=-1)


def saved(tmp_path, image: Image.Image, name: str = "image.png", **options):
    image.save(tmp_path / name, **options)
    return tmp_path / name


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.bmp", "a.tiff"])
def test_lossless_formats_come_back_exactly(tmp_path, ramp, name):
    options = {"lossless": True} if name.endswith("webp") else {}
    path = saved(tmp_path, Image.fromarray(ramp), name, **options)
    assert np.array_equal(read_image(path), ramp)


def test_bytes_are_read_as_the_file_that_holds_them(tmp_path, ramp):
    path = saved(tmp_path, Image.fromarray(ramp), "a.jpg")

    def read(data: bytes) -> np.ndarray:
        return decoded(io.BytesIO(data), "The source", from_pillow)

    assert np.array_equal(read(path.read_bytes()), read_image(path))
    with pytest.raises(ValueError, match=r"^The source is in none of the formats"):
        read(b"<svg/>")
    with pytest.raises(ValueError, match=r"^The source cannot be read"):
        read(path.read_bytes()[:200])


def test_jpeg_comes_back_nearly(tmp_path):
    flat = np.full((16, 16, 3), (200, 100, 50), dtype=np.uint8)
    image = read_image(saved(tmp_path, Image.fromarray(flat), "a.JPG", quality=95))
    assert np.abs(image.astype(int) - flat).max() < 6


def test_suffix_does_not_decide_the_format(tmp_path, ramp):
    path = saved(tmp_path, Image.fromarray(ramp), "a.jpg", format="PNG")
    assert np.array_equal(read_image(path), ramp)


def test_grey_gets_three_equal_channels(tmp_path, ramp):
    image = read_image(saved(tmp_path, Image.fromarray(ramp[..., 0])))
    assert np.array_equal(image, np.repeat(ramp[..., :1], 3, axis=-1))


def test_one_bit_is_black_and_white(tmp_path):
    bits = np.eye(8, dtype=bool)
    assert np.array_equal(read_image(saved(tmp_path, Image.fromarray(bits)))[..., 0], bits * 255)


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_sixteen_bits_are_scaled_not_clipped(tmp_path, suffix):
    levels = np.arange(256, dtype=np.uint16).reshape(16, 16) * 257
    image = read_image(saved(tmp_path, Image.fromarray(levels), f"deep.{suffix}"))
    assert np.array_equal(image[..., 0], levels // 257)


def test_thirty_two_bit_integers_are_read_as_sixteen_or_refused(tmp_path):
    levels = np.array([[0, 257 * 7], [65535, 128]], dtype=np.int32)
    image = read_image(saved(tmp_path, Image.fromarray(levels), "deep.tiff"))
    assert image[..., 0].tolist() == [[0, 7], [255, 0]]
    with pytest.raises(ValueError, match="do not fit 16 bits"):
        read_image(saved(tmp_path, Image.fromarray(levels * 2), "deeper.tiff"))


def test_floating_point_is_refused(tmp_path):
    path = saved(tmp_path, Image.fromarray(np.zeros((4, 4), dtype=np.float32)), "real.tiff")
    with pytest.raises(ValueError, match=r"real\.tiff cannot be read \(its values are floating"):
        read_image(path)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_shows_white(tmp_path, mode):
    image = Image.new(mode, (4, 4), 0)
    assert (read_image(saved(tmp_path, image)) == 255).all()


def test_half_transparent_black_is_grey(tmp_path):
    path = saved(tmp_path, Image.new("RGBA", (4, 4), (0, 0, 0, 128)))
    assert (read_image(path) == 127).all()


def test_palette_with_and_without_transparency(tmp_path, ramp):
    palette = Image.fromarray(ramp // 128 * 255).quantize(8)
    expected = np.array(palette.convert("RGB"))
    assert np.array_equal(read_image(saved(tmp_path, palette)), expected)
    assert np.array_equal(read_image(saved(tmp_path, palette, "a.gif")), expected)
    index = np.asarray(palette)
    path = saved(tmp_path, palette, "clear.png", transparency=int(index[0, 0]))
    assert (read_image(path)[index == index[0, 0]] == 255).all()


def test_cmyk_becomes_rgb(tmp_path):
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    red = read_image(saved(tmp_path, image, "print.jpg", quality=100)).mean((0, 1))
    assert red[0] > 240 and red[1:].max() < 20


@pytest.mark.parametrize(
    ("orientation", "undo"),
    [(3, lambda a: np.rot90(a, 2)), (6, lambda a: np.rot90(a, -1)), (2, np.fliplr)],
)
def test_exif_rotation_is_applied(tmp_path, ramp, orientation, undo):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = read_image(saved(tmp_path, Image.fromarray(ramp), exif=exif.tobytes()))
    assert np.array_equal(image, undo(ramp))


def test_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    path = saved(tmp_path, frames[0], "a.gif", save_all=True, append_images=frames[1:])
    assert read_image(path)[0, 0].tolist() == [255, 0, 0]


def test_missing_file_and_folder(tmp_path):
    for path in (tmp_path / "none.png", tmp_path):
        with pytest.raises(ValueError, match="is not a file"):
            read_image(path)


@pytest.mark.parametrize("content", [b"", b"just text", b"<svg/>", b"%!PS-Adobe-3.0 EPSF-3.0\n"])
def test_other_content_is_refused_by_name(tmp_path, content):
    (tmp_path / "odd.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"odd\.png is in none of the formats PNG, JPEG"):
        read_image(tmp_path / "odd.png")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.bmp", "a.tiff"])
def test_truncated_files_are_refused_by_name(tmp_path, name):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = saved(tmp_path, Image.fromarray(noise), name)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match=name):
        read_image(path)


def test_random_damage_raises_nothing_but_value_errors(tmp_path, ramp):
    rng = np.random.default_rng(0)
    path = saved(tmp_path, Image.fromarray(ramp))
    intact = path.read_bytes()
    for _ in range(100):
        damaged = bytearray(intact)
        for place in rng.integers(8, len(intact), 4):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            read_image(path)
        except ValueError as error:
            assert str(path) in str(error)


def test_too_many_pixels_are_refused_before_decoding(tmp_path, monkeypatch, ramp):
    path = saved(tmp_path, Image.fromarray(ramp))
    monkeypatch.setattr(images, "MAX_PIXELS", 191)
    with pytest.raises(ValueError, match="192 pixels, more than the limit of 191"):
        read_image(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ValueError, match="decompression bomb"):
        read_image(path)


def test_from_pillow_equals_reading(tmp_path):
    image = Image.new("RGBA", (5, 4), (10, 20, 30, 40))
    assert np.array_equal(from_pillow(image), read_image(saved(tmp_path, image)))


@pytest.mark.parametrize("size", [(16, 12), (8, 6), (31, 50), (8, 50), (1, 1)])
def test_resize_gives_the_size_and_keeps_a_flat_colour(size):
    flat = np.full((12, 16, 3), (1, 128, 254), dtype=np.uint8)
    image = resize(flat, *size)
    assert image.shape == (size[1], size[0], 3)
    assert (image == flat[0, 0]).all()


def test_shrinking_averages_pixels(ramp):
    expected = ramp.reshape(6, 2, 8, 2, 3).mean((1, 3))
    assert np.abs(resize(ramp, 8, 6) - expected).max() <= 0.5


def test_square_crops_the_centre(ramp):
    assert np.array_equal(square(ramp, 12), ramp[:, 2:14])
    assert square(ramp.transpose(1, 0, 2), 7).shape == (7, 7, 3)


@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
def test_tensors_and_back_for_all_levels(batch):
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=-1)
    pixels = np.broadcast_to(levels, (*batch, 16, 16, 3))
    tensor = to_tensor(pixels)
    assert tensor.shape == (*batch, 3, 16, 16)
    assert (tensor.min(), tensor.max()) == (-1, 1)
    assert np.array_equal(to_uint8(tensor), pixels)


def test_flipped_views_can_become_tensors(ramp):
    assert torch.equal(to_tensor(ramp[:, ::-1]), to_tensor(ramp).flip(-1))


def test_to_uint8_clamps_and_rounds():
    values = torch.tensor([-9.0, -1 + 0.6 / 127.5, 9.0]).view(3, 1, 1)
    assert to_uint8(values).tolist() == [[[0, 1, 255]]]
