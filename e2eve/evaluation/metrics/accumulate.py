"""Sums and collections over batches and processes; the statistics are free functions elsewhere."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from e2eve.evaluation.metrics.retrieval import recall_at


class Mean(Metric):
    """Weighted mean of everything seen, in float64."""

    total: Tensor
    weight: Tensor

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for name in ("total", "weight"):
            self.add_state(name, torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, values: Float[Tensor, " batch"], weights: Tensor | None = None) -> None:
        """Weights (any number or truth type) default to 1; a value of weight 0 is not looked at."""
        weights = torch.ones_like(values) if weights is None else weights
        self.total += values.double().masked_fill(weights == 0, 0).mul(weights).sum()
        self.weight += weights.double().sum()

    def compute(self) -> Float[Tensor, ""]:
        _refuse_empty(self, self.weight.item() == 0)
        return self.total / self.weight


class Collection(Metric):
    """Every row seen, such as features for a Fréchet distance; rows of one process stay in order."""

    rows: list[Tensor]

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.add_state("rows", [], dist_reduce_fx="cat")

    def update(self, rows: Float[Tensor, "batch *rest"]) -> None:
        self.rows.append(rows.detach())

    def compute(self) -> Float[Tensor, "count *rest"]:
        _refuse_empty(self, not len(self.rows))
        return dim_zero_cat(self.rows)


class Recall(Metric):
    """R@k of the driver ranks seen (1 is best)."""

    rows: list[Tensor]

    def __init__(self, ks: tuple[int, ...] = (1, 5, 10, 20), **options: Any) -> None:
        super().__init__(**options)
        self.ks = ks
        self.add_state("rows", [], dist_reduce_fx="cat")

    def update(self, ranks: Int[Tensor, " batch"]) -> None:
        self.rows.append(ranks)

    def compute(self) -> dict[int, float]:
        """k → share of inputs whose driver is among the k nearest."""
        _refuse_empty(self, not len(self.rows))
        ranks = dim_zero_cat(self.rows)
        return {k: recall_at(ranks, k) for k in self.ks}


def _refuse_empty(metric: Metric, empty: bool) -> None:
    if empty:
        raise ValueError(f"{type(metric).__name__} has seen no values: evaluate one input or more.")
