"""Networks and a training step as a straightforward implementation computes them.

The weights are those of the fast modules; every convolution goes to PyTorch as it is, attention
keeps its whole table of scores, logits are computed for every position, and the three images of
an edit are encoded one after the other.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from e2eve.conditioning import EditBatch, apply_mask
from e2eve.editor import Editor
from e2eve.tokenizers import Tokenizer
from e2eve.tokenizers.vqgan import Attention, Level, ResidualBlock
from e2eve.training.optimizers import OptimizerSettings, split_for_decay
from e2eve.transformer import GPT
from e2eve.transformer.blocks import TransformerBlock


def encode(
    tokenizer: Tokenizer, images: Float[Tensor, "batch 3 height width"]
) -> Int[Tensor, "batch tokens"]:
    encoder = tokenizer.encoder
    x = _convolved(encoder.stem, F.pixel_unshuffle(images, encoder.patch))
    for index, level in enumerate(encoder.levels):
        x = _level(level, x)
        if index < len(encoder.downsamples):
            x = _convolved(encoder.downsamples[index].conv, F.pad(x, (0, 1, 0, 1)))
    x = _middle(encoder.middle, x)
    latent = tokenizer.to_code(_convolved(encoder.head, F.silu(encoder.norm(x))))
    if tokenizer.quantizer.normalised:
        latent = F.normalize(latent, dim=1)
    points = rearrange(latent, "b d h w -> b (h w) d")
    return torch.cdist(points, tokenizer.quantizer.table()).argmin(-1)


def decode(
    tokenizer: Tokenizer, ids: Int[Tensor, "batch tokens"]
) -> Float[Tensor, "batch 3 side side"]:
    decoder, side = tokenizer.decoder, round(ids.shape[1] ** 0.5)
    codes = F.embedding(ids, tokenizer.quantizer.table())
    latent = tokenizer.from_code(rearrange(codes, "b (h w) d -> b d h w", h=side))
    x = _middle(decoder.middle, _convolved(decoder.stem, latent))
    for index, level in enumerate(decoder.levels):
        x = _level(level, x)
        if index < len(decoder.upsamples):
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = _convolved(decoder.upsamples[index].conv, x)
    images = _convolved(decoder.head, F.silu(decoder.norm(x)))
    return F.pixel_shuffle(images, decoder.patch).clamp(-1, 1)


def _convolved(layer: nn.Module | Tensor, x: Tensor) -> Tensor:
    assert isinstance(layer, nn.Conv2d)
    return F.conv2d(x, layer.weight, layer.bias, layer.stride, layer.padding)


def _middle(blocks: nn.Module, x: Tensor) -> Tensor:
    for block in blocks.children():
        x = _block(block, x) if isinstance(block, ResidualBlock) else _attention(block, x)
    return x


def _level(level: nn.Module, x: Tensor) -> Tensor:
    assert isinstance(level, Level)
    for index, block in enumerate(level.blocks):
        x = _block(block, x)
        if level.attentions:
            x = _attention(level.attentions[index], x)
    return x


def _block(block: nn.Module, x: Tensor) -> Tensor:
    assert isinstance(block, ResidualBlock)
    h = _convolved(block.conv1, F.silu(block.norm1(x)))
    h = _convolved(block.conv2, F.silu(block.norm2(h)))
    return block.shortcut(x) + h


def _attention(layer: nn.Module, x: Tensor) -> Tensor:
    assert isinstance(layer, Attention)
    h = layer.norm(x)
    q, k, v = (part(h).flatten(2) for part in (layer.query, layer.key, layer.value))
    scores = (q.mT @ k) * q.shape[1] ** -0.5
    return x + layer.out((v @ scores.softmax(-1).mT).unflatten(2, x.shape[2:]))


def all_logits(gpt: GPT, ids: Int[Tensor, "batch n"]) -> Float[Tensor, "batch n codebook"]:
    """Of what follows each position."""
    n, conditioning = ids.shape[1], gpt.layout.conditioning
    x = gpt.tokens(ids) + gpt.positions[:n]
    kinds = gpt.conditions(gpt.kinds)
    x = torch.cat([x[:, :conditioning] + kinds, x[:, conditioning:]], dim=1)
    future = torch.ones(n, n, dtype=torch.bool, device=ids.device).triu(1)
    for block in gpt.blocks:
        assert isinstance(block, TransformerBlock)
        h, layer = block.norm1(x), block.attention
        parts = zip(layer.qkv.weight.chunk(3), layer.qkv.bias.chunk(3), strict=True)
        heads = (rearrange(F.linear(h, *p), "b n (h d) -> b h n d", h=layer.heads) for p in parts)
        q, k, v = heads
        scores = (q @ k.mT * q.shape[-1] ** -0.5).masked_fill(future, -torch.inf)
        x = x + layer.out(rearrange(scores.softmax(-1) @ v, "b h n d -> b n (h d)"))
        x = x + block.contract(F.gelu(block.expand(block.norm2(x))))
    return gpt.head(gpt.norm(x))


def training_step(editor: Editor, optimizer: torch.optim.Optimizer, edits: EditBatch) -> float:
    """The loss before the step, in nats."""
    with torch.no_grad():
        masked = apply_mask(edits.targets, edits.regions)
        source_ids = encode(editor.source_tokenizer, masked)
        target_ids = encode(editor.source_tokenizer, edits.targets)
        driver_ids = encode(editor.driver_tokenizer, edits.drivers)
    gpt, ids = editor.transformer, torch.cat([driver_ids, source_ids, target_ids], dim=1)
    assert isinstance(gpt, GPT)
    logits = all_logits(gpt, ids)[:, gpt.layout.conditioning - 1 : -1]
    loss = F.cross_entropy(logits.flatten(0, 1), target_ids.flatten())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def optimizer_of(gpt: GPT, settings: OptimizerSettings, batch: int) -> torch.optim.Optimizer:
    """AdamW that updates one parameter after the other."""
    decayed, rest = split_for_decay(gpt)
    groups = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": rest, "weight_decay": 0.0},
    ]
    rate, (first, second) = settings.learning_rate(batch), settings.betas
    return torch.optim.AdamW(groups, lr=rate, betas=(first, second), foreach=False)
