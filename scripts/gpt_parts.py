"""Further parts of the benchmark, which look into a GPT's sampling."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from e2eve.benchmarks.parts import reading_weights
from e2eve.benchmarks.setting import Part, Setting, part
from e2eve.benchmarks.timing import Variant
from e2eve.conditioning import EditInputs
from e2eve.editor import Editor
from e2eve.evaluation.systems import input_batch, mismatch_shift
from e2eve.evaluation.validation import ValidationSet
from e2eve.transformer import GPT
from e2eve.transformer.gpt.network import KeyValueCache, PassTokens
from e2eve.transformer.gpt.packed import PRECISIONS, PackedLinear, packed
from e2eve.transformer.gpt.speculative import Sampled

WIDTHS = (4, 8, 16, 32)
"""Tokens of a row that are read in a pass."""

INPUTS = 24
"""Of a validation set; the first of them."""

DRAFTS: dict[str, dict[str, Any]] = {
    "one token a pass": {"draft": "none"},
    "e2eve": {},
    **{f"{width} speculative tokens": {"num_speculative_tokens": width} for width in WIDTHS},
    "drafts of the paste's ids": {"draft": "paste"},
    "preserve=tokens, one token a pass": {"preserve": "tokens", "draft": "none"},
    "preserve=tokens, drafts": {"preserve": "tokens"},
}


@part
def passes(setting: Setting) -> Part:
    """Passes of a GPT's sampling of one input, over windows of several widths, and the prefix.

    The batch is its samples; `e2eve` reads one token of each. With the passes that drafts of a
    trained editor need, they add up to a sampling.
    """
    gpt, samples, infer = gpt_of(setting.network.eval()), setting.batch, torch.inference_mode()
    half = gpt.layout.target // 2
    prefix = torch.zeros(1, gpt.layout.conditioning - 1, dtype=torch.long, device=setting.device)
    read = infer(partial(KeyValueCache, gpt, packed(gpt), prefix, samples, half + max(WIDTHS)))

    def variant(name: str, width: int) -> Variant:
        rows = torch.arange(samples, device=setting.device).repeat_interleave(width)
        offsets = torch.arange(width, device=setting.device).repeat(samples)
        tokens = PassTokens(torch.zeros_like(rows), rows, half + offsets, offsets)
        return Variant(name, infer(partial(read().read, tokens)))

    wider = [variant(f"{width} tokens", width) for width in WIDTHS if width <= half]
    variants = [variant("e2eve", 1), *wider, Variant("prefix", read)]
    return Part(variants, reading_weights(setting, gpt, 1))


@part
def drafts(setting: Setting) -> Part:
    """Inputs of a trained GPT's validation set, one after the other; the batch is their samples.

    Facts are passes and accepted drafts as shares of tokens, and the paired NLL by precision, in
    nats.

    Raises:
        ValueError: if no editor is given, or its transformer is no GPT.
    """
    if setting.editor is None:
        raise ValueError("The part drafts needs a trained editor: give editor=<run folder>.")
    editor = Editor.from_pretrained(setting.editor, device=setting.device)
    gpt = gpt_of(editor)
    validation = ValidationSet.load(setting.validation_set or setting.editor / "validation_set")
    rows, shift = range(min(INPUTS, len(validation))), mismatch_shift(validation)
    given = input_batch(validation, rows, shift, torch.device(setting.device))

    def draws(fields: dict[str, Any]) -> list[Callable[[], Sampled]]:
        """Samples edits of each input, encoded already."""
        settings = editor.settings(fields)
        found: list[Callable[[], Sampled]] = []
        for n in rows:
            one = (part[n : n + 1] for part in (given.sources, given.regions, given.drivers))
            conditioning = editor.condition(EditInputs(*one), settings, given.blends[n : n + 1])
            draw = partial(gpt.sample_speculatively, conditioning, setting.batch)
            found.append(partial(draw, [setting.seed + n], settings))
        return found

    paired = editor.tokenize(EditInputs(given.sources, given.regions, given.paired_drivers))
    inside = paired.region_cells
    facts = {"inside": inside.float().mean().item()}
    for kind, fields in (("", {}), ("paste_", {"draft": "paste"})):
        drawn = [draw() for draw in draws(fields)]
        guessed = torch.cat([one.guessed for one in drawn])
        needed = torch.cat([one.passes for one in drawn]).float().mean().item()
        facts[f"{kind}passes"] = needed / guessed.shape[2]
        for place, cells in (("inside", inside), ("outside", ~inside)):
            accepted = guessed[cells[:, None].expand_as(guessed)]
            facts[f"{kind}accepted_{place}"] = accepted.float().mean().item()
    for precision in PRECISIONS:
        with torch.inference_mode():
            rounded = packed(gpt, precision)
            assert isinstance(rounded, GPT)
            facts[f"nll_{precision}"] = rounded.nll(paired).loss.item()
    variants = [
        Variant(name, partial(_all, draws(fields)), share=len(rows))
        for name, fields in DRAFTS.items()
    ]
    return Part(variants, baseline="one token a pass", facts=facts)


@part
def products(setting: Setting) -> Part:
    """All products of a pass with a GPT's matrices; the batch is the number of rows."""
    gpt = gpt_of(setting.network.eval())
    linears = [module for module in gpt.modules() if isinstance(module, nn.Linear)]
    sizes = {linear.in_features for linear in linears}
    rows = {n: torch.randn(setting.batch, n, device=setting.device) for n in sizes}

    def variant(name: str, layers: Sequence[nn.Module]) -> Variant:
        inputs = [rows[linear.in_features] for linear in linears]
        pairs = list(zip(layers, inputs, strict=True))
        return Variant(name, torch.inference_mode()(lambda: [layer(x) for layer, x in pairs]))

    def multiplied(way: str | None = None) -> list[nn.Module]:
        return [PackedLinear(linear, torch.float32, way) for linear in linears]

    variants = [
        variant("rows @ weightᵀ", linears),
        variant("e2eve", multiplied()),
        variant("weight @ rowsᵀ", multiplied("left")),
    ]
    if setting.device == "cpu" and torch.backends.mkldnn.is_available():
        variants.append(variant("oneDNN's layout", multiplied("onednn")))
    return Part(variants, reading_weights(setting, gpt, 1), baseline="rows @ weightᵀ")


def _all(draws: list[Callable[[], Sampled]]) -> None:
    for draw in draws:
        draw()


def gpt_of(editor: Editor) -> GPT:
    """The editor's transformer.

    Raises:
        ValueError: if it is of another family.
    """
    if not isinstance(editor.transformer, GPT):
        family = editor.transformer.family
        raise ValueError(f"passes, drafts and products are parts of a GPT, not of {family}.")
    return editor.transformer
