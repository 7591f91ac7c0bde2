"""Distances of the features of edits to those of real images: Fréchet and kernel distance.

The Fréchet distance (Dowson and Landau 1982; on Inception features the FID of Heusel et al. 2017,
arXiv 1706.08500) is biased upwards for few samples (Chong and Forsyth 2020, arXiv 1911.07023):
report the counts. The kernel distance (KID on Inception features; Bińkowski et al. 2018,
"Demystifying MMD GANs", arXiv 1801.01401) is not.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from e2eve.metrics.base import (
    EditMetric,
    EvaluatedBatch,
    MetricInfo,
    Part,
    edited_features,
    whole_features,
)

# Rows of a kernel matrix that are held at a time.
ROWS_AT_ONCE = 2048


def frechet_distance(a: Float[Tensor, "count_a dim_a"], b: Float[Tensor, "count_b dim_b"]) -> float:
    """‖μa - μb‖² + tr Σa + tr Σb - 2 tr (Σa Σb)^½, a squared distance; float64.

    With factors, Σ = FᵀF, the last trace is the sum of the singular values of Fa Fbᵀ: the
    eigenvalues of Σa Σb are the squares of those. No root of a matrix is taken, and few samples
    cost little.

    Raises:
        ValueError: for fewer than 2 features, or sets of different dimension.
    """
    check_features(a, b)
    (mean_a, factor_a), (mean_b, factor_b) = map(_mean_and_factor, (a, b))
    means = (mean_a - mean_b).square().sum()
    traces = factor_a.square().sum() + factor_b.square().sum()
    root = torch.linalg.svdvals(factor_a @ factor_b.T).sum()
    return max(0.0, (means + traces - 2 * root).item())  # rounding can reach below zero


# Mean, and centred features / √(count - 1), reduced to at most dim rows.
def _mean_and_factor(
    features: Float[Tensor, "count dim"],
) -> tuple[Float[Tensor, " dim"], Float[Tensor, "rows dim"]]:
    features = features.double()
    mean = features.mean(0)
    factor = (features - mean) / (len(features) - 1) ** 0.5
    return mean, torch.linalg.qr(factor, mode="r").R if len(factor) > factor.shape[1] else factor


def kernel_distance(a: Float[Tensor, "count_a dim_a"], b: Float[Tensor, "count_b dim_b"]) -> float:
    """E k(a, a') + E k(b, b') - 2 E k(a, b) over distinct features, k(x, y) = (x·y / dim + 1)³.

    Zero on average for sets of one distribution, so it may be negative. float64.

    Raises:
        ValueError: for fewer than 2 features, or sets of different dimension.
    """
    check_features(a, b)
    a, b = a.double(), b.double()
    within = sum(_mean_of_distinct(features) for features in (a, b))
    return within - 2 * _kernel_sum(a, b) / (len(a) * len(b))


# Sum of k over all pairs, in blocks of rows to bound the memory.
def _kernel_sum(a: Float[Tensor, "count_a dim"], b: Float[Tensor, "count_b dim"]) -> float:
    blocks = a.split(ROWS_AT_ONCE)
    return sum((rows @ b.T / b.shape[1] + 1).pow(3).sum().item() for rows in blocks)


def _mean_of_distinct(features: Float[Tensor, "count dim"]) -> float:
    count, dim = features.shape
    itself = (features.square().sum(1) / dim + 1).pow(3).sum().item()
    return (_kernel_sum(features, features) - itself) / (count * (count - 1))


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
        if features.shape[1] != sets[0].shape[1]:
            raise ValueError(
                f"Features of {sets[0].shape[1]} and of {features.shape[1]} dimensions cannot be "
                "compared, take both from one feature extractor."
            )


class Frechet(EditMetric):
    """Fréchet distance of the edits' features to those of real images.

    Each system counts with one image an input, the first sample. "FID" is said of Inception-v3's
    features and no others, "FD-DINOv2" of DINOv2's.

    Args:
        part: of the images that is compared.
    """

    per = "set"
    info = MetricInfo(
        "frechet",
        "Fréchet",
        best="low",
        spec=".4g",
        aspect="naturalness",
        note="distance of the features of edits to those of real images",
    )
    distance = staticmethod(frechet_distance)

    def __init__(self, part: Part = "image") -> None:
        super().__init__(self.info.of_region() if part == "region" else None)
        self.is_region = part == "region"

    def measure(self, batch: EvaluatedBatch) -> Float[Tensor, "batch dim"] | None:
        name = batch.networks.extractor.frechet_name
        if not name.startswith("Fréchet"):
            self.info = self.info.renamed("Fréchet", name)
        return batch.once(edited_features if self.is_region else whole_features)

    def summary(self, values: Float[Tensor, "inputs dim"]) -> float:
        return self.distance(values, self.references[self.is_region])


class Kernel(Frechet):
    """Kernel distance of the edits' features to those of real images, on the same images."""

    info = MetricInfo(
        "kernel",
        "Kernel",
        best="low",
        spec=".4g",
        aspect="naturalness",
        note="kernel distance of the features of edits to those of real images",
    )
    distance = staticmethod(kernel_distance)
