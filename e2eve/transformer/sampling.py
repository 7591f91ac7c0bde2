"""Sampling: filter logits, to probabilities, draw; and the loop that appends.

A token is argmax over the codebook of log p + Gumbel noise (Gumbel 1954; Maddison et al. 2014),
and the noise is a function of (seed, sample, position). So a picture depends on its seed alone,
not on the batch that it is drawn in nor on how many samples are asked for.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange, repeat
from jaxtyping import Float, Int
from torch import Tensor

from e2eve.transformer.gpt import GPT


@dataclass(frozen=True)
class SamplingSettings:
    """How tokens are drawn.

    temperature: divides the logits; 0 takes the likeliest token.
    top_k: keep the k likeliest tokens; None keeps all.
    top_p: keep the likeliest tokens that together reach this probability; None keeps all.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = 0.9

    def __post_init__(self) -> None:
        if self.temperature < 0:
            raise ValueError(f"temperature is {self.temperature}: use 0 (likeliest) or more.")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k is {self.top_k}: keep at least 1 token, or null for all.")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top_p is {self.top_p}: use a probability in (0, 1], or null.")


def filter_logits(
    logits: Float[Tensor, "rows codebook"], settings: SamplingSettings
) -> Float[Tensor, "rows codebook"]:
    """Divide by the temperature and set what top-k and top-p drop to -inf, row by row."""
    if settings.temperature == 0:
        best = logits.argmax(-1, keepdim=True)
        return torch.full_like(logits, -torch.inf).scatter(-1, best, 0.0)
    logits = logits / settings.temperature
    if settings.top_k is not None and settings.top_k < logits.shape[-1]:
        least = logits.topk(settings.top_k, -1).values[..., -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    if settings.top_p is not None and settings.top_p < 1:
        ordered, order = logits.sort(-1, descending=True)
        shares = ordered.softmax(-1)
        before = shares.cumsum(-1) - shares  # probability of all likelier tokens
        dropped = (before >= settings.top_p).scatter(-1, order, before >= settings.top_p)
        logits = logits.masked_fill(dropped, -torch.inf)
    return logits


def draw(
    log_probabilities: Float[Tensor, "rows codebook"], noise: Float[Tensor, "rows codebook"]
) -> Int[Tensor, "rows"]:
    """One exact sample a row: argmax of log-probability plus Gumbel noise."""
    return (log_probabilities + noise).argmax(-1)


def gumbel_noise(
    seed: int, sample: int, tokens: int, codebook_size: int
) -> Float[Tensor, "tokens codebook"]:
    """The noise of one picture, on the CPU, the same on every machine."""
    state = int(np.random.SeedSequence((seed, sample)).generate_state(1, np.uint64)[0] >> 1)
    generator = torch.Generator().manual_seed(state)
    uniform = torch.rand(tokens, codebook_size, generator=generator)
    return -torch.log(-torch.log(uniform.clamp(1e-20, 1 - 1e-7)))


def batch_noise(
    seeds: Sequence[int], num_samples: int, tokens: int, codebook_size: int
) -> Float[Tensor, "rows tokens codebook"]:
    rows = [gumbel_noise(s, n, tokens, codebook_size) for s in seeds for n in range(num_samples)]
    return torch.stack(rows)


@torch.inference_mode()
def sample(
    gpt: GPT,
    driver_ids: Int[Tensor, "batch driver"],
    source_ids: Int[Tensor, "batch source"],
    *,
    num_samples: int,
    seeds: Sequence[int],
    settings: SamplingSettings,
    advance: Callable[[int], None] = lambda done: None,
) -> Int[Tensor, "batch num_samples target"]:
    """Target ids drawn one after the other, the prefix read once for all samples of an input.

    Args:
        seeds: one for each input.
        advance: told after each token how many are drawn.
    """
    layout = gpt.layout
    prefix = torch.cat([driver_ids, source_ids], dim=1)
    cache = gpt.cache(len(prefix), layout.conditioning)
    hidden = repeat(gpt.hidden(prefix, cache)[:, -1], "b w -> (b n) w", n=num_samples)
    cache = cache.repeated(num_samples, layout.target)
    noise = batch_noise(seeds, num_samples, layout.target, gpt.config.codebook_size)
    noise = noise.to(device=hidden.device, dtype=torch.float32)
    drawn: list[Tensor] = []
    for position in range(layout.target):
        logits = filter_logits(gpt.head(hidden).float(), settings)
        drawn.append(draw(logits.log_softmax(-1), noise[:, position]))
        advance(position + 1)
        if position + 1 < layout.target:
            hidden = gpt.hidden(drawn[-1][:, None], cache)[:, -1]
    return rearrange(torch.stack(drawn, 1), "(b n) t -> b n t", n=num_samples)
