"""Laws of CMMD, and its slow reference."""

import math

import pytest
import torch

from e2eve.metrics.cmmd import CMMD, SCALE, SIGMA, cmmd
from tests.metrics.test_driver_cosine import Corner, batch
from tests.metrics.test_feature_distances import features


def slow(a: torch.Tensor, b: torch.Tensor) -> float:
    a, b = (s / s.norm(dim=1, keepdim=True) for s in (a, b))

    def mean(xs: torch.Tensor, ys: torch.Tensor) -> float:
        values = [math.exp(-(x - y).square().sum() / (2 * SIGMA**2)) for x in xs for y in ys]
        return sum(values) / len(values)

    return SCALE * (mean(a, a) + mean(b, b) - 2 * mean(a, b))


def test_is_the_mean_over_all_pairs_of_the_kernel():
    a, b = features(7), features(5, seed=1, shift=0.5)
    assert cmmd(a, b) == pytest.approx(slow(a, b), rel=1e-6)
    assert cmmd(a, b) == pytest.approx(cmmd(b, a))


def test_is_zero_for_the_same_set_and_blind_to_lengths():
    a, b = features(6), features(6, seed=1)
    assert cmmd(a, a) == pytest.approx(0, abs=1e-9)
    assert cmmd(a, b) == pytest.approx(cmmd(3 * a, b.float()), rel=1e-4)


def test_opposite_sets_are_as_far_apart_as_sets_can_be():
    a = torch.tensor([[1.0, 0.0]]).expand(3, 2)
    assert cmmd(a, -a) == pytest.approx(2 * SCALE * (1 - math.exp(-2 / SIGMA**2)))


def test_is_measured_with_clip_alone_and_called_by_its_weights():
    metric = CMMD("region")
    metric.update(batch(Corner()))
    assert metric.measured() is None
    for _ in range(2):
        metric.update(batch(Corner(cmmd_name="CMMD (ViT-B/32)")))
    assert metric.info.label == "CMMD (ViT-B/32), region"
    assert metric.measured() is not None
