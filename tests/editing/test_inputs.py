"""Images and regions as people hand them over."""

import numpy as np
import pytest
import torch
from PIL import Image

from e2eve.data.images import square
from e2eve.editing.inputs import Driver, apart, as_region
from e2eve.editing.pictures import Picture
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
        assert np.array_equal(Picture.of(given, "source").shown, image)


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
        Picture.of(given, "source")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (Box(5, 6, 41, 25), "reaches outside the source of 40×30 pixels: give one inside"),
        (Box(-1, 0, 3, 3), "reaches outside the source of 40×30"),
        (MASK.T, "mask has 30×40 pixels and the source 40×30: give a mask of the source's size"),
        (~MASK & MASK, "marks no pixel: paint white what is meant"),
        (MASK.astype(np.uint8), "marks no pixel: paint white what is meant .255"),
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


def grey_where_hidden(image: np.ndarray, seen: np.ndarray) -> np.ndarray:
    box = Box.around(seen)
    return box.crop(np.where(seen[..., None], image, np.uint8(128)))


SQUARE = Box(4, 5, 20, 21)


@pytest.mark.parametrize("kind", ["box", "mask", "alpha", "both"])
def test_of_a_driver_the_part_is_shown_alone(kind, tmp_path):
    image, disc = pixels(), np.zeros((HEIGHT, WIDTH), bool)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    disc = (rows - 12.5) ** 2 + (columns - 11.5) ** 2 < 64
    layered = Image.fromarray(image)
    layered.putalpha(Image.fromarray(disc.astype(np.uint8) * 255))
    driver, seen = {
        "box": (Driver(image, SQUARE), SQUARE.mask(WIDTH, HEIGHT)),
        "mask": (Driver(image, disc), disc),
        "alpha": (Driver(layered), disc),
        "both": (Driver(layered, SQUARE), disc & SQUARE.mask(WIDTH, HEIGHT)),
    }[kind]
    assert np.array_equal(driver.shown(16), square(grey_where_hidden(image, seen), 16))


def test_what_is_hidden_of_a_driver_changes_nothing():
    image, other = pixels(), pixels()
    other[~MASK] = 7
    assert np.array_equal(Driver(image, MASK).shown(16), Driver(other, MASK).shown(16))


def test_a_driver_is_cropped_or_padded():
    image = pixels()
    assert np.array_equal(Driver(image).shown(30), image[:, 5:35])
    padded = Driver(image, fit="pad").shown(40)
    assert np.array_equal(padded[5:35], image)
    assert (padded[:5] == image[0]).all()
    assert (padded[35:] == image[-1]).all()


@pytest.mark.parametrize(
    ("driver", "message"),
    [
        (Driver(pixels(), fit="stretch"), 'fit is "stretch": give "crop" or "pad"'),
        (Driver(pixels(), Box(0, 0, 41, 30)), "reaches outside the driver of 40×30 pixels"),
        (Driver(pixels(), MASK.T), "give a mask of the driver's size"),
        (Driver(Image.new("RGBA", (9, 9))), "The driver is transparent: give one that shows"),
    ],
)
def test_a_driver_that_shows_nothing_is_refused(driver, message):
    with pytest.raises(ValueError, match=message):
        driver.shown(16)


def test_regions_that_share_pixels_are_refused():
    boxes = [Box(0, 0, 10, 10), Box(10, 0, 20, 10)]
    assert [mask.sum() for mask in apart(boxes, WIDTH, HEIGHT)] == [100, 100]
    with pytest.raises(ValueError, match="Region 3 shares 5 pixels with one before it: give"):
        apart([*boxes, Box(0, 9, 5, 11)], WIDTH, HEIGHT)
    with pytest.raises(ValueError, match="No region is given"):
        apart([], WIDTH, HEIGHT)
