"""Where drivers are cut out: inside the region always, large enough, well spread."""

import numpy as np
import pytest
from scipy import stats

from e2eve.edit_simulation import (
    Block,
    Brush,
    CentreView,
    DriverCrop,
    EditSimulation,
    FreeForm,
    Region,
)
from e2eve.edit_simulation.simulation import RegionTooThinError, large_square
from e2eve.geometry import Box


def all_inside(region: Region, box: Box) -> bool:
    return bool(region.mask[box.top : box.bottom, box.left : box.right].all())


def block(box: Box, side: int = 100) -> Region:
    return Region(box.mask(side, side), box)


def simulation(driver_size: int) -> EditSimulation:
    return EditSimulation(64, driver_size, CentreView(), Block(), DriverCrop())


def largest_square(mask: np.ndarray) -> int:
    """Slow and obvious: the side of the largest square of True pixels."""
    best = np.zeros((mask.shape[0] + 1, mask.shape[1] + 1), dtype=int)
    for y, x in np.argwhere(mask):
        best[y + 1, x + 1] = 1 + min(best[y, x], best[y, x + 1], best[y + 1, x])
    return int(best.max())


@pytest.mark.parametrize("sampler", [Block(), FreeForm(), Brush()], ids=["block", "blob", "brush"])
@pytest.mark.parametrize(("low", "high"), [(0.6, 0.6), (0.3, 1.0), (1.0, 1.0)])
def test_every_driver_pixel_is_in_the_region(sampler, low, high):
    rng = np.random.default_rng(0)
    for _ in range(100):
        region = sampler(64, rng)
        box = DriverCrop(low, high, min_side=1)(region, rng)
        assert box.width == box.height
        assert region.box.contains(box) and all_inside(region, box)


def test_alpha_is_the_share_of_the_shorter_side_of_a_block():
    rng = np.random.default_rng(0)
    sides = [DriverCrop(0.5, 0.7)(block(Box(10, 20, 90, 60)), rng).width / 40 for _ in range(500)]
    assert min(sides) >= 0.5 and max(sides) <= 0.7
    assert len(set(sides)) == 9  # 20 to 28 pixels


def test_position_augmentation_spreads_the_driver_evenly():
    rng = np.random.default_rng(0)
    region = block(Box(100, 200, 900, 900), 1000)
    boxes = [DriverCrop()(region, rng) for _ in range(1000)]
    right = np.array([(box.left - 100) / (800 - box.width) for box in boxes])
    down = np.array([(box.top - 200) / (700 - box.height) for box in boxes])
    for place in (right, down):
        assert (place.min() >= 0) and (place.max() <= 1)
        assert stats.kstest(place, "uniform").pvalue > 0.001
    assert abs(np.corrcoef(right, down)[0, 1]) < 0.1


def test_without_position_augmentation_the_driver_is_central():
    box = DriverCrop(position_augmentation=False)(
        block(Box(10, 20, 60, 70)), np.random.default_rng(0)
    )
    assert box == Box(20, 30, 50, 60)


@pytest.mark.parametrize("sampler", [FreeForm(), Brush()], ids=["blob", "brush"])
def test_large_squares_are_large_and_differ(sampler):
    rng = np.random.default_rng(0)
    for _ in range(20):
        region = sampler(64, rng)
        squares = [large_square(region, rng) for _ in range(10)]
        assert all(all_inside(region, square) for square in squares)
        assert min(s.width for s in squares) >= 0.8 * (largest_square(region.mask) - 1)
        assert len(set(squares)) > 1


def test_a_region_that_fills_the_image_has_drivers_up_to_its_border():
    mask = np.ones((33, 33), dtype=bool)
    mask[0, 0] = False
    boxes = {
        DriverCrop(1.0, 1.0)(Region.of_mask(mask), np.random.default_rng(seed))
        for seed in range(200)
    }
    assert max(box.right for box in boxes) == 33 and min(box.left for box in boxes) == 0


def test_small_drivers_get_the_smallest_side():
    box = DriverCrop(0.1, 0.1, min_side=6)(block(Box(0, 0, 9, 9)), np.random.default_rng(0))
    assert box.width == 6


@pytest.mark.parametrize("box", [Box(0, 0, 3, 50), Box(7, 7, 10, 10)])
def test_too_thin_regions_are_refused(box):
    with pytest.raises(RegionTooThinError, match="has 3 pixels per side, a driver needs 4; paint"):
        DriverCrop()(block(box), np.random.default_rng(0))
    diagonal = Region.of_mask(np.eye(20, dtype=bool))
    with pytest.raises(ValueError, match="has 1 pixels per side"):
        DriverCrop()(diagonal, np.random.default_rng(0))


@pytest.mark.parametrize("box", [Box(4, 20, 60, 31), Box(40, 0, 51, 64), Box(8, 8, 24, 24)])
def test_a_whole_driver_is_the_box_around_the_region_padded_to_a_square(box):
    image = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    side = max(box.width, box.height)
    simulate = EditSimulation(64, side, CentreView(), Block(), DriverCrop(whole=1.0))
    place = simulate.place_in(box.mask(64, 64), np.random.default_rng(0))
    driver = simulate.at(image, place, np.random.default_rng(0)).driver
    inner = box.shifted(-box.square.left, -box.square.top)
    assert np.array_equal(inner.crop(driver), box.crop(image))
    for n in range(side):  # what is outside repeats the nearest pixels
        row = min(max(n, inner.top), inner.bottom - 1)
        assert np.array_equal(
            driver[n, inner.left : inner.right], driver[row][inner.left : inner.right]
        )
        column = min(max(n, inner.left), inner.right - 1)
        assert np.array_equal(driver[:, n], driver[:, column])
    other = image[::-1].copy()
    assert np.array_equal(
        inner.crop(simulate.driver_from(other, place.driver_box)), box.crop(other)
    )


def test_so_many_drivers_are_whole_as_asked():
    rng, region = np.random.default_rng(0), block(Box(10, 20, 90, 60))
    whole = [DriverCrop(whole=0.3)(region, rng) == region.box for _ in range(1000)]
    assert stats.binomtest(sum(whole), 1000, 0.3).pvalue > 1e-3


def test_a_driver_from_another_image():
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    box = Box(8, 4, 24, 20)
    assert np.array_equal(simulation(16).driver_from(image, box), image[4:20, 8:24])
    assert simulation(7).driver_from(image, box).shape == (7, 7, 3)
    with pytest.raises(ValueError, match="leaves the image of 64 by 64 pixels, resize"):
        simulation(16).driver_from(image, Box(60, 0, 70, 10))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"alpha_min": 0.7, "alpha_max": 0.5},
            "alpha_min is 0.7 and alpha_max 0.5: give",
        ),
        ({"alpha_max": 1.1}, "alpha_max is 1.1: give 0.05 to 1"),
        ({"min_side": 0}, "min_side is 0: give 1 to 1024"),
    ],
)
def test_wrong_parameters(arguments, message):
    with pytest.raises(ValueError, match=message):
        DriverCrop(**arguments)
