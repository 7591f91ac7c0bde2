"""How near edits come to the right one."""

import pytest
import torch

from e2eve.metrics.answers import lab, match_share
from e2eve.metrics.base import Interval

# sRGB colours in 0 to 255, and their L*a*b* under D65.
KNOWN = {
    (255, 255, 255): (100, 0, 0),
    (0, 0, 0): (0, 0, 0),
    (255, 0, 0): (53.24, 80.09, 67.20),
    (0, 255, 0): (87.73, -86.18, 83.18),
    (0, 0, 255): (32.30, 79.19, -107.86),
    (119, 119, 119): (50.03, 0, 0),
}


def image(*colours: tuple[float, ...]) -> torch.Tensor:
    """A row of pixels, in [-1, 1]."""
    return torch.tensor(colours).T[:, None] / 127.5 - 1


def test_colours_have_the_coordinates_that_are_known_of_them():
    found = lab(image(*KNOWN))[:, 0].T
    torch.testing.assert_close(found, torch.tensor([*KNOWN.values()]).float(), atol=0.02, rtol=0)


def test_the_answer_matches_itself_and_each_pixel_counts_alike():
    answers = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1
    pixels = torch.zeros(2, 1, 4, 4, dtype=torch.bool)
    pixels[:, :, :2] = True
    edits = answers[:, None].repeat(1, 3, 1, 1, 1)
    edits[:, 1, :, 0] = -edits[:, 1, :, 0].sign()
    edits[:, 2, :, 3] = 0.0  # nobody asks
    expected = torch.tensor([[1, 0.5, 1]] * 2)
    torch.testing.assert_close(match_share(edits, answers, pixels), expected)


def test_without_pixels_there_is_no_share():
    nothing = torch.zeros(1, 1, 2, 2, dtype=torch.bool)
    assert match_share(torch.zeros(1, 1, 3, 2, 2), torch.zeros(1, 3, 2, 2), nothing).isnan().all()


def test_a_grey_level_less_matches_and_another_colour_does_not():
    answer, edit = (
        image((level, level, level), (100, green, 100)).repeat(1, 2, 1)[None]
        for level, green in ((100, 100), (101, 160))
    )
    share = match_share(edit[None], answer, torch.ones(1, 1, 2, 2, dtype=torch.bool))
    assert share.item() == 0.5


@pytest.mark.parametrize(("yes", "low", "high"), [(0, 0, 0.0713), (25, 0.3664, 0.6336)])
def test_the_interval_of_a_share_is_wilsons(yes, low, high):
    found = Interval.of(torch.tensor([1.0] * yes + [0.0] * (50 - yes)))
    assert found == pytest.approx((yes / 50, low, high), abs=1e-3)


def test_the_interval_of_a_mean_is_symmetric_and_leaves_nan_out():
    mean, low, high = Interval.of(torch.tensor([0.2, 0.4, 0.9, torch.nan]))
    assert mean == pytest.approx(0.5)
    assert mean - low == pytest.approx(high - mean) and high > mean
