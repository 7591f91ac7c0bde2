"""Parts that run networks: encoding, decoding, training, sampling."""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from e2eve.benchmarks.setting import Part, Roofline, Setting, on_meta, operations_of, part
from e2eve.benchmarks.timing import Variant
from e2eve.conditioning import EditBatch, EditInputs
from e2eve.editor import Editor
from e2eve.tokenizers import Tokenizer
from e2eve.training.optimizers import OptimizerSettings
from e2eve.transformer import GPT, EditTokens

# Read and written for a parameter by AdamW in float32: it, its gradient, two moments.
OPTIMIZER_BYTES = 28

# Sampling settings of a GPT, by the name of the variant.
SAMPLING: dict[str, dict[str, Any]] = {
    "e2eve": {"draft": "none"},
    "drafts": {},
    "preserve=tokens": {"draft": "none", "preserve": "tokens"},
    "drafts, preserve=tokens": {"preserve": "tokens"},
    "bfloat16": {"draft": "none", "precision": "bfloat16"},
    "int8": {"draft": "none", "precision": "int8"},
    "int8, drafts": {"precision": "int8"},
}

OF_ANY_FAMILY: dict[str, dict[str, Any]] = {"e2eve": {}, "preserve=tokens": {"preserve": "tokens"}}


@part
def encode(setting: Setting) -> Part:
    """Source images to ids."""
    images = edits_for(setting).targets
    network = on_meta(setting.network.source_tokenizer)
    return _coding(setting, Tokenizer.encode, images, lambda: network.latent(images.to("meta")))


@part
def decode(setting: Setting) -> Part:
    """Ids to images."""
    network = on_meta(tokenizer := setting.network.source_tokenizer)
    ids = torch.randint(tokenizer.codebook_size, (setting.batch, tokenizer.tokens))
    ids = ids.to(setting.device)
    return _coding(setting, Tokenizer.decode, ids, lambda: network.decode(ids.to("meta")))


def _coding(
    setting: Setting, run: Callable[..., Any], batch: Tensor, count: Callable[[], Any]
) -> Part:
    """As frozen tokenizers are run in training, and with exact convolutions."""
    tokenizer = setting.network.source_tokenizer.use_winograd()

    def variant(name: str, network: Tokenizer) -> Variant:
        return Variant(name, setting.autocast(torch.inference_mode()(partial(run, network, batch))))

    exact = variant("exact convolutions", copy.deepcopy(tokenizer).use_winograd(False))
    variants = [variant("e2eve", tokenizer), exact]
    return Part(variants, setting.convolving(count), subject=(tokenizer, batch))


@part
def train_step(setting: Setting) -> Part:
    """What Lightning runs for a batch of edits."""
    editor, edits, settings = setting.network.train(), edits_for(setting), OptimizerSettings()
    optimizer = settings.build(editor.transformer, setting.batch)
    parameters = sum(p.numel() for p in editor.transformer.parameters())
    learning, encoding = training_work(setting)
    return Part(
        [Variant("e2eve", partial(training_step, setting, editor, optimizer, edits))],
        {
            **setting.computing(operations_of(learning), "transformer,"),
            **setting.convolving(encoding),
            **setting.reading(OPTIMIZER_BYTES * parameters, "AdamW,"),
        },
        subject=(editor, edits, settings),
    )


def training_step(
    setting: Setting, editor: Editor, optimizer: torch.optim.Optimizer, edits: EditBatch
) -> float:
    """The loss before the step, in nats."""
    with setting.autocast:
        loss = editor.nll(edits).loss
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def training_work(setting: Setting) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """The transformer's forward and backward pass, and the encodings, of edits without numbers."""
    editor, edits = setting.network, EditBatch._make(e.to("meta") for e in edits_for(setting))
    transformer, layout = on_meta(editor.transformer), editor.transformer.layout
    source, driver = on_meta(editor.source_tokenizer), on_meta(editor.driver_tokenizer)
    parts = (layout.driver, layout.source, layout.target, layout.target)
    zeros = partial(torch.zeros, dtype=torch.long, device="meta")
    drivers, sources, targets, cells = (zeros(setting.batch, n) for n in parts)
    both = torch.cat([edits.targets, edits.targets])  # target and masked source
    tokens = EditTokens(drivers, sources, targets, cells > 0)
    return (
        lambda: transformer.nll(tokens).loss.backward(),
        lambda: (source.latent(both), driver.latent(edits.drivers)),
    )


@part
def sample(setting: Setting) -> Part:
    """One input, a square quarter of it edited; the batch is its samples.

    With random weights drafts are never right; scripts/gpt_parts.py times a trained editor's.
    """
    editor = setting.network.eval()
    inputs = EditInputs(*(one[:1] for one in edits_for(setting).inputs))
    gpt = editor.transformer if isinstance(editor.transformer, GPT) else None

    def variant(name: str, fields: dict[str, Any]) -> Variant:
        settings = editor.settings(fields)
        draw = partial(editor.sample_ids, editor.condition(inputs, settings), settings=settings)
        return Variant(name, partial(draw, num_samples=setting.batch, seeds=[setting.seed]))

    variants = [variant(*item) for item in (SAMPLING if gpt else OF_ANY_FAMILY).items()]
    subject, roofline = (editor.transformer, editor.condition(inputs)), {}
    if gpt:  # reads its prefix, then all its weights once for each token
        prefix = 2 * matrix_numbers(gpt) * gpt.layout.conditioning
        rest = reading_weights(setting, gpt, gpt.layout.target)
        roofline = {**setting.computing(prefix, "the prefix,"), **rest}
    return Part(variants, roofline, subject=subject)


def edits_for(setting: Setting, seed: int = 0) -> EditBatch:
    """A batch of noise with a region in the middle."""
    generator = torch.Generator().manual_seed(seed)
    targets, drivers = (
        torch.rand(setting.batch, 3, side, side, generator=generator) * 2 - 1
        for side in setting.sides
    )
    start = setting.sides[0] // 4
    regions = torch.zeros_like(targets[:, :1], dtype=torch.bool)
    regions[..., start:-start, start:-start] = True
    boxes = torch.tensor([[start, start, 3 * start, 3 * start]]).expand(setting.batch, -1)
    edits = EditBatch(targets, regions, drivers, boxes, boxes)
    return EditBatch._make(one.to(setting.device) for one in edits)


def matrix_numbers(gpt: GPT) -> int:
    """Numbers in matrices of layers and head: what a pass reads, and multiplies each token with."""
    return sum(p.numel() for p in gpt.blocks.parameters()) + gpt.head.weight.numel()


def reading_weights(setting: Setting, gpt: GPT, times: int) -> Roofline:
    return setting.reading(4 * matrix_numbers(gpt) * times, f"{times} × the weights,")
