"""The edits of one system for some inputs, with everything that a metric may look at."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeVar

from jaxtyping import Bool, Float
from torch import Tensor

from e2eve.features import FeatureExtractor, PerceptualDistance
from e2eve.features.crops import region_features
from e2eve.geometry import Box

T = TypeVar("T")
Edits = Float[Tensor, "batch samples 3 side side"]


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


class InputBatch(NamedTuple):
    """Inputs `rows` of a validation set, on the editor's device; images in [-1, 1].

    A mismatched driver is another input's. Paired drivers are cut out of the source itself, or,
    mismatched, out of the other input's source.
    """

    rows: range
    seeds: list[int]
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


class PairedNLL(NamedTuple):
    """Mean NLL of each input's source tokens, nats per token; NaN where it has no such token.

    Inside are the tokens whose cells the region touches. The driver is the paired one, or the
    mismatched paired one.
    """

    matched_inside: Float[Tensor, " batch"]
    matched_outside: Float[Tensor, " batch"]
    mismatched_inside: Float[Tensor, " batch"]
    mismatched_outside: Float[Tensor, " batch"]


@dataclass(frozen=True, eq=False)
class EvaluatedBatch:
    """Edits of one system, and what several metrics ask for: computed once, when first asked.

    Args:
        system: its key, "editor" for the editor given its drivers.
        edits: images in [-1, 1]; a single sample for each input where nothing is random.
        reconstructions: the sources encoded and decoded again by the editor's tokenizer.
        drivers: which drivers the editor was given; None for a system that is no editor.
        likelihood: gives the editor's paired NLL of these inputs.
    """

    system: str
    edits: Edits
    inputs: InputBatch
    reconstructions: Float[Tensor, "batch 3 side side"]
    references: ReferenceFeatures
    networks: MetricNetworks
    drivers: Literal["matched", "mismatched"] | None
    likelihood: Callable[[], PairedNLL]
    shared: dict[Callable[..., Any], Any] = field(default_factory=dict, repr=False)

    def once(self, compute: Callable[["EvaluatedBatch"], T]) -> T:
        """`compute(self)`, by whichever metric asks first; the others share its result."""
        if compute not in self.shared:
            self.shared[compute] = compute(self)
        return self.shared[compute]


def whole_features(batch: EvaluatedBatch) -> Float[Tensor, "batch dim"]:
    """Features of each input's first sample."""
    return batch.networks.extractor(batch.edits[:, 0])


def edited_features(batch: EvaluatedBatch) -> Float[Tensor, "batch dim"]:
    """Features of the region of each input's first sample."""
    return region_features(batch.networks.extractor, batch.edits[:, 0], batch.inputs.boxes)
