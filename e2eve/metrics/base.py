"""What a metric is: its number, what readers have to know of it, and how processes share it."""

import math
from abc import abstractmethod
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat
from torchmetrics.utilities.distributed import gather_all_tensors

from e2eve.metrics.batch import EvaluatedBatch, ReferenceFeatures
from e2eve.metrics.info import MetricInfo


class Estimate(NamedTuple):
    """A mean over inputs, and half the width of its 95 % interval (normal approximation)."""

    mean: float
    margin: float


class EditMetric(Metric):
    """One number of a system's edits.

    A metric of your own sets `info` and defines `measure`, which gives values of each sample or, as
    `per` says, of each input; the number is their mean. A metric of whole sets of edits also
    defines `summary`, which turns what was measured of all inputs into the number.

    States are gathered from all processes by torchmetrics, each input's values with its number:
    order, and inputs that two processes have measured, change nothing.

    Args:
        info: in place of the class's.
    """

    full_state_update = False
    info: MetricInfo
    per: ClassVar[Literal["sample", "input", "set"]] = "sample"
    rows: list[Tensor]
    values: list[Tensor]

    def __init__(self, info: MetricInfo | None = None, **options: Any) -> None:
        super().__init__(sync_on_compute=False, **options)
        self.info = info or type(self).info
        self.references: ReferenceFeatures | None = None
        self.add_state("rows", [], dist_reduce_fx="cat")
        self.add_state("values", [], dist_reduce_fx="cat")

    @abstractmethod
    def measure(self, batch: EvaluatedBatch) -> Shaped[Tensor, "batch *rest"] | None:
        """Values of each input's samples, or of each input; None where nothing is defined.

        NaN stands for an input or sample without a value.
        """

    def update(self, batch: EvaluatedBatch) -> None:
        """Measures a batch; values are kept on the CPU."""
        values = self.measure(batch)
        if values is None:
            return
        self.references = batch.references
        self.rows.append(torch.tensor(batch.inputs.rows)[: len(values)])
        values = values.double() if values.dtype == torch.bool else values
        self.values.append(values.detach().cpu())

    @property
    def is_defined(self) -> bool:
        """Whether anything was measured."""
        return bool(self.values)

    def gather(self, group: Any) -> None:
        """Takes over the states of all processes of a group, for good.

        `sync` would end with the next `compute`, and what single inputs have is asked for after it.
        """
        if self.is_defined:
            self.rows = gather_all_tensors(dim_zero_cat(self.rows), group)
            self.values = gather_all_tensors(dim_zero_cat(self.values), group)

    def compute(self) -> float:
        """The number; NaN where nothing was measured."""
        values = self.measured()
        return math.nan if values is None else self.summary(values)

    def summary(self, values: Shaped[Tensor, "inputs *rest"]) -> float:
        """The mean of all values but NaN."""
        return values.double().nanmean().item()

    def measured(self) -> Shaped[Tensor, "inputs *rest"] | None:
        """What `measure` has given, one row an input in their order; None for nothing."""
        if not self.is_defined:
            return None
        rows, values = dim_zero_cat(self.rows), dim_zero_cat(self.values)
        first = {row: place for place, row in reversed(list(enumerate(rows.tolist())))}
        return values[[first[row] for row in sorted(first)]]

    def per_input(self) -> Float[Tensor, " inputs"] | None:
        """One value for each input, the mean of its samples'; None for metrics of sets."""
        values = self.measured()
        if values is None or self.per == "set":
            return None
        return values.double().flatten(1).nanmean(1) if values.ndim > 1 else values.double()


def estimate(values: Float[Tensor, " inputs"]) -> Estimate:
    """The mean of finite values; without any, or for a single one, the margin is NaN."""
    defined = values[values.isfinite()].double()
    if not len(defined):
        return Estimate(math.nan, math.nan)
    spread = defined.std(correction=1).item() if len(defined) > 1 else math.nan
    return Estimate(defined.mean().item(), 1.96 * spread / len(defined) ** 0.5)
