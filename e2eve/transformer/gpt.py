"""The editor's network: a pre-LayerNorm GPT over [driver | masked source | target].

Radford et al. 2019 (GPT-2), as Esser et al. 2021 use it for pictures. It differs from GPT-2 in a
learned condition embedding, added on the conditioning positions only, and in a head without bias
that is not tied to the token embedding.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from e2eve.transformer.sequence import SequenceLayout


@dataclass(frozen=True)
class GPTConfig:
    """Shape of the network; the defaults are the published setting."""

    layers: int = 24
    heads: int = 16
    width: int = 1024
    codebook_size: int = 1024
    positions: int | None = None  # learned positions; None: as many as the sequence is long
    position_init: str = "normal"  # "normal" (published) or "grid": cells share a code at start
    token_init: str = "normal"  # "normal" (published) or "codebook": like codes start alike

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(
                f"width {self.width} cannot be shared by {self.heads} heads: choose a multiple."
            )
        if self.position_init not in ("normal", "grid"):
            raise ValueError(f'position_init is "{self.position_init}": use "normal" or "grid".')
        if self.token_init not in ("normal", "codebook"):
            raise ValueError(f'token_init is "{self.token_init}": use "normal" or "codebook".')


class KeyValueCache:
    """Keys and values of the positions read so far, for each layer, in buffers made once."""

    def __init__(self, config: GPTConfig, batch: int, length: int, like: Tensor) -> None:
        shape = (config.layers, 2, batch, config.heads, length, config.width // config.heads)
        self.buffer = like.new_zeros(shape)
        self.filled = 0

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Store the new positions of one layer; all keys and values up to them."""
        end = self.filled + keys.shape[2]
        self.buffer[layer, 0, :, :, self.filled : end] = keys
        self.buffer[layer, 1, :, :, self.filled : end] = values
        return self.buffer[layer, 0, :, :, :end], self.buffer[layer, 1, :, :, :end]

    def repeated(self, times: int, room: int) -> "KeyValueCache":
        """Each row `times` times over, with space for `room` more positions."""
        copy = KeyValueCache.__new__(KeyValueCache)
        rows = self.buffer[..., : self.filled, :].repeat_interleave(times, dim=2)
        copy.buffer = F.pad(rows, (0, 0, 0, room))
        copy.filled = self.filled
        return copy


class CausalAttention(nn.Module):
    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.out = nn.Linear(config.width, config.width)

    def forward(
        self, x: Float[Tensor, "batch n width"], layer: int, cache: KeyValueCache | None
    ) -> Float[Tensor, "batch n width"]:
        q, k, v = rearrange(self.qkv(x), "b n (three h d) -> three b h n d", three=3, h=self.heads)
        if cache is None or cache.filled == 0:
            if cache is not None:
                cache.extend(layer, k, v)
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            k, v = cache.extend(layer, k, v)
            new, all_ = q.shape[2], k.shape[2]
            # With a cache, `is_causal` would align the mask to the top left.
            mask = torch.ones(new, all_, dtype=torch.bool, device=q.device).tril(all_ - new)
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=None if new == 1 else mask)
        return self.out(rearrange(mixed, "b h n d -> b n (h d)"))


class Block(nn.Module):
    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width)
        self.attention = CausalAttention(config)
        self.norm2 = nn.LayerNorm(config.width)
        self.expand = nn.Linear(config.width, 4 * config.width)
        self.contract = nn.Linear(4 * config.width, config.width)

    def forward(
        self, x: Float[Tensor, "batch n width"], layer: int, cache: KeyValueCache | None
    ) -> Float[Tensor, "batch n width"]:
        x = x + self.attention(self.norm1(x), layer, cache)
        return x + self.contract(F.gelu(self.expand(self.norm2(x))))


class GPT(nn.Module):
    """Next-token logits over the sequence that a layout describes."""

    kinds: Tensor

    def __init__(self, config: GPTConfig, layout: SequenceLayout) -> None:
        super().__init__()
        positions = config.positions or layout.length
        if positions < layout.length:
            raise ValueError(
                f"{layout.driver} driver + {layout.source} source + {layout.target} target tokens "
                f"need {layout.length} positions and transformer.positions is {positions}: raise "
                "it or lower image_size or driver_size."
            )
        self.config, self.layout = config, layout
        self.tokens = nn.Embedding(config.codebook_size, config.width)
        self.positions = nn.Parameter(torch.zeros(positions, config.width))
        self.conditions = nn.Embedding(2, config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, config.codebook_size, bias=False)
        self.register_buffer("kinds", layout.condition_kinds(), persistent=False)
        self._initialise()

    def _initialise(self) -> None:
        """Normal(0, 0.02), biases 0; the head starts as the token embedding's copy."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, 0.0, 0.02)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
        with torch.no_grad():
            self.head.weight.copy_(self.tokens.weight)
            nn.init.normal_(self.positions, 0.0, 0.02)
            if self.config.position_init == "grid":
                code = self.layout.grid_code(self.config.width)
                # As long as a token's embedding, so that attention finds cells early.
                code *= 0.02 * self.config.width**0.5 / code.norm(dim=1).max()
                self.positions[: len(code)] += code

    @torch.no_grad()
    def start_from_codebook(self, codes: Float[Tensor, "codes dim"]) -> None:
        """Embed ids by a random projection of their codes, so that like codes start alike.

        The head starts as the same projection: what is learned about a code holds at once for its
        neighbours. A third of each embedding is its own.
        """
        directions = F.normalize(codes, dim=1)
        projection = torch.randn(codes.shape[1], self.config.width, device=codes.device)
        own = self.tokens.weight[: len(codes)]
        shared = 0.02 * directions @ projection
        self.tokens.weight[: len(codes)] = (8 / 9) ** 0.5 * shared + own / 3
        self.head.weight.copy_(self.tokens.weight)

    def embed(self, ids: Int[Tensor, "batch n"], start: int) -> Float[Tensor, "batch n width"]:
        """Token, position and condition embeddings of positions start, start + 1, …"""
        end = start + ids.shape[1]
        x = self.tokens(ids) + self.positions[start:end]
        conditioned = min(end, self.layout.conditioning) - start
        if conditioned > 0:
            kinds = self.conditions(self.kinds[start : start + conditioned])
            x = x + F.pad(kinds, (0, 0, 0, ids.shape[1] - conditioned))
        return x

    def hidden(
        self, ids: Int[Tensor, "batch n"], cache: KeyValueCache | None = None
    ) -> Float[Tensor, "batch n width"]:
        """Features of the ids, which follow what the cache has read."""
        x = self.embed(ids, cache.filled if cache else 0)
        for layer, block in enumerate(self.blocks):
            x = block(x, layer, cache)
        if cache is not None:
            cache.filled += ids.shape[1]
        return self.norm(x)

    def target_logits(
        self,
        driver_ids: Int[Tensor, "batch driver"],
        source_ids: Int[Tensor, "batch source"],
        target_ids: Int[Tensor, "batch target"],
    ) -> Float[Tensor, "batch target codebook"]:
        """Logits of each target token given all before it (teacher forcing)."""
        ids = self.layout.join(driver_ids, source_ids, target_ids)
        return self.head(self.hidden(ids[:, :-1])[:, self.layout.conditioning - 1 :])

    def cache(self, batch: int, length: int) -> KeyValueCache:
        return KeyValueCache(self.config, batch, length, self.head.weight)
