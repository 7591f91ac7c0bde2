"""Encoding, decoding, sampling and training, each against its plain reference."""

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from e2eve.benchmarks import reference_networks as plain
from e2eve.benchmarks.floors import (
    OPTIMISER_BYTES,
    Floor,
    Hardware,
    Work,
    tokenizer_work,
    total,
    work_of,
)
from e2eve.benchmarks.parts import Part
from e2eve.benchmarks.sampling_cases import engine_cases, gpt2_cases, plain_cases
from e2eve.benchmarks.setting import PRESETS, Setting
from e2eve.benchmarks.timing import Case
from e2eve.editor import Editor
from e2eve.tokenizers import Tokenizer
from e2eve.training.optimizers import OptimizerSettings
from e2eve.training.tokens import tokenize
from e2eve.transformer import GPT


def encode_part(setting: Setting) -> Part:
    tokenizer, images = setting.editor.source_tokenizer, edits_for(setting)["target"]
    work, _ = tokenizer_work(tokenizer, setting.preset.image_size)
    return Part(
        "encode",
        setting.batch,
        Case("plain", _inferring(partial(plain.encode, tokenizer, images))),
        *_ways(setting, tokenizer, lambda network: network.encode(images)),
        floor=_convolving(setting, work, setting.batch),
    )


def decode_part(setting: Setting) -> Part:
    tokenizer = setting.editor.source_tokenizer
    ids = torch.randint(tokenizer.codebook_size, (setting.batch, tokenizer.tokens))
    ids = ids.to(setting.device)
    _, work = tokenizer_work(tokenizer, setting.preset.image_size)
    return Part(
        "decode",
        setting.batch,
        Case("plain", _inferring(partial(plain.decode, tokenizer, ids))),
        *_ways(setting, tokenizer, lambda network: network.decode(ids)),
        floor=_convolving(setting, work, setting.batch),
    )


def _ways(
    setting: Setting, tokenizer: Tokenizer, run: Callable[[Tokenizer], Any]
) -> tuple[Case, tuple[Case, ...]]:
    """As frozen tokenizers are run in training, and with convolutions as exact as plain ones."""

    def case(name: str, network: Tokenizer) -> Case:
        def run_it() -> None:
            with setting.autocast:
                run(network)

        return Case(name, _inferring(run_it))

    exact = copy.deepcopy(tokenizer).coarse(False)
    return case("ours", tokenizer.coarse()), (case("exact convolutions", exact),)


def sample_part(setting: Setting) -> Part:
    """One input; the batch is its samples."""
    gpt = setting.editor.gpt.eval()
    uncached, *cached = plain_cases(gpt, setting.batch)
    engine, *others = engine_cases(gpt, setting.batch)
    others = [*cached, *gpt2_cases(gpt, setting.batch), *others]
    floor = _sampling(setting.hardware, gpt)
    return Part("sample", setting.batch, uncached, engine, tuple(others), floor)


def train_step_part(setting: Setting) -> Part:
    editor, edits = setting.editor, edits_for(setting)
    editor.train()
    settings = OptimizerSettings()
    plainly = plain.optimizer_of(editor.gpt, settings, setting.batch)
    ours = settings.build(editor.gpt, setting.batch)
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
    edits: dict[str, Tensor],
) -> float:
    """What Lightning runs for a batch of edits; the loss before the step, in nat."""
    with setting.autocast:
        tokens = tokenize(editor, edits)
        logits = editor.logits(tokens.driver_ids, tokens.source_ids, tokens.target_ids)
        loss = F.cross_entropy(logits.transpose(1, 2).float(), tokens.target_ids)
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
            optimizer = plain.optimizer_of(editor.gpt, settings, setting.batch)
            step = partial(plain.training_step, editor, optimizer)
        else:
            optimizer = settings.build(editor.gpt, setting.batch)
            step = partial(training_step, fresh, editor, optimizer)
        curve += [step(edits_for(fresh, seed)) for seed in range(steps)]
    return curves


def edits_for(setting: Setting, seed: int = 0) -> dict[str, Tensor]:
    """A batch of noise with a region in the middle."""
    generator = torch.Generator().manual_seed(seed)
    side, driver_side = setting.preset.image_size, setting.preset.driver_size
    pictures, drivers = (
        torch.rand(setting.batch, 3, pixels, pixels, generator=generator) * 2 - 1
        for pixels in (side, driver_side)
    )
    region = torch.zeros(setting.batch, 1, side, side, dtype=torch.bool)
    region[..., side // 4 : -side // 4, side // 4 : -side // 4] = True
    edits = {"target": pictures, "region": region, "driver": drivers}
    return {name: tensor.to(setting.device) for name, tensor in edits.items()}


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
    matrices = sum(p.numel() for p in gpt.blocks.parameters()) + gpt.head.weight.numel()
    target, prefix = gpt.layout.target, gpt.layout.conditioning
    reading = hardware.reading(4.0 * matrices * target, f"{target} × the weights,")
    return total(hardware.computing(2.0 * matrices * prefix, "the prefix,"), reading)


def _training(setting: Setting) -> Floor:
    """Forward and backward of the GPT, two encodings and the driver's, AdamW."""
    editor, hardware = setting.editor, setting.hardware
    layout, config = editor.gpt.layout, editor.gpt.config
    with torch.device("meta"):
        gpt = GPT(config, layout)
        parts = (layout.driver, layout.source, layout.target)
        ids = [torch.zeros(setting.batch, n, dtype=torch.long) for n in parts]
    source, _ = tokenizer_work(editor.source_tokenizer, editor.image_size)
    driver, _ = tokenizer_work(editor.driver_tokenizer, editor.driver_size)
    parameters = sum(p.numel() for p in editor.gpt.parameters())
    return total(
        hardware.computing(work_of(lambda: gpt.target_logits(*ids).sum().backward()), "GPT,"),
        _convolving(setting, Work(2 * source.all, 2 * source.filtered), setting.batch),
        _convolving(setting, driver, setting.batch),
        hardware.reading(float(OPTIMISER_BYTES * parameters), "AdamW,"),
    )
