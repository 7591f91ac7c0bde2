"""Images and regions as people hand them over."""

import numpy as np
import pytest
import torch
from PIL import Image

from e2eve.editing.edits import as_image, as_region
from e2eve.geometry import Box

WIDTH, HEIGHT = 40, 30
BOX = Box(5, 6, 20, 25)
MASK = BOX.mask(WIDTH, HEIGHT)


def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def white_strokes(opaque: tuple[int, int, int, int] = (255, 255, 255, 255)) -> Image.Image:
    """What a painting program saves: strokes on a transparent layer."""
    layer = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    layer[..., :3] = 255
    layer[MASK] = opaque
    return Image.fromarray(layer)


def test_a_path_a_pillow_image_and_an_array_are_the_same_image(tmp_path):
    image = pixels()
    Image.fromarray(image).save(tmp_path / "a.png")
    for given in (image, Image.fromarray(image), tmp_path / "a.png", str(tmp_path / "a.png")):
        assert np.array_equal(as_image(given, "source"), image)


@pytest.mark.parametrize(
    "given",
    [
        BOX,
        MASK,
        MASK.astype(np.uint8) * 255,
        Image.fromarray(MASK),
        Image.fromarray(MASK.astype(np.uint8) * 255),
        Image.fromarray(MASK.astype(np.uint8) * 255).convert("RGB"),
        white_strokes(),
    ],
    ids=["box", "bool", "uint8", "1", "L", "RGB", "transparent"],
)
def test_a_box_and_all_kinds_of_masks_are_the_same_region(given, tmp_path):
    assert np.array_equal(as_region(given, WIDTH, HEIGHT), MASK)
    if isinstance(given, Image.Image):
        given.save(tmp_path / "mask.png")
        assert np.array_equal(as_region(tmp_path / "mask.png", WIDTH, HEIGHT), MASK)


def test_noise_of_a_jpeg_makes_no_region(tmp_path):
    Image.fromarray(MASK).convert("L").save(tmp_path / "mask.jpg", quality=60)
    assert (as_region(tmp_path / "mask.jpg", WIDTH, HEIGHT) == MASK).mean() > 0.98


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (pixels().astype(np.float32), r"source is a float32 array of shape \(30, 40, 3\): give"),
        (pixels()[..., 0], r"source is a uint8 array of shape \(30, 40\): give a path"),
        (pixels()[:0], r"of shape \(0, 40, 3\): give"),
        (torch.zeros(3, 4, 4), "source is of type Tensor: give a path"),
        (None, "source is of type NoneType"),
        ("nowhere.png", "nowhere.png is not a file"),
        (Image.new("F", (3, 3)), r"source cannot be used \(.*floating point.*\): give another"),
    ],
)
def test_what_is_no_image_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        as_image(given, "source")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (Box(5, 6, 41, 25), "reaches outside the source of 40×30 pixels: give one inside"),
        (Box(-1, 0, 3, 3), "reaches outside the source of 40×30"),
        (MASK.T, "mask has 30×40 pixels and the source 40×30: give a mask of the source's size"),
        (~MASK & MASK, "marks no pixel: paint what to edit white"),
        (MASK.astype(np.uint8), "marks no pixel: paint what to edit white .255"),
        (white_strokes((0, 0, 0, 255)), "marks no pixel"),
        (MASK.astype(np.float64), r"region is a float64 array of shape \(30, 40\): give a Box"),
        (pixels(), r"region is a uint8 array of shape \(30, 40, 3\): give a Box"),
        ((5, 6, 20, 25), "region is of type tuple: give a Box"),
        ("nowhere.png", "nowhere.png is not a file"),
    ],
)
def test_what_is_no_region_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        as_region(given, WIDTH, HEIGHT)
