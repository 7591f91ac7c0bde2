"""Kernel distance of two sets of features (KID on Inception features), unbiased for few samples.

Bińkowski et al. 2018, "Demystifying MMD GANs" (arXiv 1801.01401).
"""

from jaxtyping import Float
from torch import Tensor

from e2eve.metrics.base import MetricInfo
from e2eve.metrics.frechet import Frechet, check_features

ROWS_AT_ONCE = 2048


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
