"""What is compared: the editor, the editor misled, and edits that need no editor."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from e2eve.conditioning import EditInputs
from e2eve.data.images import to_tensor
from e2eve.editor import Editor
from e2eve.evaluation.baselines import paste, poisson
from e2eve.evaluation.validation_set import ValidationSet
from e2eve.geometry import Box
from e2eve.transformer import SamplingSettings

Edits = Float[Tensor, "batch samples 3 side side"]


class System(NamedTuple):
    key: str
    name: str
    explanation: str


SYSTEMS = (
    System("editor", "Editor", "samples of the editor"),
    System(
        "editor_swapped",
        "Editor, another driver",
        "the same, given the driver of another input, and still asked for its own",
    ),
    System("paste", "Paste", "the driver enlarged to the region's box and pasted into the region"),
    System("paste_tokenized", "Paste, tokenized", "the paste encoded and decoded again"),
    System("poisson", "Poisson blend", "the paste with its colours fitted to its surroundings"),
    System("source", "Source", "the source unchanged"),
    System("reconstruction", "Source, tokenized", "the source encoded and decoded again"),
)


@dataclass(frozen=True)
class EvaluationSettings:
    """What is drawn and how.

    Args:
        num_samples: edits drawn for an input.
        seed: input n is drawn with seed + n.
        batch_size: inputs sampled together; changes nothing but time and memory.
        shown: inputs in the picture of samples, the first ones of the validation set.
        saved: inputs whose samples are saved as files, the first ones too; 0 for none.
    """

    num_samples: int = 4
    seed: int = 0
    batch_size: int = 16
    shown: int = 8
    saved: int = 24
    sampling: SamplingSettings = field(default_factory=SamplingSettings)

    def __post_init__(self) -> None:
        for name in ("num_samples", "batch_size", "shown"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, set it to 1 or more.")
        if self.saved < 0:
            raise ValueError(f"saved is {self.saved}, set it to 0 or more.")


class InputBatch(NamedTuple):
    """Some inputs of a validation set, on the editor's device."""

    seeds: list[int]
    boxes: list[Box]
    sources: Float[Tensor, "batch 3 side side"]
    regions: Bool[Tensor, "batch 1 side side"]
    drivers: Float[Tensor, "batch 3 driver_side driver_side"]
    other_drivers: Float[Tensor, "batch 3 driver_side driver_side"]
    paired_drivers: Float[Tensor, "batch 3 driver_side driver_side"]
    other_paired_drivers: Float[Tensor, "batch 3 driver_side driver_side"]
    pastes: Float[Tensor, "batch 3 side side"]
    blends: Float[Tensor, "batch 3 side side"]
    driver_features: Float[Tensor, "batch dim"]
    distractor_features: Float[Tensor, "batch distractors dim"]


def input_batch(
    validation: ValidationSet, rows: range, swap: int, seed: int, device: torch.device
) -> InputBatch:
    """Inputs `rows`; the other driver is the one of `swap` inputs before."""
    chosen = np.array(rows)
    others = (chosen - swap) % len(validation)
    boxes = [validation.region_boxes[n] for n in rows]
    pictures = (validation.sources[chosen], validation.regions[chosen])
    drivers = validation.drivers[chosen]

    def tensor(images: np.ndarray) -> Tensor:
        return to_tensor(images).to(device)

    return InputBatch(
        seeds=[seed + n for n in rows],
        boxes=boxes,
        sources=tensor(pictures[0]),
        regions=torch.from_numpy(pictures[1])[:, None].to(device),
        drivers=tensor(drivers),
        other_drivers=tensor(validation.drivers[others]),
        paired_drivers=tensor(validation.paired_drivers[chosen]),
        other_paired_drivers=tensor(validation.paired_drivers[others]),
        pastes=tensor(paste(*pictures, boxes, drivers)),
        blends=tensor(poisson(*pictures, boxes, drivers)),
        driver_features=validation.features.drivers[chosen].to(device),
        distractor_features=validation.features.distractors[chosen].to(device).float(),
    )


def swap_distance(validation: ValidationSet) -> int:
    """By how many inputs drivers are shifted to mislead the editor.

    The least for which the fewest inputs get a driver out of their own source's picture or their
    own driver's.
    """
    inputs = validation.inputs
    count = len(inputs)

    def clashes(swap: int) -> int:
        given = [inputs[(n - swap) % count].driver for n in range(count)]
        return sum(
            name in (item.source, item.driver) for name, item in zip(given, inputs, strict=True)
        )

    return min(range(1, count), key=clashes)


def edits_of(
    system: str, editor: Editor, inputs: InputBatch, settings: EvaluationSettings
) -> Edits:
    """Pictures of one system; a single one for each input where nothing is random."""
    if system == "editor":
        return _sampled(editor, inputs, inputs.drivers, settings)
    if system == "editor_swapped":
        return _sampled(editor, inputs, inputs.other_drivers, settings)
    plain = {"source": inputs.sources, "paste": inputs.pastes, "poisson": inputs.blends}
    if system in plain:
        return rearrange(plain[system], "b c h w -> b 1 c h w")
    images = {"reconstruction": inputs.sources, "paste_tokenized": inputs.pastes}[system]
    ids = editor.source_tokenizer.encode(images)
    return editor.decode(rearrange(ids, "b t -> b 1 t"))


def _sampled(
    editor: Editor,
    inputs: InputBatch,
    drivers: Float[Tensor, "batch 3 driver_side driver_side"],
    settings: EvaluationSettings,
) -> Edits:
    return editor.draw(
        EditInputs(inputs.sources, inputs.regions, drivers),
        num_samples=settings.num_samples,
        seeds=inputs.seeds,
        settings=settings.sampling,
        pastes=inputs.pastes,
    )
