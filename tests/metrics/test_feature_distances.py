"""Laws of the Fréchet and the kernel distance, and their slow references."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from e2eve.metrics.feature_distances import frechet_distance, kernel_distance


def features(count: int, dim: int = 12, seed: int = 0, shift: float = 0.0) -> torch.Tensor:
    """Correlated, of unequal spread."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(dim, dim, generator=torch.Generator().manual_seed(99))
    drawn = torch.randn(count, dim, generator=generator, dtype=torch.float64)
    return drawn @ mixing.double() + shift


def slow_frechet(a: np.ndarray, b: np.ndarray) -> float:
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = np.trace(sqrtm(cov_a @ cov_b)).real
    return ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * root


@pytest.mark.parametrize("counts", [(40, 30), (40, 5), (5, 40), (4, 3), (13, 13)])
def test_frechet_is_the_formula_with_few_and_many_samples(counts):
    a, b = features(counts[0]), features(counts[1], seed=1, shift=0.5)
    tolerance = 1e-9 if min(counts) > a.shape[1] else 1e-5  # sqrtm of a singular matrix is rough
    assert frechet_distance(a, b) == pytest.approx(
        slow_frechet(a.numpy(), b.numpy()), rel=tolerance
    )


def test_frechet_is_zero_to_itself_symmetric_and_the_square_of_a_shift():
    a, b = features(40), features(25, seed=1)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a))
    assert frechet_distance(a, a + 2) == pytest.approx(4 * 12)


def test_frechet_takes_float32_features_in_double_precision():
    a, b = features(30).float(), features(30, seed=1).float()
    slow = slow_frechet(a.double().numpy(), b.double().numpy())
    assert frechet_distance(a, b) == pytest.approx(slow, rel=1e-9)


def slow_kernel(a: torch.Tensor, b: torch.Tensor) -> float:
    def k(x: torch.Tensor, y: torch.Tensor) -> float:
        return ((x @ y / len(x) + 1) ** 3).item()

    def within(s: torch.Tensor) -> float:
        pairs = [k(x, y) for i, x in enumerate(s) for j, y in enumerate(s) if i != j]
        return sum(pairs) / len(pairs)

    return within(a) + within(b) - 2 * sum(k(x, y) for x in a for y in b) / (len(a) * len(b))


def test_kernel_distance_is_the_sum_over_pairs(monkeypatch):
    a, b = features(7), features(5, seed=1, shift=0.5)
    assert kernel_distance(a, b) == pytest.approx(slow_kernel(a, b))
    assert kernel_distance(a, b) == pytest.approx(kernel_distance(b, a))
    monkeypatch.setattr("e2eve.metrics.feature_distances.ROWS_AT_ONCE", 2)
    assert kernel_distance(a, b) == pytest.approx(slow_kernel(a, b))


def test_kernel_distance_is_unbiased():
    """Its mean over small sets of one distribution is zero, unlike the Fréchet distance's."""
    pairs = [(features(4, seed=2 * i), features(4, seed=2 * i + 1)) for i in range(150)]
    values = [kernel_distance(a, b) for a, b in pairs]
    assert abs(np.mean(values)) < 3 * np.std(values) / len(values) ** 0.5


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
def test_sets_that_have_no_distance_are_refused(distance):
    with pytest.raises(ValueError, match="2 images or more in each set, one has 1"):
        distance(features(5), features(1))
    with pytest.raises(ValueError, match="12 and of 3 dimensions"):
        distance(features(5), features(5, dim=3))
    with pytest.raises(ValueError, match="not finite"):
        distance(features(5), features(5) * torch.nan)
