"""Encoding, decoding, sampling and training, each against its plain reference."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from e2eve.benchmarks import reference_networks as plain
from e2eve.benchmarks.floors import (
    OPTIMISER_BYTES,
    Floor,
    Hardware,
    Work,
    matrix_numbers,
    tokenizer_work,
    total,
    work_of,
)
from e2eve.benchmarks.parts import Part
from e2eve.benchmarks.sampling_cases import engine_cases, gpt2_cases, pass_cases, plain_cases
from e2eve.benchmarks.setting import PRESETS, Setting
from e2eve.benchmarks.timing import Case
from e2eve.conditioning import EditBatch
from e2eve.editor import Editor
from e2eve.tokenizers import Tokenizer
from e2eve.training.optimizers import OptimizerSettings
from e2eve.transformer import GPT
from e2eve.transformer.gpt.packed import PackedLinear

WINDOWS = (4, 8, 16, 32)
"""Tokens of a row that are read in a pass."""


def encode_part(setting: Setting) -> Part:
    work, _ = tokenizer_work(setting.editor.source_tokenizer, setting.preset.image_size)
    return _coding_part(
        "encode", setting, edits_for(setting).targets, plain.encode, Tokenizer.encode, work
    )


def decode_part(setting: Setting) -> Part:
    tokenizer = setting.editor.source_tokenizer
    ids = torch.randint(tokenizer.codebook_size, (setting.batch, tokenizer.tokens))
    _, work = tokenizer_work(tokenizer, setting.preset.image_size)
    return _coding_part(
        "decode", setting, ids.to(setting.device), plain.decode, Tokenizer.decode, work
    )


Coding = Callable[[Tokenizer, Tensor], Tensor]


def _coding_part(
    name: str, setting: Setting, batch: Tensor, plainly: Coding, ours: Coding, work: Work
) -> Part:
    """As frozen tokenizers are run in training, and with convolutions as exact as plain ones."""
    tokenizer = setting.editor.source_tokenizer
    exact = copy.deepcopy(tokenizer).coarse(False)

    def case(way: str, network: Tokenizer) -> Case:
        def run() -> None:
            with setting.autocast:
                ours(network, batch)

        return Case(way, _inferring(run))

    return Part(
        name,
        setting.batch,
        Case("plain", _inferring(partial(plainly, tokenizer, batch))),
        case("ours", tokenizer.coarse()),
        (case("exact convolutions", exact),),
        floor=_convolving(setting, work, setting.batch),
    )


def sample_part(setting: Setting) -> Part:
    """One input; the batch is its samples."""
    gpt = setting.editor.transformer.eval()
    uncached, *cached = plain_cases(gpt, setting.batch)
    engine, *others = engine_cases(gpt, setting.batch)
    others = [*cached, *gpt2_cases(gpt, setting.batch), *others]
    floor = _sampling(setting.hardware, gpt)
    return Part("sample", setting.batch, uncached, engine, tuple(others), floor)


def passes_part(setting: Setting) -> Part:
    """Parts of a sampling of one input: passes over windows of several widths, and the prefix.

    The batch is its samples; `ours` is one token of each. With the passes that drafts of a trained
    editor need, they add up to a sampling.
    """
    gpt = setting.editor.transformer.eval()
    prefix, one = pass_cases(gpt, setting.batch, window=1)
    widths = [width for width in WINDOWS if width <= gpt.layout.target // 2]
    wider = [pass_cases(gpt, setting.batch, window=width)[1] for width in widths]
    floor = _reading_weights(setting.hardware, gpt, 1)
    return Part("passes", setting.batch, None, one, (*wider, prefix), floor)


def products_part(setting: Setting) -> Part:
    """All products of a pass with the transformer's matrices; the batch is the number of rows."""
    gpt = setting.editor.transformer.eval()
    linears = [module for module in gpt.modules() if isinstance(module, nn.Linear)]
    rows = {
        n: torch.randn(setting.batch, n, device=setting.device)
        for n in {linear.in_features for linear in linears}
    }

    def case(name: str, layers: Sequence[nn.Module]) -> Case:
        pairs = [
            (layer, rows[linear.in_features]) for layer, linear in zip(layers, linears, strict=True)
        ]
        return Case(name, _inferring(lambda: [layer(x) for layer, x in pairs]))

    def multiplied(way: str | None = None) -> list[nn.Module]:
        return [PackedLinear(linear, torch.float32, way) for linear in linears]

    others = [case("weight @ rowsᵀ", multiplied("left"))]
    if setting.device.type == "cpu" and torch.backends.mkldnn.is_available():
        others.append(case("oneDNN's layout", multiplied("onednn")))
    return Part(
        "products",
        setting.batch,
        case("rows @ weightᵀ", linears),
        case("as chosen here", multiplied()),
        tuple(others),
        _reading_weights(setting.hardware, gpt, 1),
    )


def train_step_part(setting: Setting) -> Part:
    editor, edits = setting.editor, edits_for(setting)
    editor.train()
    settings = OptimizerSettings()
    plainly = plain.optimizer_of(editor.transformer, settings, setting.batch)
    ours = settings.build(editor.transformer, setting.batch)
    return Part(
        "train_step",
        setting.batch,
        Case("plain", partial(plain.training_step, editor, plainly, edits)),
        Case("ours", partial(training_step, setting, editor, ours, edits)),
        floor=_training(setting),
        facts=tiny_losses(setting),
    )


def tiny_losses(setting: Setting) -> dict[str, float]:
    """What both ways of training make of tiny networks in 200 steps, in nat."""
    curves = loss_curves(replace(setting, preset=PRESETS["tiny"], batch=8), steps=200)
    pairs = list(zip(curves["plain"], curves["ours"], strict=True))
    return {
        "tiny loss at first": pairs[0][0],
        "after 200 steps": pairs[-1][1],
        "plain": pairs[-1][0],
        "largest difference": max(abs(plain - ours) for plain, ours in pairs),
    }


def training_step(
    setting: Setting,
    editor: Editor,
    optimizer: torch.optim.Optimizer,
    edits: EditBatch,
) -> float:
    """What Lightning runs for a batch of edits; the loss before the step, in nat."""
    with setting.autocast:
        loss = editor.nll(edits).loss
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def loss_curves(setting: Setting, steps: int) -> dict[str, list[float]]:
    """Losses of both ways to train, from the same weights, on the same edits."""
    curves: dict[str, list[float]] = {"plain": [], "ours": []}
    settings = OptimizerSettings(base_learning_rate=1e-3)
    for name, curve in curves.items():
        fresh = replace(setting)  # networks of its own
        editor = fresh.editor
        editor.train()
        if name == "plain":
            optimizer = plain.optimizer_of(editor.transformer, settings, setting.batch)
            step = partial(plain.training_step, editor, optimizer)
        else:
            optimizer = settings.build(editor.transformer, setting.batch)
            step = partial(training_step, fresh, editor, optimizer)
        curve += [step(edits_for(fresh, seed)) for seed in range(steps)]
    return curves


def edits_for(setting: Setting, seed: int = 0) -> EditBatch:
    """A batch of noise with a region in the middle."""
    generator = torch.Generator().manual_seed(seed)
    side, driver_side = setting.preset.image_size, setting.preset.driver_size
    pictures, drivers = (
        torch.rand(setting.batch, 3, pixels, pixels, generator=generator) * 2 - 1
        for pixels in (side, driver_side)
    )
    region = torch.zeros(setting.batch, 1, side, side, dtype=torch.bool)
    region[..., side // 4 : -side // 4, side // 4 : -side // 4] = True
    boxes = torch.tensor([[side // 4, side // 4, side - side // 4, side - side // 4]])
    edits = EditBatch(pictures, region, drivers, boxes, boxes)
    return EditBatch._make(part.to(setting.device) for part in edits)


def _inferring(run: Callable[[], Any]) -> Callable[[], Any]:
    return torch.inference_mode()(run)


def _convolving(setting: Setting, work: Work, pictures: int) -> Floor:
    """Winograd's filtering where a CPU has it; a GPU may choose it too, in float32."""
    if setting.precision == "float32":
        what = "convolutions by Winograd,"
        return setting.hardware.computing(pictures * work.least(), what)
    return setting.hardware.computing(pictures * work.all, "convolutions,")


def _sampling(hardware: Hardware, gpt: GPT) -> Floor:
    """The prefix, and the matrices read once for each token; only the first needs computing."""
    prefix = 2.0 * matrix_numbers(gpt) * gpt.layout.conditioning
    reading = _reading_weights(hardware, gpt, gpt.layout.target)
    return total(hardware.computing(prefix, "the prefix,"), reading)


def _reading_weights(hardware: Hardware, gpt: GPT, times: int) -> Floor:
    return hardware.reading(4.0 * matrix_numbers(gpt) * times, f"{times} × the weights,")


def _training(setting: Setting) -> Floor:
    """Forward and backward of the GPT, two encodings and the driver's, AdamW."""
    editor, hardware = setting.editor, setting.hardware
    layout, config = editor.transformer.layout, editor.transformer.config
    with torch.device("meta"):
        gpt = GPT(config, layout)
        parts = (layout.driver, layout.source, layout.target)
        ids = [torch.zeros(setting.batch, n, dtype=torch.long) for n in parts]
    source, _ = tokenizer_work(editor.source_tokenizer, editor.image_size)
    driver, _ = tokenizer_work(editor.driver_tokenizer, editor.driver_size)
    parameters = sum(p.numel() for p in editor.transformer.parameters())
    return total(
        hardware.computing(work_of(lambda: gpt.target_logits(*ids).sum().backward()), "GPT,"),
        _convolving(setting, Work(2 * source.all, 2 * source.filtered), setting.batch),
        _convolving(setting, driver, setting.batch),
        hardware.reading(float(OPTIMISER_BYTES * parameters), "AdamW,"),
    )
