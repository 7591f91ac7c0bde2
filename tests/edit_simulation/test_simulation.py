"""Laws of a simulated edit, for every kind of region and at every size."""

import pickle
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from e2eve.data.images import resize
from e2eve.edit_simulation import (
    Block,
    Blur,
    Brush,
    CentreView,
    DriverCrop,
    EditSimulation,
    Flip,
    FreeForm,
    Mixed,
    RandomView,
    Region,
)
from e2eve.geometry import Box

SAMPLERS = {
    "block": Block(),
    "free_form": FreeForm(),
    "brush": Brush(),
    "mixed": Mixed({"a": Block(), "b": FreeForm()}, {"a": 1.0, "b": 1.0}),
}
every_kind = pytest.mark.parametrize("kind", SAMPLERS)


def build(kind: str = "block", image_size: int = 64, **changes) -> EditSimulation:
    settings = {
        "driver_size": max(4, image_size // 4),
        "view": RandomView(),
        "region": SAMPLERS[kind],
        "driver": DriverCrop(),
    }
    return EditSimulation(image_size, **{**settings, **changes})


def noise(height: int, width: int, low: int = 1) -> np.ndarray:
    return np.random.default_rng(7).integers(low, 256, (height, width, 3), dtype=np.uint8)


def assert_equal(one: Iterable[Any], two: Iterable[Any]) -> None:
    """Field by field."""
    for ours, theirs in zip(one, two, strict=True):
        if isinstance(ours, Region):
            assert_equal(ours, theirs)
        else:
            assert np.array_equal(ours, theirs)


@every_kind
@pytest.mark.parametrize("image_size", [16, 32, 64, 100, 256])
def test_laws_of_an_edit(kind, image_size):
    simulation, rng = build(kind, image_size), np.random.default_rng(0)
    for _ in range(20):
        edit = simulation(noise(70, 90), rng)
        assert edit.target.shape == (image_size, image_size, 3)
        assert edit.driver.shape == (simulation.driver_size, simulation.driver_size, 3)
        assert edit.region.box == Box.around(edit.region.mask)
        assert edit.region.box.contains(edit.driver_box)
        driver_box = edit.driver_box
        assert edit.region.mask[
            driver_box.top : driver_box.bottom, driver_box.left : driver_box.right
        ].all()


@every_kind
def test_published_driver_is_the_crop_resized(kind):
    edit = build(kind)(noise(64, 64), np.random.default_rng(0))
    crop = edit.driver_box.crop(edit.target)
    assert np.array_equal(edit.driver, resize(crop, 16, 16))


@every_kind
def test_same_generator_state_same_edit(kind):
    first, second, other = (
        build(kind)(noise(64, 64), np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert_equal(first, second)
    assert not np.array_equal(first.region.mask, other.region.mask)


def test_an_image_of_the_side_of_a_place_needs_no_view():
    image, rng = noise(64, 64), np.random.default_rng(0)
    edit = build().at(image, build().place(rng), rng)
    assert np.array_equal(edit.target, image)
    with pytest.raises(ValueError, match=r"90 by 70 pixels .* side of 64, resize"):
        build().at(noise(70, 90), build().place(rng), rng)


def test_an_edit_is_a_view_and_a_place():
    """The whole is the same as its steps, made with one generator in the documented order."""
    simulation, image = build(), noise(70, 90)
    whole = simulation(image, np.random.default_rng(5))
    rng = np.random.default_rng(5)
    target = simulation.view(image, 64, rng)
    steps = simulation.at(target, simulation.place(rng), rng)
    assert_equal(whole, steps)


def test_a_place_can_be_used_again_and_on_another_image():
    simulation = build()
    place = simulation.place(np.random.default_rng(0))
    one, two = noise(64, 64), noise(64, 64)[::-1].copy()
    first, second = (simulation.at(image, place, np.random.default_rng(0)) for image in (one, two))
    assert (
        np.array_equal(first.region.mask, second.region.mask)
        and first.driver_box == second.driver_box
    )
    assert np.array_equal(simulation.driver_from(two, place.driver_box), second.driver)


def test_a_painted_region_gets_a_driver():
    mask = np.zeros((64, 64), dtype=bool)
    mask[10:40, 20:30] = True
    place = build().place_in(mask, np.random.default_rng(0))
    assert np.array_equal(place.region.mask, mask)
    assert place.region.box == Box(20, 10, 30, 40) and place.driver_box.width == 6
    mask[:] = False
    with pytest.raises(ValueError, match="marks no pixel"):
        build().place_in(mask, np.random.default_rng(0))
    mask[3] = True
    with pytest.raises(ValueError, match="paint a thicker region"):
        build().place_in(mask, np.random.default_rng(0))


def test_thin_regions_are_drawn_again():
    simulation = build(region=Block(0.05, 0.3), driver=DriverCrop(min_side=15))
    rng = np.random.default_rng(0)
    assert all(simulation.place(rng).driver_box.width >= 15 for _ in range(50))
    hopeless = build(region=Block(0.05, 0.1), driver=DriverCrop(min_side=15))
    with pytest.raises(ValueError, match="held a driver of 15 pixels at image_size 64, choose"):
        hopeless.place(rng)


def test_transformations_act_on_the_driver_only_and_in_order():
    plain = build()
    flipped = build(transformations={"flip": Flip(1.0), "again": Flip(1.0), "thrice": Flip(1.0)})
    one, two = (s(noise(64, 64), np.random.default_rng(0)) for s in (plain, flipped))
    assert np.array_equal(one.target, two.target) and one.driver_box == two.driver_box
    crop = one.driver_box.crop(one.target)[:, ::-1]
    assert np.array_equal(two.driver, resize(np.ascontiguousarray(crop), 16, 16))
    blurred = build(transformations={"blur": Blur(0.2)})(noise(64, 64), np.random.default_rng(0))
    assert blurred.driver.std() < one.driver.std()


def test_centre_view_shows_the_middle():
    edit = build(view=CentreView())(noise(64, 100), np.random.default_rng(0))
    assert np.array_equal(edit.target, noise(64, 100)[:, 18:82])


def test_loader_processes_can_receive_it():
    for kind in SAMPLERS:
        copy = pickle.loads(pickle.dumps(build(kind)))
        assert copy == build(kind)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_size": 8}, "image_size is 8: give 16 to 4096"),
        ({"driver_size": 2}, "driver_size is 2: give 4 to 4096"),
    ],
)
def test_wrong_sizes(changes, message):
    with pytest.raises(ValueError, match=message):
        build(**changes)
