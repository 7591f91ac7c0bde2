"""Diversity against the mean over all pairs."""

from itertools import combinations

import pytest
import torch
from torch.nn import functional

from e2eve.features import PerceptualDistance
from e2eve.features.networks import EfficientNetDistance
from e2eve.metrics.diversity import diversity


class Pixels(PerceptualDistance):
    """The image itself, and at half its size: a distance whose value can be seen."""

    name = "pixels"

    def maps(self, images: torch.Tensor) -> list[torch.Tensor]:
        return [images, functional.avg_pool2d(images, 2)]


def random_images(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0)) * 2 - 1


def slow_diversity(distance: PerceptualDistance, samples: torch.Tensor) -> torch.Tensor:
    pairs = list(combinations(range(samples.shape[1]), 2))
    return sum(distance(samples[:, i], samples[:, j]) for i, j in pairs) / len(pairs)


@pytest.mark.parametrize("make_distance", [Pixels, EfficientNetDistance])
def test_is_the_mean_over_pairs(make_distance):
    distance = make_distance()
    samples = random_images(2, 4, 3, 32, 32)
    everywhere = torch.ones(2, 1, 32, 32, dtype=torch.bool)
    image, region = diversity(distance, samples, everywhere).T
    torch.testing.assert_close(image, slow_diversity(distance, samples))
    torch.testing.assert_close(region, image)


def test_of_a_region_is_that_of_its_crop():
    samples = random_images(1, 3, 3, 16, 16)
    regions = torch.zeros(1, 1, 16, 16, dtype=torch.bool)
    regions[..., 4:12, 2:8] = True
    found = diversity(Pixels(), samples, regions)[:, 1]
    torch.testing.assert_close(found, slow_diversity(Pixels(), samples[..., 4:12, 2:8]))


def test_equal_samples_have_none_and_changes_outside_do_not_count_inside():
    regions = torch.zeros(1, 1, 16, 16, dtype=torch.bool)
    regions[..., :8, :8] = True
    samples = random_images(1, 1, 3, 16, 16).repeat(1, 3, 1, 1, 1)
    assert diversity(Pixels(), samples, regions)[0, 0] == 0
    samples = torch.where(regions[:, None], samples, random_images(1, 3, 3, 16, 16))
    ((image, region),) = diversity(Pixels(), samples, regions)
    assert image > 0 and region == 0


def test_one_sample_has_no_diversity():
    with pytest.raises(ValueError, match="2 samples or more of each input, these are 1"):
        diversity(Pixels(), torch.zeros(1, 1, 3, 4, 4), torch.ones(1, 1, 4, 4, dtype=torch.bool))
