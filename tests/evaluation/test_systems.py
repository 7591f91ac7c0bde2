"""Baselines: the region changes and nothing else, and blending keeps what already fits."""

import cv2
import numpy as np
import pytest

from e2eve.evaluation.systems import paste, poisson
from e2eve.geometry import Box

SIDE = 48
BOXES = [
    Box(8, 9, 28, 30),
    Box(8, 9, 29, 30),
    Box(0, 0, 20, 20),
    Box(30, 5, SIDE, SIDE),
    Box(0, 0, SIDE, SIDE),
    Box(5, 5, 7, 6),
]


def smooth_pictures(count: int, side: int, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    return np.stack([cv2.GaussianBlur(image, (0, 0), 3) for image in noise])


def inputs() -> tuple[np.ndarray, np.ndarray, list[Box], np.ndarray]:
    y, x = np.mgrid[:SIDE, :SIDE]
    blob = (x - 25) ** 2 / 300 + (y - 20) ** 2 / 120 < 1
    regions = np.stack([blob, *(box.mask(SIDE, SIDE) for box in BOXES)])
    boxes = [Box.around(blob), *BOXES]
    return smooth_pictures(len(boxes), SIDE, 0), regions, boxes, smooth_pictures(len(boxes), 16, 1)


@pytest.mark.parametrize("baseline", [paste, poisson])
def test_pixels_outside_the_region_are_the_sources(baseline):
    sources, regions, boxes, drivers = inputs()
    before = sources.copy()
    edits = baseline(sources, regions, boxes, drivers)
    assert np.array_equal(edits[~regions], sources[~regions])
    assert np.array_equal(sources, before)
    assert edits.dtype == np.uint8


def test_a_paste_shows_the_driver_at_its_size():
    sources, _, _, drivers = inputs()
    box = Box(4, 6, 20, 22)
    mask = box.mask(SIDE, SIDE)
    (edit,) = paste(sources[:1], mask[None], [box], drivers[:1])
    assert np.array_equal(box.crop(edit), drivers[0])


@pytest.mark.parametrize("corner", [(0, 0), (5, 6), (20, 20)])
@pytest.mark.parametrize("size", [20, 21, 28])
def test_blending_what_is_already_there_changes_nothing(corner, size):
    source = smooth_pictures(1, SIDE, 2)
    box = Box(corner[0], corner[1], corner[0] + size, corner[1] + size)
    edit = poisson(source, box.mask(SIDE, SIDE)[None], [box], box.crop(source[0])[None])
    assert np.abs(edit.astype(int) - source).max() <= 1


def test_blending_takes_the_gradients_of_the_driver_and_the_colour_of_the_source():
    source = np.full((1, SIDE, SIDE, 3), 180, dtype=np.uint8)
    box = Box(10, 10, 34, 34)
    driver = np.full((1, 24, 24, 3), 40, dtype=np.uint8)
    driver[0, 8:16, 8:16] = 80
    edit = poisson(source, box.mask(SIDE, SIDE)[None], [box], driver)[0]
    assert abs(int(edit[13, 13, 0]) - 180) <= 12
    assert 25 <= int(edit[22, 22, 0]) - int(edit[14, 14, 0]) <= 45
