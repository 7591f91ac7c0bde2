"""What is measured, as functions of tensors; each docstring gives formula and source."""

from e2eve.metrics.crops import crop_and_resize
from e2eve.metrics.diversity import Diversity, diversity
from e2eve.metrics.frechet import (
    FeatureStatistics,
    feature_statistics,
    frechet_distance,
)
from e2eve.metrics.kernel import kernel_distance
from e2eve.metrics.masked import (
    TokenMasks,
    l1_outside,
    masked_mean,
    token_losses,
    tokens_in_region,
)
from e2eve.metrics.retrieval import (
    driver_ranks,
    recall_at,
    sweep_boxes,
    sweep_distances,
    sweep_features,
)

__all__ = [
    "Diversity",
    "FeatureStatistics",
    "TokenMasks",
    "crop_and_resize",
    "diversity",
    "driver_ranks",
    "feature_statistics",
    "frechet_distance",
    "kernel_distance",
    "l1_outside",
    "masked_mean",
    "recall_at",
    "sweep_boxes",
    "sweep_distances",
    "sweep_features",
    "token_losses",
    "tokens_in_region",
]
