"""What a metric is, what it may look at, and how processes share it."""

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeVar

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat
from torchmetrics.utilities.distributed import gather_all_tensors

from e2eve.features import FeatureExtractor, PerceptualDistance, region_features
from e2eve.geometry import Box
from e2eve.metrics.info import MetricInfo

__all__ = ["EditMetric", "EvaluatedBatch", "MetricInfo"]

T = TypeVar("T")
Part = Literal["image", "region"]


class ReferenceFeatures(NamedTuple):
    """Features of real images, by the networks that a validation set's manifest names.

    The `extractor` gives the first three, for distances of sets of images; the `retrieval`
    network, which may be the same, gives the others, for finding drivers.
    """

    whole: Float[Tensor, "references dim"]
    regions: Float[Tensor, "references dim"]  # region crops of the same images
    sources: Float[Tensor, "inputs dim"]
    drivers: Float[Tensor, "inputs width"]
    distractors: Float[Tensor, "inputs distractors width"]  # kept in half precision


class MetricNetworks(NamedTuple):
    """Frozen networks through which metrics see images."""

    extractor: FeatureExtractor  # for distances of sets of images
    retrieval: FeatureExtractor  # for finding drivers
    perceptual: PerceptualDistance | None  # for diversity


class AnswerBatch(NamedTuple):
    """The right edits of inputs, in [-1, 1], and which pixels of their regions are graded."""

    images: Float[Tensor, "batch 3 side side"]
    changed: Bool[Tensor, "batch 1 side side"]  # where the answer differs from the source
    kept: Bool[Tensor, "batch 1 side side"]


class InputBatch(NamedTuple):
    """Inputs `rows` of a validation set, on the editor's device; images in [-1, 1].

    A mismatched driver is another input's. Paired drivers are cut out of the source itself, or,
    mismatched, out of the other input's source.
    """

    rows: range
    boxes: list[Box]
    sources: Float[Tensor, "batch 3 side side"]
    regions: Bool[Tensor, "batch 1 side side"]
    drivers: Float[Tensor, "batch 3 driver_side driver_side"]
    mismatched_drivers: Float[Tensor, "batch 3 driver_side driver_side"]
    paired_drivers: Float[Tensor, "batch 3 driver_side driver_side"]
    mismatched_paired_drivers: Float[Tensor, "batch 3 driver_side driver_side"]
    pastes: Float[Tensor, "batch 3 side side"]
    blends: Float[Tensor, "batch 3 side side"]
    driver_features: Float[Tensor, "batch dim"]
    distractor_features: Float[Tensor, "batch distractors dim"]
    answers: AnswerBatch | None = None


class InputNLL(NamedTuple):
    """Mean NLL of each input's source tokens, nats per token; NaN where it has no such token."""

    inside: Float[Tensor, " batch"]  # tokens of cells that the region touches
    outside: Float[Tensor, " batch"]


@dataclass(frozen=True, eq=False)
class EvaluatedBatch:
    """Edits of one system, and all that a metric may look at.

    Args:
        edits: images in [-1, 1]; a single sample for each input where nothing is random.
        inputs: what was edited: `inputs.sources` (batch 3 side side, in [-1, 1]), `inputs.regions`
            (batch 1 side side, bool, True is edited), `inputs.drivers` (batch 3 driver_side
            driver_side) and more, see `InputBatch`.
        reconstructions: the sources encoded and decoded by the editor's tokenizer.
        tokenized_blends: the Poisson blends through it; None where inputs have no answers.
        nll: gives the editor's NLL of the sources, by the driver that it is given: "matched" is the
            paired driver; None for systems that are no editor.
        mismatched: whether the editor was given mismatched drivers.
    """

    edits: Float[Tensor, "batch samples 3 side side"]
    inputs: InputBatch
    reconstructions: Float[Tensor, "batch 3 side side"]
    references: ReferenceFeatures
    networks: MetricNetworks
    nll: Callable[[], dict[str, InputNLL]] | None = None
    mismatched: bool = False
    tokenized_blends: Float[Tensor, "batch 3 side side"] | None = None
    shared: dict[Callable[..., Any], Any] = field(default_factory=dict, repr=False)

    def once(self, compute: Callable[["EvaluatedBatch"], T]) -> T:
        """`compute(self)`, by whichever metric asks first; the others share its result."""
        if compute not in self.shared:
            self.shared[compute] = compute(self)
        return self.shared[compute]


class EditMetric(Metric):
    """One number of a system's edits.

    A metric of your own sets `info` and defines `measure`, which gives values of each sample or, as
    `per` says, of each input; the number is their mean. A metric of whole sets of edits also
    defines `summary`, which turns what was measured of all inputs into the number.

    Args:
        info: in place of the class's.

    Raises:
        ValueError: when there is none.
    """

    full_state_update = False
    info: MetricInfo
    per: Literal["sample", "input", "set"] = "sample"
    rows: list[Tensor]
    values: list[Tensor]
    references: ReferenceFeatures

    def __init__(self, info: MetricInfo | None = None) -> None:
        super().__init__(sync_on_compute=False)
        self.info = info or getattr(type(self), "info", None)  # type: ignore[assignment]
        if self.info is None:
            name = type(self).__name__
            like = f'info = MetricInfo("{name.lower()}", "{name}")'
            raise ValueError(f"{name} has no info: give it one, such as {like}.")
        self.add_state("rows", [], dist_reduce_fx="cat")
        self.add_state("values", [], dist_reduce_fx="cat")

    @abstractmethod
    def measure(self, batch: EvaluatedBatch) -> Shaped[Tensor, "batch *rest"] | None:
        """Values of each input's samples, or of each input; None where nothing is defined.

        NaN stands for an input or sample without a value.
        """

    def update(self, batch: EvaluatedBatch) -> None:
        """Measures a batch; values are kept on the CPU, with the numbers of their inputs.

        Raises:
            ValueError: when the values are not as many as `per` says.
        """
        values = self.measure(batch)
        if values is not None:
            wanted = batch.edits.shape[: {"sample": 2, "input": 1, "set": 0}[self.per]]
            if self.per != "set" and values.shape != wanted:
                raise ValueError(
                    f"{self.info.key} gives values of shape {tuple(values.shape)} for a batch of "
                    f"{tuple(wanted)}: give one for each {self.per}, or say per = …."
                )
            self.references = batch.references
            self.rows.append(torch.tensor(batch.inputs.rows)[: len(values)])
            values = values.double() if values.dtype == torch.bool else values
            self.values.append(values.detach().cpu())

    def gather(self, group: Any) -> None:
        """Takes over the states of all processes of a group, for good.

        `sync` would end with the next `compute`, and what single inputs have is asked for after it.
        """
        if self.values:
            self.rows = gather_all_tensors(dim_zero_cat(self.rows), group)
            self.values = gather_all_tensors(dim_zero_cat(self.values), group)

    def measured(self) -> Shaped[Tensor, "inputs *rest"] | None:
        """What `measure` has given, by input, each once; None for nothing."""
        if not self.values:
            return None
        places = {row: place for place, row in enumerate(dim_zero_cat(self.rows).tolist())}
        return dim_zero_cat(self.values)[[places[row] for row in sorted(places)]]

    def compute(self) -> float:
        """The number; NaN where nothing was measured."""
        values = self.measured()
        return math.nan if values is None else self.summary(values)

    def summary(self, values: Shaped[Tensor, "inputs *rest"]) -> float:
        """The mean of all values but NaN."""
        return values.double().nanmean().item()

    def per_input(self) -> Float[Tensor, " inputs"] | None:
        """One value for each input, the mean of its samples'; None for metrics of sets."""
        values = self.measured()
        if values is None or self.per == "set":
            return None
        return values.double().flatten(1).nanmean(1) if values.ndim > 1 else values.double()


def margin(values: Float[Tensor, " inputs"]) -> float:
    """Half the width of the 95 % interval of a mean over inputs (normal approximation).

    Values that are not finite are left out; NaN for fewer than two.
    """
    defined = values[values.isfinite()].double()
    spread = defined.std(correction=1).item() if len(defined) > 1 else math.nan
    return 1.96 * spread / max(1, len(defined)) ** 0.5


class Interval(NamedTuple):
    """A mean over inputs, and the ends of its 95 % interval."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Float[Tensor, " inputs"]) -> "Interval":
        """Wilson's interval for the share of inputs where each value is 0 or 1, else `margin`.

        Wilson 1927, "Probable inference, the law of succession, and statistical inference".
        """
        values = values[values.isfinite()].double()
        mean, width = values.mean().item(), margin(values)
        if not ((values == 0) | (values == 1)).all():
            return cls(mean, mean - width, mean + width)
        weight = 1.96**2 / max(1, len(values))
        centre = (mean + weight / 2) / (1 + weight)
        width = (weight * (mean * (1 - mean) + weight / 4)) ** 0.5 / (1 + weight)
        return cls(mean, centre - width, centre + width)


def whole_features(batch: EvaluatedBatch) -> Float[Tensor, "batch dim"]:
    """Features of each input's first sample."""
    return batch.networks.extractor(batch.edits[:, 0])


def edited_features(batch: EvaluatedBatch) -> Float[Tensor, "batch dim"]:
    """Features of the region of each input's first sample."""
    return region_features(batch.networks.extractor, batch.edits[:, 0], batch.inputs.boxes)
