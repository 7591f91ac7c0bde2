"""What is measured, as functions of tensors; each docstring gives formula and source.

Accumulation over batches and processes is in `accumulate`, which imports torchmetrics.
"""

from e2eve.evaluation.metrics.crops import crop_and_resize
from e2eve.evaluation.metrics.diversity import Diversity, diversity
from e2eve.evaluation.metrics.frechet import (
    FeatureStatistics,
    feature_statistics,
    frechet_distance,
)
from e2eve.evaluation.metrics.kernel import (
    SubsetDistance,
    kernel_distance,
    subset_kernel_distance,
)
from e2eve.evaluation.metrics.masked import (
    TokenMasks,
    l1_inside,
    l1_outside,
    masked_mean,
    token_losses,
    tokens_in_region,
)
from e2eve.evaluation.metrics.retrieval import (
    driver_ranks,
    recall_at,
    sweep_boxes,
    sweep_distances,
    sweep_features,
)
from e2eve.evaluation.metrics.selection import Kept, rank_and_keep

__all__ = [
    "Diversity",
    "FeatureStatistics",
    "Kept",
    "SubsetDistance",
    "TokenMasks",
    "crop_and_resize",
    "diversity",
    "driver_ranks",
    "feature_statistics",
    "frechet_distance",
    "kernel_distance",
    "l1_inside",
    "l1_outside",
    "masked_mean",
    "rank_and_keep",
    "recall_at",
    "subset_kernel_distance",
    "sweep_boxes",
    "sweep_distances",
    "sweep_features",
    "token_losses",
    "tokens_in_region",
]
