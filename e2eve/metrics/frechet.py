"""Fréchet distance of two sets of features: how far apart the Gaussians fitted to them are.

Dowson and Landau 1982; on Inception features the FID of Heusel et al. 2017 (arXiv 1706.08500). It
is biased upwards for few samples (Chong and Forsyth 2020, arXiv 1911.07023): report the counts.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from e2eve.metrics.checks import check_features, check_same_width


class FeatureStatistics(NamedTuple):
    """Mean and covariance of features, all a Fréchet distance needs; float64.

    The covariance is `factor.T @ factor`, with no more rows than there are features or dimensions.
    """

    mean: Float[Tensor, " dim"]
    factor: Float[Tensor, "rows dim"]
    samples: int


def feature_statistics(features: Float[Tensor, "count dim"]) -> FeatureStatistics:
    """Mean and factor (centred features / √(count - 1), reduced to at most dim rows).

    Raises:
        ValueError: for fewer than 2 features.
    """
    check_features(features)
    features = features.double()
    mean = features.mean(0)
    factor = (features - mean) / (len(features) - 1) ** 0.5
    if len(factor) > factor.shape[1]:
        factor = torch.linalg.qr(factor, mode="r").R
    return FeatureStatistics(mean, factor, len(features))


def frechet_distance(
    a: Float[Tensor, "count_a dim_a"] | FeatureStatistics,
    b: Float[Tensor, "count_b dim_b"] | FeatureStatistics,
) -> float:
    """‖μa - μb‖² + tr Σa + tr Σb - 2 tr (Σa Σb)^½, a squared distance.

    With factors, Σ = FᵀF, the last trace is the sum of the singular values of Fa Fbᵀ: the
    eigenvalues of Σa Σb are the squares of those. No root of a matrix
    is taken, and few samples cost little.

    Raises:
        ValueError: for fewer than 2 features, or sets of different dimension.
    """
    a, b = (x if isinstance(x, FeatureStatistics) else feature_statistics(x) for x in (a, b))
    check_same_width(a.factor, b.factor)
    means = (a.mean - b.mean).square().sum()
    traces = a.factor.square().sum() + b.factor.square().sum()
    root = torch.linalg.svdvals(a.factor @ b.factor.T).sum()
    return max(0.0, (means + traces - 2 * root).item())  # rounding can reach below zero
