"""Sampling as a straightforward implementation does it: what the engine is held against.

One token after the other, and logits are filtered by sorting them. The noise is the engine's, so
the ids have to be the same.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from e2eve.transformer import GPT, SamplingSettings
from e2eve.transformer.gpt.speculative import Draft
from e2eve.transformer.sampling import batch_noise

Reader = Callable[[Int[Tensor, "rows n"]], Float[Tensor, "rows codebook"]]
"""Logits of what follows the ids, which grow by a token from call to call."""


def uncached(gpt: GPT) -> Reader:
    """Reads the whole sequence again for every token."""
    return lambda ids: gpt.head(gpt.hidden(ids)[:, -1])


class Cached:
    """Reads what is new; keys and values are appended to those of what was read before."""

    def __init__(self, gpt: GPT) -> None:
        self.gpt, self.read = gpt, 0
        self.seen = [(torch.tensor(()), torch.tensor(()))] * len(gpt.blocks)

    def __call__(self, ids: Int[Tensor, "rows n"]) -> Float[Tensor, "rows codebook"]:
        new = slice(self.read, ids.shape[1])
        x = self.gpt.tokens(ids[:, new]) + self.gpt.places()[new]
        for layer, block in enumerate(self.gpt.blocks):
            x = block(x, lambda q, k, v, layer=layer: self._attend(layer, q, k, v))
        self.read = ids.shape[1]
        return self.gpt.head(self.gpt.norm(x)[:, -1])

    def _attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if self.read:
            keys, values = self.seen[layer]
            k, v = torch.cat([keys, k], dim=2), torch.cat([values, v], dim=2)
        self.seen[layer] = (k, v)
        return F.scaled_dot_product_attention(q, k, v, is_causal=not self.read)


@torch.inference_mode()
def reference_sample(
    gpt: GPT,
    driver_ids: Int[Tensor, "inputs driver"],
    source_ids: Int[Tensor, "inputs source"],
    *,
    num_samples: int,
    seeds: Sequence[int],
    settings: SamplingSettings,
    empty_driver: Int[Tensor, "driver"] | None = None,
    draft: Draft | None = None,
    reader: Callable[[GPT], Reader] = uncached,
    tokens: int | None = None,
) -> Int[Tensor, "inputs num_samples tokens"]:
    """Draw target ids.

    Args:
        seeds: one for each input.
        empty_driver: for a guidance other than 1.
        draft: only what is known is used.
        tokens: how many to draw; None for all.
    """
    noise = batch_noise(seeds, num_samples, gpt.layout.target, gpt.head.out_features)
    next_logits, next_empty_logits = reader(gpt), reader(gpt)
    conditioning = torch.cat([driver_ids, source_ids], dim=1)
    ids = conditioning.repeat_interleave(num_samples, dim=0)
    for position in range(tokens or gpt.layout.target):
        logits = next_logits(ids)
        if empty_driver is not None:
            without = ids.clone()
            without[:, : len(empty_driver)] = empty_driver
            empty = next_empty_logits(without)
            logits = empty + settings.guidance * (logits - empty)
        logits = logits.to(torch.promote_types(logits.dtype, noise.dtype))
        drawn = (filter_logits(logits, settings) + noise[:, position].to(logits)).argmax(-1)
        if draft is not None:
            given, known = (of[:, position].repeat_interleave(num_samples) for of in draft[:2])
            drawn = torch.where(known, given, drawn)
        ids = torch.cat([ids, drawn[:, None]], dim=1)
    return ids[:, conditioning.shape[1] :].view(len(seeds), num_samples, -1)


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
