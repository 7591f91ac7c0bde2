"""Fréchet distance of two sets of features: how far apart the Gaussians fitted to them are.

Dowson and Landau 1982; on Inception features the FID of Heusel et al. 2017 (arXiv 1706.08500). It
is biased upwards for few samples (Chong and Forsyth 2020, arXiv 1911.07023): report the counts.
"""

from dataclasses import replace
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from e2eve.metrics.base import EditMetric
from e2eve.metrics.batch import EvaluatedBatch, edited_features, whole_features
from e2eve.metrics.info import MetricInfo


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


class Frechet(EditMetric):
    """Fréchet distance of the edits' features to those of real images.

    Each system counts with one image an input, the first sample.

    Args:
        part: of the images that is compared.
    """

    per = "set"

    def __init__(self, part: Literal["image", "region"] = "image") -> None:
        region = part == "region"
        super().__init__(
            MetricInfo(
                key="frechet_region" if region else "frechet",
                label="Fréchet, region" if region else "Fréchet",
                best="low",
                spec=".4g",
                aspect="naturalness",
                note="distance of the features of edits to those of real images"
                + (", of regions" if region else ""),
                shown=region,
            )
        )
        self.region = region

    def measure(self, batch: EvaluatedBatch) -> Float[Tensor, "batch dim"]:
        """The features; only those of Inception-v3 make it an FID."""
        if batch.networks.extractor.frechet_name == "FID":
            self.info = replace(self.info, label=self.info.label.replace("Fréchet", "FID"))
        return batch.once(edited_features if self.region else whole_features)

    def summary(self, values: Float[Tensor, "inputs dim"]) -> float:
        assert self.references is not None  # which come with the values
        return frechet_distance(values, self.references[self.region])


def check_features(*sets: Float[Tensor, "_count _dim"]) -> None:
    """Checks sets of features that a distance is asked of.

    Raises:
        ValueError: for a set too small to have a covariance, with values that are not finite, or
            of another extractor than the others.
    """
    for features in sets:
        if len(features) < 2:
            raise ValueError(
                "A distance of feature sets needs 2 images or more in each set, one has "
                f"{len(features)}: add images."
            )
        if not features.isfinite().all():
            raise ValueError(
                "Some features are not finite, so no distance exists: look for broken images "
                "among the ones they come from."
            )


def check_same_width(a: Float[Tensor, "rows_a dim_a"], b: Float[Tensor, "rows_b dim_b"]) -> None:
    """Raises ValueError for features of different extractors."""
    if a.shape[1] != b.shape[1]:
        raise ValueError(
            f"Features of {a.shape[1]} and of {b.shape[1]} dimensions cannot be compared, take "
            "both from one feature extractor."
        )
