"""A seam is what the gradient across the region's edge has beyond those beside it."""

import itertools

import pytest
import torch

from e2eve.metrics.seam import edge_jumps


@pytest.fixture
def regions() -> torch.Tensor:
    """A block, a strip at the border, scattered pixels, all of the image."""
    regions = torch.zeros(4, 1, 12, 12, dtype=torch.bool)
    regions[0, :, 3:8, 4:9] = True
    regions[1, :, :, :3] = True
    regions[2] = torch.rand(1, 12, 12, generator=torch.Generator().manual_seed(0)) < 0.3
    regions[3] = True
    return regions


def slowly(image: torch.Tensor, region: torch.Tensor) -> float:
    jumps = []
    for turned, mask in ((image, region), (image.transpose(1, 2), region.T)):
        for row, column in itertools.product(range(12), range(9)):
            a, b, c, d = (turned[:, row, column + n] for n in range(4))
            if mask[row, column + 1] != mask[row, column + 2]:
                jumps.append(((c - b) - 0.5 * ((b - a) + (d - c))).abs().mean())
    return torch.stack(jumps).mean().item()


def test_it_is_the_mean_over_all_edges_in_rows_and_columns(regions):
    images = torch.rand(4, 2, 3, 12, 12)
    found = edge_jumps(images, regions)
    for place, sample in itertools.product(range(3), range(2)):
        expected = slowly(images[place, sample], regions[place, 0])
        assert found[place, sample] == pytest.approx(expected, rel=1e-5)
    assert found[3].isnan().all()


def test_a_slope_has_no_seam_and_a_step_has_its_height(regions):
    slope = torch.linspace(-1, 1, 12).expand(4, 1, 3, 12, 12)
    assert edge_jumps(slope, regions)[:3].abs().max() < 1e-6
    step = 0.2 * regions[:, None].expand(4, 1, 3, 12, 12)
    torch.testing.assert_close(edge_jumps(step, regions)[1], torch.tensor([0.2]))
