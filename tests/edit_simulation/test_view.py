"""The square view: its size, what part of the image it shows, and how often it is flipped."""

import numpy as np
import pytest

from e2eve.edit_simulation import CentreView, RandomView


def columns(height: int, width: int) -> np.ndarray:
    """Each column of the image has its own red level; each row its own green one."""
    image = np.zeros((height, width, 3), dtype=np.uint8)
    image[..., 0] = np.arange(width)
    image[..., 1] = np.arange(height)[:, None]
    return image


@pytest.mark.parametrize("size", [(40, 40), (40, 90), (90, 40), (7, 300), (1, 1)])
@pytest.mark.parametrize("view", [RandomView(), CentreView()])
def test_any_picture_becomes_a_square(size, view):
    image = view(np.zeros((*size, 3), dtype=np.uint8), 24, np.random.default_rng(0))
    assert image.shape == (24, 24, 3)
    assert image.flags.c_contiguous


def test_whole_square_without_flip_is_the_picture():
    image = columns(32, 32)
    view = RandomView(1.0, 1.0, flip=0.0)
    assert np.array_equal(view(image, 32, np.random.default_rng(0)), image)


def test_flip_swaps_left_and_right():
    image = columns(32, 32)
    view = RandomView(1.0, 1.0, flip=1.0)
    assert np.array_equal(view(image, 32, np.random.default_rng(0)), image[:, ::-1])


def test_half_of_the_views_are_flipped():
    rng = np.random.default_rng(0)
    views = [RandomView()(columns(32, 32), 8, rng) for _ in range(1000)]
    flipped = np.mean([view[0, 0, 0] > view[0, -1, 0] for view in views])
    assert 0.45 < flipped < 0.55


def test_area_is_uniform_and_the_place_is_spread():
    rng, image = np.random.default_rng(0), columns(200, 200)
    reds = [RandomView(flip=0.0)(image, 200, rng)[0, :, 0].astype(float) for _ in range(1000)]
    areas = np.array([(red[-1] - red[0] + 1) ** 2 / 200**2 for red in reds])
    assert 0.73 < areas.min() < areas.max() <= 1
    assert abs(areas.mean() - 0.875) < 0.01
    assert min(red[0] for red in reds) == 0 and max(red[-1] for red in reds) == 199


def test_wide_pictures_are_panned():
    rng, image = np.random.default_rng(0), columns(20, 200)
    lefts = [RandomView(flip=0.0)(image, 20, rng)[0, 0, 0] for _ in range(300)]
    assert min(lefts) < 10 and max(lefts) > 170


def test_centre_view_draws_nothing():
    rng = np.random.default_rng(0)
    image = CentreView()(columns(20, 30), 20, rng)
    assert np.array_equal(image, columns(20, 30)[:, 5:25])
    assert rng.random() == np.random.default_rng(0).random()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"min_area": 0.0}, "min_area is 0.0: give 0.01 to 1"),
        ({"min_area": 0.9, "max_area": 0.8}, "the smaller first"),
        ({"flip": 1.5}, "flip is 1.5: give 0 to 1"),
    ],
)
def test_wrong_ranges(arguments, message):
    with pytest.raises(ValueError, match=message):
        RandomView(**arguments)
