"""What is compared: the editor, the editor misled, and edits that need no editor."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import Literal

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from e2eve.conditioning import EditInputs
from e2eve.data.images import to_tensor
from e2eve.editor import Editor
from e2eve.evaluation.baselines import paste, poisson
from e2eve.evaluation.settings import DrawingSettings
from e2eve.evaluation.validation_set import ValidationSet
from e2eve.metrics.batch import Edits, EvaluatedBatch, InputBatch, MetricNetworks, PairedNLL
from e2eve.transformer import SamplingSettings


@dataclass(frozen=True)
class System:
    """One way to edit.

    Args:
        drivers: which drivers the editor is given; None for a system that is no editor.
        ranked: whether its values compete; the others are there to read the values by.
    """

    key: str
    name: str
    explanation: str
    drivers: Literal["matched", "mismatched"] | None = None
    ranked: bool = False


SYSTEMS = (
    System("editor", "Editor", "samples of the editor", "matched", ranked=True),
    System(
        "editor_mismatched",
        "Editor, mismatched driver",
        "the same, given the driver of another input, and still asked for its own",
        "mismatched",
    ),
    System(
        "paste",
        "Paste",
        "the driver enlarged to the region's box and pasted into the region",
        ranked=True,
    ),
    System("paste_tokenized", "Paste, tokenized", "the paste encoded and decoded", ranked=True),
    System(
        "poisson",
        "Poisson blend",
        "the paste with its colours fitted to its surroundings",
        ranked=True,
    ),
    System("source", "Source", "the source unchanged"),
    System("reconstruction", "Source, tokenized", "the source encoded and decoded"),
)


def evaluated_batches(
    editor: Editor,
    inputs: InputBatch,
    validation: ValidationSet,
    networks: MetricNetworks,
    settings: DrawingSettings,
    sampling: SamplingSettings,
) -> Iterator[EvaluatedBatch]:
    """The edits of each system, one after the other."""
    reconstructions = tokenized(editor, inputs.sources)
    likelihood = cache(partial(paired_nll, editor, inputs))  # both drivers' at once
    for system in SYSTEMS:
        if system.drivers is not None:
            drivers = inputs.drivers if system.drivers == "matched" else inputs.mismatched_drivers
            edits = drawn(editor, inputs, drivers, settings.num_samples, sampling)
        else:
            single = {
                "paste": lambda: inputs.pastes,
                "paste_tokenized": lambda: tokenized(editor, inputs.pastes),
                "poisson": lambda: inputs.blends,
                "source": lambda: inputs.sources,
                "reconstruction": lambda: reconstructions,
            }
            edits = rearrange(single[system.key](), "b c h w -> b 1 c h w")
        yield EvaluatedBatch(
            system=system.key,
            edits=edits.float(),
            inputs=inputs,
            reconstructions=reconstructions.float(),
            references=validation.features,
            networks=networks,
            drivers=system.drivers,
            likelihood=likelihood,
        )


def drawn(
    editor: Editor,
    inputs: InputBatch,
    drivers: Float[Tensor, "batch 3 driver_side driver_side"],
    num_samples: int,
    sampling: SamplingSettings,
) -> Edits:
    """Samples of the editor; the same for an input whatever the batch is."""
    return editor.draw(
        EditInputs(inputs.sources, inputs.regions, drivers),
        num_samples=num_samples,
        seeds=inputs.seeds,
        settings=sampling,
        pastes=inputs.pastes,
    )


@torch.no_grad()
def paired_nll(editor: Editor, inputs: InputBatch) -> PairedNLL:
    """Likelihood of the sources' own tokens, given paired and mismatched paired drivers."""
    matched = editor.tokenize(EditInputs(inputs.sources, inputs.regions, inputs.paired_drivers))
    other_ids = editor.driver_tokenizer.encode(inputs.mismatched_paired_drivers)
    columns: list[Tensor] = []
    for tokens in (matched, matched._replace(driver_ids=other_ids)):
        nll = editor.nll(tokens)
        columns += [nll.inside_by_input, nll.outside_by_input]
    return PairedNLL(*columns)


def tokenized(
    editor: Editor, images: Float[Tensor, "batch 3 side side"]
) -> Float[Tensor, "batch 3 side side"]:
    """Images encoded and decoded again by the source tokenizer."""
    ids = editor.source_tokenizer.encode(images)
    return editor.decode(rearrange(ids, "b t -> b 1 t"))[:, 0]


def input_batch(
    validation: ValidationSet, rows: range, shift: int, seed: int, device: torch.device
) -> InputBatch:
    """Inputs `rows`; the mismatched driver is the one of `shift` inputs before."""
    chosen = np.array(rows)
    others = (chosen - shift) % len(validation)
    boxes = [validation.region_boxes[n] for n in rows]
    sources, regions = validation.sources[chosen], validation.regions[chosen]
    drivers = validation.drivers[chosen]

    def tensor(images: np.ndarray) -> Tensor:
        return to_tensor(images).to(device)

    return InputBatch(
        rows=rows,
        seeds=[seed + n for n in rows],
        boxes=boxes,
        sources=tensor(sources),
        regions=torch.from_numpy(regions)[:, None].to(device),
        drivers=tensor(drivers),
        mismatched_drivers=tensor(validation.drivers[others]),
        paired_drivers=tensor(validation.paired_drivers[chosen]),
        mismatched_paired_drivers=tensor(validation.paired_drivers[others]),
        pastes=tensor(paste(sources, regions, boxes, drivers)),
        blends=tensor(poisson(sources, regions, boxes, drivers)),
        driver_features=validation.features.drivers[chosen].to(device),
        distractor_features=validation.features.distractors[chosen].to(device).float(),
    )


def mismatch_shift(validation: ValidationSet) -> int:
    """By how many inputs drivers are shifted to mislead the editor.

    The least for which the fewest inputs get a driver out of their own source's image or their
    own driver's.
    """
    inputs = validation.inputs
    count = len(inputs)

    def clashes(shift: int) -> int:
        given = [inputs[(n - shift) % count].driver for n in range(count)]
        return sum(
            name in (item.source, item.driver) for name, item in zip(given, inputs, strict=True)
        )

    return min(range(1, count), key=clashes)
