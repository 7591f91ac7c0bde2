"""What is compared: the editor, the editor misled, and edits that need no editor."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, Literal

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from e2eve.conditioning import EditInputs
from e2eve.data.images import to_tensor
from e2eve.editing.compositing import blended, pasted
from e2eve.editor import Editor
from e2eve.evaluation.validation import ValidationSet
from e2eve.geometry import Box
from e2eve.metrics.base import (
    AnswerBatch,
    EditMetric,
    EvaluatedBatch,
    InputBatch,
    InputNLL,
    MetricNetworks,
)
from e2eve.transformer import SamplingSettings

Sources = UInt8[np.ndarray, "inputs side side 3"]
Regions = Bool[np.ndarray, "inputs side side"]
Drivers = Sequence[UInt8[np.ndarray, "_ _ 3"]] | UInt8[np.ndarray, "inputs _ _ 3"]

# Inputs that metrics are tried on before an evaluation.
TRIED = 2


@dataclass(frozen=True)
class System:
    """One way to edit.

    Args:
        drivers: which drivers the editor is given; None for a system that is no editor.
        ranked: whether its values compete; the others are there to read the values by.
        needs_answers: whether it is there only where the inputs have answers.
    """

    key: str
    name: str
    explanation: str
    drivers: Literal["matched", "mismatched"] | None = None
    ranked: bool = False
    needs_answers: bool = False


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
    System(
        "poisson_tokenized",
        "Poisson blend, tokenized",
        "the blend encoded and decoded",
        ranked=True,
        needs_answers=True,
    ),
    System("source", "Source", "the source unchanged"),
    System("reconstruction", "Source, tokenized", "the source encoded and decoded"),
    System(
        "answer_tokenized",
        "Answer, tokenized",
        "the right edit encoded and decoded: what is within reach of an editor with that tokenizer",
        needs_answers=True,
    ),
)


def systems_of(validation: ValidationSet) -> list[System]:
    """The systems that can be measured on these inputs."""
    return [s for s in SYSTEMS if validation.answers is not None or not s.needs_answers]


def evaluated_batches(
    editor: Editor,
    inputs: InputBatch,
    validation: ValidationSet,
    networks: MetricNetworks,
    *,
    num_samples: int,
    seed: int,
    sampling: SamplingSettings,
) -> Iterator[tuple[str, EvaluatedBatch]]:
    """The edits of each system by its key, one after the other.

    Args:
        seed: input n is drawn with seed + n, and so the same in any batch.
    """
    asked = EditInputs(inputs.sources, inputs.regions, inputs.drivers)
    tokenized = partial(through_tokenizer, editor, asked)
    reconstructions, answers = tokenized(inputs.sources), inputs.answers
    blends = None if answers is None else tokenized(inputs.blends).float()
    given = {"matched": inputs.drivers, "mismatched": inputs.mismatched_drivers}
    single: dict[str, Callable[[], Any]] = {
        "paste": lambda: inputs.pastes,
        "paste_tokenized": lambda: tokenized(inputs.pastes),
        "poisson": lambda: inputs.blends,
        "poisson_tokenized": lambda: blends,
        "source": lambda: inputs.sources,
        "reconstruction": lambda: reconstructions,
        "answer_tokenized": lambda: tokenized(inputs.answers.images),  # type: ignore[union-attr]
    }
    nll = cache(partial(paired_nll, editor, inputs))  # both drivers' at once
    for system in systems_of(validation):
        if system.drivers is None:
            edits = rearrange(single[system.key](), "b c h w -> b 1 c h w")
        else:
            edits = editor.draw(
                asked._replace(drivers=given[system.drivers]),
                num_samples=num_samples,
                seeds=[seed + n for n in inputs.rows],
                settings=sampling,
                blends=inputs.blends,
            )
        yield (
            system.key,
            EvaluatedBatch(
                edits=edits.float(),
                inputs=inputs,
                reconstructions=reconstructions.float(),
                references=validation.features,
                networks=networks,
                nll=nll if system.drivers else None,
                mismatched=system.drivers == "mismatched",
                tokenized_blends=blends,
            ),
        )


@torch.no_grad()
def try_metrics(
    metrics: Mapping[str, EditMetric], validation: ValidationSet, networks: MetricNetworks
) -> None:
    """Measures the first sources as if they were edits, of an editor and of another system.

    Raises:
        ValueError: when a metric fails, before an editor has drawn anything for it.
    """
    shift, device = mismatch_shift(validation), networks.extractor.device
    inputs = input_batch(validation, range(TRIED), shift, device)
    edits, zeros = inputs.sources[:, None], torch.zeros(TRIED, device=device)
    nll = dict.fromkeys(("matched", "mismatched"), InputNLL(zeros, zeros))
    other = EvaluatedBatch(
        edits,
        inputs,
        inputs.sources,
        validation.features,
        networks,
        tokenized_blends=inputs.blends,
    )
    editor = replace(other, edits=edits.repeat(1, 2, 1, 1, 1), nll=lambda: nll, shared={})
    for key, metric in metrics.items():
        try:
            metric.update(editor)
            metric.update(other)
        except Exception as error:
            kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
            raise ValueError(
                f"The metric {key} cannot measure edits: {kind}{error} "
                "(e2eve.metrics.base.EvaluatedBatch says what there is to look at)."
            ) from error


def through_tokenizer(
    editor: Editor, inputs: EditInputs, images: Float[Tensor, "batch 3 side side"]
) -> Float[Tensor, "batch 3 side side"]:
    """Images encoded and decoded by the source tokenizer, as if they were edits of these inputs."""
    ids = editor.source_tokenizer.encode(images)
    return editor.decode(rearrange(ids, "b t -> b 1 t"), inputs)[:, 0]


@torch.no_grad()
def paired_nll(editor: Editor, inputs: InputBatch) -> dict[str, InputNLL]:
    """NLL of the sources' own tokens, given paired and mismatched paired drivers."""
    tokens = editor.tokenize(EditInputs(inputs.sources, inputs.regions, inputs.paired_drivers))
    other_ids = editor.driver_tokenizer.encode(inputs.mismatched_paired_drivers)
    given = {"matched": tokens, "mismatched": tokens._replace(driver_ids=other_ids)}
    nll = {name: editor.nll(tokens) for name, tokens in given.items()}
    return {name: InputNLL(one.inside_by_input, one.outside_by_input) for name, one in nll.items()}


def input_batch(
    validation: ValidationSet, rows: range, shift: int, device: torch.device
) -> InputBatch:
    """Inputs `rows`; the mismatched driver is the one of `shift` inputs before."""
    chosen = np.array(rows)
    others = (chosen - shift) % len(validation)
    boxes = [validation.region_boxes[n] for n in rows]
    sources, regions = validation.sources[chosen], validation.regions[chosen]
    patches = [validation.patch(n) for n in rows]

    def tensor(images: np.ndarray) -> Tensor:
        return to_tensor(images).to(device)

    answers = None
    if validation.answers is not None:
        graded = (torch.from_numpy(m[chosen])[:, None].to(device) for m in validation.answers[1:])
        answers = AnswerBatch(tensor(validation.answers.images[chosen]), *graded)
    return InputBatch(
        rows=rows,
        boxes=boxes,
        sources=tensor(sources),
        regions=torch.from_numpy(regions)[:, None].to(device),
        drivers=tensor(validation.drivers[chosen]),
        mismatched_drivers=tensor(validation.drivers[others]),
        paired_drivers=tensor(validation.paired_drivers[chosen]),
        mismatched_paired_drivers=tensor(validation.paired_drivers[others]),
        pastes=tensor(paste(sources, regions, boxes, patches)),
        blends=tensor(poisson(sources, regions, boxes, patches)),
        driver_features=validation.features.drivers[chosen].to(device),
        distractor_features=validation.features.distractors[chosen].to(device).float(),
        answers=answers,
    )


def mismatch_shift(validation: ValidationSet) -> int:
    """By how many inputs drivers are shifted to mislead the editor.

    The least for which the fewest inputs get a driver out of their own source's image or their
    own driver's, or one of another group.
    """
    inputs = validation.inputs
    count = len(inputs)

    def clashes(shift: int) -> int:
        given = [inputs[(n - shift) % count] for n in range(count)]
        return sum(
            other.driver in (item.source, item.driver) or other.groups != item.groups
            for other, item in zip(given, inputs, strict=True)
        )

    return min(range(1, count), key=clashes)


def paste(
    sources: Sources, regions: Regions, region_boxes: Sequence[Box], drivers: Drivers
) -> Sources:
    """The driver resized to the region's bounding box, shown where the region is."""
    return np.stack(
        [pasted(*item) for item in zip(sources, regions, region_boxes, drivers, strict=True)]
    )


def poisson(
    sources: Sources, regions: Regions, region_boxes: Sequence[Box], drivers: Drivers
) -> Sources:
    """The paste with its colours fitted to the source around the region."""
    return np.stack(
        [blended(*item) for item in zip(sources, regions, region_boxes, drivers, strict=True)]
    )
