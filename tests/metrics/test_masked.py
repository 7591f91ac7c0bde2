"""Means inside and outside the region, over tokens."""

import pytest
import torch

from e2eve.metrics.masked import masked_mean, token_losses, tokens_in_region


@pytest.fixture
def regions() -> torch.Tensor:
    """A quarter of the picture, a single pixel, all of it."""
    regions = torch.zeros(3, 1, 8, 8, dtype=torch.bool)
    regions[0, :, :4, :4] = True
    regions[1, :, 7, 3] = True
    regions[2] = True
    return regions


def test_masked_mean_of_nothing_is_zero():
    found = masked_mean(torch.ones(2, 3), torch.tensor([[True, True, False], [False] * 3]))
    assert found.tolist() == [1, 0]


def test_tokens_are_touched_by_any_pixel_and_filled_by_all(regions):
    touched, filled = tokens_in_region(regions, 4)
    top_left = torch.zeros(4, 4, dtype=torch.bool)
    top_left[:2, :2] = True
    assert touched[0].equal(top_left.flatten()) and filled[0].equal(top_left.flatten())
    assert touched[1].nonzero().tolist() == [[13]] and not filled[1].any()
    assert touched[2].all() and filled[2].all()


def test_tokens_agree_with_pixel_by_pixel_counting():
    regions = torch.rand(2, 1, 12, 8) < 0.6
    touched, filled = tokens_in_region(regions, 4)
    cells = regions[:, 0].unfold(1, 3, 3).unfold(2, 2, 2).flatten(3).flatten(1, 2)
    assert touched.equal(cells.any(-1)) and filled.equal(cells.all(-1))
    assert (touched | ~filled).all()


def test_a_grid_that_does_not_fit_is_refused(regions):
    with pytest.raises(ValueError, match="grid of 3 x 3 tokens does not divide a mask of 8 x 8"):
        tokens_in_region(regions, 3)


def test_token_losses_are_minus_log_probabilities():
    logits, ids = torch.randn(2, 5, 7), torch.randint(7, (2, 5))
    slow = -logits.softmax(-1).gather(-1, ids[..., None])[..., 0].log()
    torch.testing.assert_close(token_losses(logits, ids), slow)
    uniform = token_losses(torch.zeros(1, 5, 7), ids[:1])
    torch.testing.assert_close(uniform, torch.full((1, 5), 7.0).log())
