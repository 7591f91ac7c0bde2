"""Locality is the mean over pixels outside the region, and nothing else."""

import pytest
import torch

from e2eve.metrics.locality import l1_outside


@pytest.fixture
def regions() -> torch.Tensor:
    """A quarter of the image, a single pixel, all of it."""
    regions = torch.zeros(3, 1, 8, 8, dtype=torch.bool)
    regions[0, :, :4, :4] = True
    regions[1, :, 7, 3] = True
    regions[2] = True
    return regions


def test_l1_is_the_mean_over_the_pixels_outside(regions):
    a, b = torch.rand(3, 3, 8, 8), torch.rand(3, 3, 8, 8)
    for i in range(3):
        inside = regions[i, 0]
        difference = (a[i] - b[i]).abs()
        outside = difference[:, ~inside].mean() if (~inside).any() else torch.tensor(torch.nan)
        torch.testing.assert_close(
            l1_outside(a[:, None], b, regions)[i, 0], outside, equal_nan=True
        )


def test_the_outside_is_blind_to_the_region(regions):
    a = torch.rand(3, 3, 8, 8)
    edited = torch.where(regions, torch.nan, a)
    found = l1_outside(a[:, None], edited, regions)
    assert found[:2].eq(0).all() and found[2].isnan().all()


def test_black_to_white_is_two(regions):
    white = torch.ones(3, 3, 8, 8)
    assert l1_outside(white[:, None], -white, regions)[:2].tolist() == [[2], [2]]
