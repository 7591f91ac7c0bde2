"""Windows: where they lie, what they show, and that an edit stays inside its region."""

from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from e2eve.data.images import resize
from e2eve.editing.compositing import (
    FEATHER,
    composed,
    cut,
    edit_weights,
    put_back,
    reduced,
    window_around,
)
from e2eve.geometry import Box

SIZES = [(40, 40), (64, 40), (40, 64), (97, 33), (13, 200), (1, 1), (1, 30), (300, 211)]


def random_box(rng: np.random.Generator, width: int, height: int) -> Box:
    left, right = sorted(rng.choice(width + 1, 2, replace=False))
    top, bottom = sorted(rng.choice(height + 1, 2, replace=False))
    return Box(int(left), int(top), int(right), int(bottom))


def random_region(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """A box, or speckles inside one."""
    mask = random_box(rng, width, height).mask(width, height)
    speckles = mask & (rng.random(mask.shape) < rng.uniform(0.02, 0.9))
    return speckles if speckles.any() and rng.random() < 0.7 else mask


def noise(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def cases(count: int) -> Iterator[tuple[np.random.Generator, int, int]]:
    for seed in range(count):
        yield np.random.default_rng(seed), *SIZES[seed % len(SIZES)]


def put(source, region, feather, window, edit) -> np.ndarray:
    weights = edit_weights(region, feather)
    return composed(source, Box.around(region), weights, window, edit)


def test_a_window_is_the_largest_square_around_the_region():
    for rng, width, height in cases(400):
        region = random_box(rng, width, height)
        window = window_around(region, width, height)
        assert window.width == window.height == max(min(width, height), region.width, region.height)
        assert window.contains(region)


def test_a_window_leaves_the_image_only_where_it_must_and_evenly():
    for rng, width, height in cases(400):
        window = window_around(random_box(rng, width, height), width, height)
        for first, end, length in (
            (window.left, window.right, width), (window.top, window.bottom, height),
        ):  # fmt: skip
            if window.width <= length:
                assert first >= 0
                assert end <= length
            else:
                assert abs(-first - (end - length)) <= 1


def test_the_region_is_in_the_middle_where_no_border_is_in_the_way():
    for rng, width, height in cases(400):
        region = random_box(rng, width, height)
        window = window_around(region, width, height)
        if window.left > 0 and window.right < width:
            assert abs(window.centre[0] - region.centre[0]) <= 0.5
        if window.top > 0 and window.bottom < height:
            assert abs(window.centre[1] - region.centre[1]) <= 0.5


def test_a_cut_repeats_the_border_outside_the_image():
    for rng, width, height in cases(60):
        image, region = noise(rng, width, height), random_box(rng, width, height)
        window = window_around(region, width, height)
        padding = ((max(height, width),) * 2, (max(height, width),) * 2, (0, 0))
        padded = np.pad(image, padding, mode="edge")
        shift = max(height, width)
        assert np.array_equal(cut(image, window), window.shifted(shift, shift).crop(padded))


@pytest.mark.parametrize("old", [1, 7, 32, 100, 513])
@pytest.mark.parametrize("side", [8, 32, 33])
def test_no_region_vanishes_and_a_full_one_stays_full(old, side):
    rng = np.random.default_rng(old + side)
    for _ in range(20):
        mask = np.zeros((old, old), bool)
        mask[tuple(rng.integers(0, old, 2))] = True
        assert reduced(mask, side).any()
    assert reduced(np.ones((old, old), bool), side).all()


def test_a_region_of_the_editors_size_stays_as_it_is():
    mask = random_region(np.random.default_rng(0), 32, 32)
    assert np.array_equal(reduced(mask, 32), mask)


@pytest.mark.parametrize("old", [5, 20, 31, 32, 33, 64, 100, 257])
def test_what_lies_in_the_region_does_not_show_outside_it(old):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        image, mask = noise(rng, old, old), random_region(rng, old, old)
        other = np.where(mask[..., None], noise(rng, old, old), image)
        outside = ~reduced(mask, 32)
        seen, seen_of_other = resize(image, 32, 32), resize(other, 32, 32)
        assert np.array_equal(seen[outside], seen_of_other[outside])


@pytest.mark.parametrize("feather", [0, 0.5, 3])
def test_pixels_outside_the_region_are_the_sources(feather):
    for rng, width, height in cases(80):
        source, region = noise(rng, width, height), random_region(rng, width, height)
        before = source.copy()
        window = window_around(Box.around(region), width, height)
        edit = noise(rng, 32, 32)
        result = put(source, region, feather, window, edit)
        assert np.array_equal(result[~region], source[~region])
        assert np.array_equal(source, before)


def test_pixels_inside_the_region_are_the_edits():
    for rng, width, height in cases(40):
        source, region = noise(rng, width, height), random_region(rng, width, height)
        window = window_around(Box.around(region), width, height)
        edit = noise(rng, window.width, window.height)
        result = put(source, region, 0, window, edit)
        everywhere = np.zeros_like(source)
        inner = window.clipped(width, height)
        inner.crop(everywhere)[:] = inner.shifted(-window.left, -window.top).crop(edit)
        assert np.array_equal(result[region], everywhere[region])


def test_an_edit_that_equals_the_source_changes_nothing():
    rng = np.random.default_rng(0)
    source, region = noise(rng, 32, 32), random_region(rng, 32, 32)
    result = put(source, region, 2, Box(0, 0, 32, 32), source)
    assert np.array_equal(result, source)


def test_a_rim_lies_inside_and_its_weights_grow_inwards():
    region = Box(8, 0, 28, 20).mask(40, 30)
    weights = edit_weights(region, 3)
    assert weights.shape == (20, 20)
    assert weights.min() > 0
    assert np.allclose(weights[5, :4], [0.25, 0.5, 0.75, 1])
    assert np.allclose(weights[-4:, 10], [1, 0.75, 0.5, 0.25])
    assert (weights[0, 3:-3] == 1).all()  # the image's border is no border of the region


def test_a_region_without_outside_has_no_rim():
    assert (edit_weights(np.ones((9, 12), bool), 3) == 1).all()


def test_an_enlarged_edit_lies_where_its_window_does():
    """A disc painted in the window's middle appears in the middle of the region."""
    source = np.zeros((300, 400, 3), np.uint8)
    edit = cv2.circle(np.zeros((32, 32, 3), np.uint8), (16, 16), 3, (255, 255, 255), -1)
    region = Box(120, 100, 280, 200)
    window = window_around(region, 400, 300)
    result = put(source, region.mask(400, 300), 2, window, edit)
    middle = Box.around(result[..., 0] > 127).centre
    assert np.allclose(middle, (205, 155), atol=2)  # of pixels 16: half a pixel off 150


def test_edits_of_a_source_of_the_editors_size_are_put_back_as_those_of_any():
    rng = np.random.default_rng(0)
    source, region = noise(rng, 32, 32), random_region(rng, 32, 32)
    edits = np.stack([noise(rng, 32, 32) for _ in range(3)])
    for edit, result in zip(edits, put_back(source, region, edits), strict=True):
        assert np.array_equal(result, put(source, region, 32 * FEATHER, Box(0, 0, 32, 32), edit))
        assert np.array_equal(result[~region], source[~region])
