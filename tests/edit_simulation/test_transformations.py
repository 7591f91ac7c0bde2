"""Driver transformations: sizes are kept, nothing at strength 0, known turns are exact."""

import numpy as np
import pytest

from e2eve.edit_simulation import Blur, ColourJitter, Flip, PositionJitter, Rotation, Scale
from e2eve.edit_simulation.simulation import rotated

STRONG = [
    PositionJitter(0.5), Scale(0.25, 4.0), Rotation(180.0), Flip(1.0),
    ColourJitter(1.0, 1.0, 1.0, 0.5), Blur(0.5),
]  # fmt: skip
NEUTRAL = [
    PositionJitter(0.0), Scale(1.0, 1.0), Rotation(0.0), Flip(0.0),
    ColourJitter(0.0, 0.0, 0.0, 0.0), Blur(0.0),
]  # fmt: skip


def by_name(transformations: list) -> pytest.MarkDecorator:
    names = [type(transformation).__name__ for transformation in transformations]
    return pytest.mark.parametrize("transformation", transformations, ids=names)


@pytest.fixture
def driver() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)


@by_name(STRONG)
@pytest.mark.parametrize("side", [1, 2, 5, 24, 64])
def test_size_and_input_are_kept(transformation, side):
    driver = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    before = driver.copy()
    result = transformation(driver, np.random.default_rng(0))
    assert result.shape == driver.shape and result.dtype == np.uint8
    assert np.array_equal(driver, before)


@by_name(STRONG)
def test_same_generator_state_same_result(transformation, driver):
    results = [transformation(driver, np.random.default_rng(3)) for _ in range(2)]
    assert np.array_equal(*results)
    assert not np.array_equal(results[0], driver)


@by_name(NEUTRAL)
def test_strength_zero_changes_nothing(transformation, driver):
    assert np.array_equal(transformation(driver, np.random.default_rng(0)), driver)


def test_flipping_twice_is_nothing(driver):
    rng = np.random.default_rng(0)
    assert np.array_equal(Flip(1.0)(driver, rng), driver[:, ::-1])
    assert np.array_equal(Flip(1.0)(Flip(1.0)(driver, rng), rng), driver)


@pytest.mark.parametrize("quarters", [-2, -1, 0, 1, 2, 3])
@pytest.mark.parametrize("side", [23, 24])
def test_quarter_turns_are_exact(driver, quarters, side):
    part = np.ascontiguousarray(driver[:side, :side])
    assert np.array_equal(rotated(part, 90 * quarters), np.rot90(part, quarters))


def test_turns_show_the_crop_only():
    """A turned flat image within a frame of another colour shows no more of that than before."""
    framed = np.zeros((41, 41, 3), dtype=np.uint8)
    framed[1:-1, 1:-1] = 255
    for angle in (10, 45, 80):
        assert (rotated(framed, angle) == 0).mean() <= (framed == 0).mean()


def test_jitter_moves_the_content():
    dot = np.zeros((21, 21, 3), dtype=np.uint8)
    dot[10, 10] = 255
    rng = np.random.default_rng(0)
    places = []
    for _ in range(100):
        moved = PositionJitter(0.2)(dot, rng)[..., 0].astype(float)
        places.append(np.argwhere(moved == moved.max())[0] - 10)
    assert np.abs(places).max() in (4, 5)
    assert abs(np.mean(places)) < 0.5


def test_scaling_up_and_down():
    square = np.zeros((40, 40, 3), dtype=np.uint8)
    square[10:30, 10:30] = 255
    rng = np.random.default_rng(0)
    assert abs((Scale(1.5, 1.5)(square, rng) > 127).mean() - (30 / 40) ** 2) < 0.05
    assert abs((Scale(0.8, 0.8)(square, rng) > 127).mean() - (16 / 40) ** 2) < 0.05


def test_each_colour_property_changes_alone(driver):
    rng = np.random.default_rng(0)
    grey = np.repeat(driver[..., :1], 3, axis=-1)
    for jitter in (ColourJitter(0.5, 0.0, 0.0, 0.0), ColourJitter(0.0, 0.5, 0.0, 0.0)):
        changed = jitter(grey, rng)
        assert (changed.std(axis=-1) == 0).all() and not np.array_equal(changed, grey)
    for jitter in (ColourJitter(0.0, 0.0, 1.0, 0.0), ColourJitter(0.0, 0.0, 0.0, 0.5)):
        assert np.abs(jitter(grey, rng).astype(int) - grey).max() <= 1


def test_half_a_turn_of_hue_makes_red_cyan():
    red = np.zeros((4, 4, 3), dtype=np.uint8)
    red[..., 0] = 255
    results = {
        tuple(ColourJitter(0.0, 0.0, 0.0, 0.5)(red, np.random.default_rng(seed))[0, 0])
        for seed in range(200)
    }
    assert all(max(colour) == 255 and min(colour) == 0 for colour in results)
    assert any(colour[1] > 240 and colour[2] > 240 for colour in results)


def test_blur_keeps_the_mean_and_lowers_the_contrast(driver):
    blurred = Blur(0.2)(driver, np.random.default_rng(1))
    assert abs(blurred.mean() - driver.mean()) < 4
    assert blurred.std() < 0.7 * driver.std()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: PositionJitter(2.0), "max_shift is 2.0: give 0 to 1"),
        (lambda: Scale(0.0, 1.0), "min_scale is 0.0: give 0.25 to 4"),
        (lambda: Rotation(-5.0), "max_angle is -5.0"),
        (lambda: Flip(2.0), "probability is 2.0"),
        (lambda: ColourJitter(brightness=-1.0), "brightness is -1.0"),
        (lambda: ColourJitter(hue=0.7), "hue is 0.7: give 0 to 0.5"),
        (lambda: Blur(1.0), "max_sigma is 1.0: give 0 to 0.5"),
    ],
)
def test_wrong_parameters(build, message):
    with pytest.raises(ValueError, match=message):
        build()
