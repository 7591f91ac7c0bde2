"""Drafts of a trained editor: how many tokens are guessed, and what that saves."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from e2eve.benchmarks.parts import Part
from e2eve.benchmarks.sampling_cases import loss_at
from e2eve.benchmarks.setting import Setting
from e2eve.benchmarks.timing import Case
from e2eve.conditioning import EditInputs
from e2eve.editor import Editor
from e2eve.evaluation.systems import InputBatch, input_batch, swap_distance
from e2eve.evaluation.validation_set import ValidationSet
from e2eve.transformer import GPT
from e2eve.transformer.gpt.speculative import Sampled

INPUTS = 24
"""Of a validation set; the first of them."""


def draft_part(setting: Setting) -> Part:
    """One input after the other, unpaired; the batch is the samples of each."""
    editor, inputs = trained_editor(setting)
    count = len(inputs.sources)

    def case(name: str, **settings: Any) -> Case:
        draws = [drawing(editor, inputs, n, setting.batch, **settings) for n in range(count)]
        return Case(name, lambda: [draw() for draw in draws], share=count)

    windows = [case(f"window {width}", num_speculative_tokens=width) for width in (4, 8, 16, 32)]
    return Part(
        "drafts",
        setting.batch,
        case("one token a pass", draft="none"),
        case("drafts of the source's ids"),
        (
            *windows,
            case("drafts of the paste's ids", draft="paste"),
            case("preserve=tokens, one token a pass", preserve="tokens", draft="none"),
            case("preserve=tokens, drafts", preserve="tokens"),
        ),
        facts=facts(editor, inputs, setting.batch),
    )


def trained_editor(setting: Setting) -> tuple[Editor, InputBatch]:
    """The editor and the first inputs of its validation set.

    Raises:
        ValueError: when no editor is given.
    """
    if setting.trained is None:
        raise ValueError("The part drafts needs a trained editor: give editor=<run folder>.")
    editor = Editor.from_pretrained(setting.trained, device=setting.device)
    validation = ValidationSet.load(setting.inputs or setting.trained / "validation_set")
    rows = range(min(INPUTS, len(validation)))
    swap = swap_distance(validation)
    return editor, input_batch(validation, rows, swap, setting.seed, setting.device)


def drawing(
    editor: Editor, inputs: InputBatch, n: int, samples: int, **settings: Any
) -> Callable[[], Sampled]:
    """Samples edits of input n, encoded already."""
    sampling = editor.settings(settings)
    own = slice(n, n + 1)
    given = EditInputs(inputs.sources[own], inputs.regions[own], inputs.drivers[own])
    conditioning = editor.condition(given, sampling, inputs.pastes[own])
    assert isinstance(editor.transformer, GPT)
    draw = editor.transformer.sample_speculatively
    return partial(draw, conditioning, samples, [inputs.seeds[n]], sampling)


def facts(editor: Editor, inputs: InputBatch, samples: int) -> dict[str, float]:
    """Passes and acceptance as shares of tokens, and what rounding does to the paired NLL."""
    tokens = editor.tokenize(EditInputs(inputs.sources, inputs.regions, inputs.paired_drivers))
    inside = tokens.region_cells
    found: dict[str, float] = {"inside": inside.float().mean().item()}
    for name, settings in (("", {}), ("paste_", {"draft": "paste"})):
        drawn = [
            drawing(editor, inputs, n, samples, **settings)() for n in range(len(inputs.sources))
        ]
        guessed = torch.cat([one.guessed for one in drawn])
        passes = torch.cat([one.passes for one in drawn])
        found[f"{name}passes"] = passes.float().mean().item() / guessed.shape[2]
        found[f"{name}accepted_inside"] = share(guessed, inside)
        found[f"{name}accepted_outside"] = share(guessed, ~inside)
    for precision in ("full", "bfloat16", "int8"):
        found[f"nll_{precision}"] = loss_at(editor.transformer, tokens, precision)
    return found


def share(guessed: Tensor, cells: Tensor) -> float:
    """Of all tokens in these cells, those that were guessed."""
    cells = cells[:, None].expand_as(guessed)
    return ((guessed & cells).sum() / cells.sum()).item()
