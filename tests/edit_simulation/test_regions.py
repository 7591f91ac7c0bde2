"""Laws of edit regions: box and mask agree, areas and centres are spread as promised."""

import cv2
import numpy as np
import pytest
from scipy import stats

from e2eve.edit_simulation import Block, Brush, FreeForm, Mixed, Rectangle, Region
from e2eve.edit_simulation.regions import outlines
from e2eve.geometry import Box

MIXED = Mixed({"block": Block(), "blob": FreeForm()}, {"block": 1.0, "blob": 3.0})
SAMPLERS = [Block(), Rectangle(), FreeForm(), Brush(), MIXED]
names = [type(sampler).__name__ for sampler in SAMPLERS]
every_sampler = pytest.mark.parametrize("sampler", SAMPLERS, ids=names)


def draw(sampler, side: int, count: int, seed: int = 0) -> list[Region]:
    rng = np.random.default_rng(seed)
    return [sampler(side, rng) for _ in range(count)]


def areas(regions: list[Region]) -> np.ndarray:
    return np.array([region.mask.mean() for region in regions])


@every_sampler
@pytest.mark.parametrize("side", [16, 32, 64, 100, 256])
def test_box_is_the_smallest_around_the_mask(sampler, side):
    for region in draw(sampler, side, 30):
        assert region.mask.shape == (side, side) and region.mask.dtype == np.bool_
        assert region.box == Box.around(region.mask)


@every_sampler
def test_same_generator_state_same_region(sampler):
    for first, second in zip(draw(sampler, 64, 5), draw(sampler, 64, 5), strict=True):
        assert np.array_equal(first.mask, second.mask)
    assert not np.array_equal(draw(sampler, 64, 1, seed=1)[0].mask, draw(sampler, 64, 1)[0].mask)


@pytest.mark.parametrize(
    "sampler", [Block(), Rectangle(), FreeForm()], ids=["block", "rectangle", "blob"]
)
def test_the_same_region_at_every_size(sampler):
    """A region drawn larger is the same region, up to the rounding of pixels."""
    for seed in range(5):
        small, large = (draw(sampler, side, 1, seed)[0] for side in (128, 256))
        shrunk = large.mask.reshape(128, 2, 128, 2).mean((1, 3)) > 0.5
        assert (shrunk != small.mask).mean() < 0.03


@every_sampler
def test_whether_a_region_is_a_block(sampler):
    for region in draw(sampler, 64, 20):
        assert region.is_block == np.array_equal(region.mask, region.box.mask(64, 64))


def test_block_fills_its_box_and_has_the_promised_side():
    for region in draw(Block(), 100, 300):
        assert region.is_block
        assert max(region.box.width, region.box.height) <= 60
        inside = region.box.left > 0 and region.box.right < 100
        assert not inside or region.box.width >= 40


def test_width_and_height_of_rectangles_are_drawn_apart_evenly_in_their_logarithm():
    drawn = [region.box for region in draw(Rectangle(0.2, 0.4), 400, 3000)]
    whole = [b for b in drawn if b.left > 0 and b.top > 0 and b.right < 400 and b.bottom < 400]
    sides = np.log([[box.width / 400, box.height / 400] for box in whole])
    for column in sides.T:
        # Wide ones are clipped more often: of those that are whole the law is weighted.
        shares = np.exp(np.linspace(np.log(0.2), np.log(0.4), 1000))
        weights = np.cumsum(1 - shares) / (1 - shares).sum()
        ranks = np.interp(np.exp(column), shares, weights)
        assert stats.kstest(ranks, "uniform").pvalue > 1e-3
    assert abs(stats.spearmanr(*sides.T).statistic) < 0.08


def test_block_centres_are_uniform_and_independent():
    """Blocks that no border clips have their left edge uniform over the room that they have."""
    boxes = [region.box for region in draw(Block(), 500, 1500)]
    x, y = np.array([box.centre for box in boxes]).T
    assert abs(np.corrcoef(x, y)[0, 1]) < 0.08
    for low, high in (("left", "right"), ("top", "bottom")):
        edges = np.array([(getattr(box, low), getattr(box, high)) for box in boxes])
        clipped_low, clipped_high = edges[:, 0] == 0, edges[:, 1] == 500
        assert abs(clipped_low.mean() - 0.25) < 0.04  # half of the mean side
        assert abs(clipped_high.mean() - 0.25) < 0.04
        start, end = edges[~clipped_low & ~clipped_high].T
        assert stats.kstest(start / (500 - (end - start)), "uniform").pvalue > 0.001


@pytest.mark.parametrize("side", [64, 256])
def test_free_form_area_is_uniform_in_its_range(side):
    shares = areas(draw(FreeForm(), side, 300))
    assert shares.min() > 0.05 * 0.98 and shares.max() < 0.6 * 1.02
    assert stats.kstest(shares, stats.uniform(0.05, 0.55).cdf).pvalue > 0.001


@every_sampler
def test_borders_and_corners_are_edited_too(sampler):
    coverage = np.mean([region.mask for region in draw(sampler, 32, 400)], axis=0)
    assert coverage[[0, 0, -1, -1], [0, -1, 0, -1]].min() > 0.02
    assert coverage[[0, 16, 16, -1], [16, 0, -1, 16]].min() > 0.06


def test_free_form_is_one_piece_without_holes():
    for region in draw(FreeForm(max_area=0.2), 128, 200):
        if _touches_the_border(region.box, 128):  # where a blob may be cut in two
            continue
        pieces, _ = cv2.connectedComponents(region.mask.astype(np.uint8))
        outside = np.pad(~region.mask, 1, constant_values=True).astype(np.uint8)
        grounds, _ = cv2.connectedComponents(outside, connectivity=4)
        assert (pieces - 1, grounds - 1) == (1, 1)


def _touches_the_border(box: Box, side: int) -> bool:
    return min(box.left, box.top) == 0 or max(box.right, box.bottom) == side


def test_free_form_is_smoother_than_its_polygon():
    """The sharpest turn of the outline is far below that of the polygon of the same points."""
    points = np.random.default_rng(0).random((50, 7, 2))
    smooth, polygon = (_turns(outlines(points, edginess)) for edginess in (0.0, 1.0))
    assert np.median(smooth) < 0.5 * np.median(polygon)


def _turns(curves: np.ndarray) -> np.ndarray:
    steps = np.roll(curves, -1, axis=1) - curves
    headings = np.arctan2(steps[..., 1], steps[..., 0])
    turns = np.roll(headings, -1, axis=1) - headings
    return np.abs((turns + np.pi) % (2 * np.pi) - np.pi).max(axis=1)


def test_outline_runs_through_its_points():
    points = np.random.default_rng(0).random((3, 7, 2))
    for curve, given in zip(outlines(points, 0.1), points, strict=True):
        distances = np.linalg.norm(curve[:, None] - given, axis=-1)
        assert np.allclose(distances.min(axis=0), 0)


@pytest.mark.parametrize("side", [64, 256])
def test_brush_area_is_in_its_range_up_to_one_step(side):
    brush = Brush()
    shares = areas(draw(brush, side, 200))
    assert shares.min() >= brush.min_area
    step = (brush.max_width + 0.04) * brush.max_width + 2 / side
    assert shares.max() <= brush.max_area + step
    assert shares.std() > 0.08


def test_brush_is_one_piece_and_as_thick_as_its_width():
    for region in draw(Brush(min_width=0.2, max_width=0.2), 100, 50):
        pieces, _ = cv2.connectedComponents(region.mask.astype(np.uint8))
        assert pieces - 1 == 1
        depth = cv2.distanceTransform(region.mask.astype(np.uint8), cv2.DIST_L2, 5).max()
        assert depth > 6  # half of the width, less where the image ends


def test_mixed_keeps_to_its_weights():
    blocks = np.mean([region.is_block for region in draw(MIXED, 32, 400)])
    assert abs(blocks - 0.25) < 0.07


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Block(0.6, 0.4), "min_side is 0.6 and max_side 0.4: give the smaller"),
        (lambda: Block(max_side=1.2), "max_side is 1.2: give 0.05 to 1"),
        (lambda: FreeForm(max_area=0.9), "max_area is 0.9: give 0.01 to 0.8"),
        (lambda: FreeForm(points=2), "points is 2: give 3 to 100"),
        (lambda: FreeForm(edginess=-1.0), "edginess is -1.0: give 0 to 1"),
        (lambda: Brush(min_width=0.0), "min_width is 0.0"),
        (lambda: Brush(max_length=0.1), "min_length is 0.3 and max_length 0.1"),
        (lambda: Mixed({"a": Block()}, {"b": 1.0}), "regions are a and the weights are for b"),
        (lambda: Mixed({"a": Block()}, {"a": 0.0}), "at least one of them above 0"),
        (lambda: Mixed({"a": Block(), "b": Block()}, {"a": 1.0, "b": -1.0}), "from 0 on"),
        (lambda: Mixed({}, {}), "at least one"),
        (lambda: Region.of_mask(np.zeros((8, 8), dtype=bool)), "marks no pixel"),
    ],
)
def test_wrong_parameters(build, message):
    with pytest.raises(ValueError, match=message):
        build()
