"""The editor's network: a pre-LayerNorm GPT over [driver | masked source | target].

Radford et al. 2019 (GPT-2), as Esser et al. 2021 use it for images. It differs from GPT-2 in a
learned condition embedding, added on the conditioning positions only, and in a head without bias
that is not tied to the token embedding.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from e2eve.transformer.layout import SequenceLayout


@dataclass(frozen=True)
class GPTConfig:
    """Shape of the network; the defaults are the published setting."""

    layers: int = 24
    heads: int = 16
    width: int = 1024
    codebook_size: int | None = None  # None: the larger one of the tokenizers' codebooks
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


Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Mixes values by queries and keys, all (…, heads, tokens, width of a head)."""


def causal(
    q: Float[Tensor, "*batch heads n d"],
    k: Float[Tensor, "*batch heads n d"],
    v: Float[Tensor, "*batch heads n d"],
) -> Float[Tensor, "*batch heads n d"]:
    """Each token sees itself and those before it."""
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


class SelfAttention(nn.Module):
    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.out = nn.Linear(config.width, config.width)

    def forward(
        self, x: Float[Tensor, "*batch n width"], attend: Attend
    ) -> Float[Tensor, "*batch n width"]:
        split = "... n (three h d) -> three ... h n d"
        q, k, v = rearrange(self.qkv(x), split, three=3, h=self.heads)
        return self.out(rearrange(attend(q, k, v), "... h n d -> ... n (h d)"))


class TransformerBlock(nn.Module):
    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width)
        self.attention = SelfAttention(config)
        self.norm2 = nn.LayerNorm(config.width)
        self.expand = nn.Linear(config.width, 4 * config.width)
        self.contract = nn.Linear(4 * config.width, config.width)

    def forward(
        self, x: Float[Tensor, "*batch n width"], attend: Attend = causal
    ) -> Float[Tensor, "*batch n width"]:
        x = x + self.attention(self.norm1(x), attend)
        return x + self.contract(F.gelu(self.expand(self.norm2(x))))


class CausalTransformer(nn.Module):
    """Next-token logits over the sequence that a layout describes.

    Raises:
        ValueError: when `config.codebook_size` is None, or there are too few positions.
    """

    kinds: Tensor

    def __init__(self, config: GPTConfig, layout: SequenceLayout) -> None:
        super().__init__()
        if config.codebook_size is None:
            raise ValueError("codebook_size is None: give the number of ids that are embedded.")
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
        self.blocks = nn.ModuleList(TransformerBlock(config) for _ in range(config.layers))
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

    def places(self) -> Float[Tensor, "length width"]:
        """What is added to a token's embedding at each place of the sequence."""
        kinds = self.conditions(self.kinds)
        return self.positions[: self.layout.length] + F.pad(kinds, (0, 0, 0, self.layout.target))

    def hidden(self, ids: Int[Tensor, "batch n"]) -> Float[Tensor, "batch n width"]:
        """Features of the first n tokens of a sequence."""
        x = self.tokens(ids) + self.places()[: ids.shape[1]]
        for block in self.blocks:
            x = block(x)
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
