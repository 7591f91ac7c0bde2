"""Checks that several metrics share."""

from jaxtyping import Float
from torch import Tensor


def check_features(*sets: Float[Tensor, "_count _dim"], at_least: int = 2) -> None:
    """Raises ValueError for a set too small to have a covariance, or with values not finite."""
    for features in sets:
        if len(features) < at_least:
            raise ValueError(
                f"A distance of feature sets needs {at_least} images or more in each set, one has "
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
