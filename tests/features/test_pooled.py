"""Pooled maps: the perceptual distance, coarse, as a distance of vectors."""

import pytest
import torch
from einops import repeat

from e2eve.features import PerceptualDistance, build_perceptual
from e2eve.features.frozen import GRID, SIDE, PooledMaps


class Pixels(PerceptualDistance):
    """Squared differences of pixels."""

    name = "pixels"

    def maps(self, images: torch.Tensor) -> list[torch.Tensor]:
        return [images, images[:, :1, ::2, ::2]]


def test_the_squared_distance_is_the_perceptual_distance_of_coarse_pictures():
    cells = torch.rand(2, 3, GRID, GRID) * 2 - 1
    a, b = repeat(cells, "b c h w -> b c (h y) (w x)", y=SIDE // GRID, x=SIDE // GRID).split(1)
    features = PooledMaps(Pixels())
    expected = Pixels()(a, b)
    assert (features(a) - features(b)).square().sum(1) == pytest.approx(expected, rel=1e-5)


def test_names_and_sizes():
    perceptual = build_perceptual("efficientnet_lite0")
    assert perceptual is not None
    features = PooledMaps(perceptual)
    assert features.name == "efficientnet_lite0_maps"
    assert features(torch.zeros(3, 3, 20, 24)).shape == (3, features.dim)
