"""What families of transformers share: shape, attention, blocks, embeddings and head.

Pre-LayerNorm blocks as in GPT-2 (Radford et al. 2019). A learned condition embedding says of what
kind a token is, and the head has no bias and is not tied to the token embedding.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from e2eve.limits import BelowOne, Codes, Layers, Width
from e2eve.transformer.model import SequenceLayout


@dataclass(frozen=True)
class TransformerConfig:
    """Shape of the network and how training goes; the defaults are the published setting."""

    layers: Layers = 24
    heads: Width = 16
    width: Width = 1024
    codebook_size: Codes | None = None  # None: the larger one of the tokenizers' codebooks
    position_init: str = "normal"  # "normal" (published) or "grid": cells share a code at start
    token_init: str = "normal"  # "normal" (published) or "codebook": like codes start alike
    driver_dropout: BelowOne = 0.0  # share of training edits that get an empty driver

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(
                f"width {self.width} cannot be shared by {self.heads} heads: choose a multiple."
            )
        for name, other in (("position_init", "grid"), ("token_init", "codebook")):
            if (value := getattr(self, name)) not in ("normal", other):
                raise ValueError(f'{name} is "{value}": use "normal" or "{other}".')
        if not 0 <= self.driver_dropout < 1:
            raise ValueError(
                f"driver_dropout is {self.driver_dropout}: use a share from 0 to below 1."
            )


Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Mixes values by queries and keys, all (…, heads, tokens, width of a head)."""


class SelfAttention(nn.Module):
    def __init__(self, config: TransformerConfig) -> None:
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
    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width)
        self.attention = SelfAttention(config)
        self.norm2 = nn.LayerNorm(config.width)
        self.expand = nn.Linear(config.width, 4 * config.width)
        self.contract = nn.Linear(4 * config.width, config.width)

    def forward(
        self,
        x: Float[Tensor, "*batch n width"],
        attend: Attend = F.scaled_dot_product_attention,
    ) -> Float[Tensor, "*batch n width"]:
        x = x + self.attention(self.norm1(x), attend)
        return x + self.contract(F.gelu(self.expand(self.norm2(x))))


class Transformer(nn.Module):
    """Embeddings, blocks and head; a family says what its sequence is and who sees whom.

    Args:
        code: makes what positions start with, the first ones, for `position_init="grid"`.
        positions: learned ones.
        kinds: of tokens that the condition embedding tells apart.
        signs: ids beside those of the codebook, such as one for what is hidden.

    Raises:
        ValueError: when `config.codebook_size` is None.
    """

    config: Any  # a TransformerConfig of the family's own class
    initial: ClassVar[tuple[str, ...]] = ("position_init", "token_init", "driver_dropout")

    def __init__(
        self,
        config: TransformerConfig,
        layout: SequenceLayout,
        code: Callable[[], Float[Tensor, "places width"]],
        positions: int,
        kinds: int,
        signs: int = 0,
    ) -> None:
        super().__init__()
        if config.codebook_size is None:
            raise ValueError("codebook_size is None: give the number of ids that are embedded.")
        self.config, self.layout = config, layout
        self.tokens = nn.Embedding(config.codebook_size + signs, config.width)
        self.positions = nn.Parameter(torch.zeros(positions, config.width))
        self.conditions = nn.Embedding(kinds, config.width)
        self.blocks = nn.ModuleList(TransformerBlock(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, config.codebook_size, bias=False)
        self._initialise(code)

    @torch.no_grad()
    def _initialise(self, code: Callable[[], Float[Tensor, "places width"]]) -> None:
        """Normal(0, 0.02), biases 0; the head starts as the token embedding's copy."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, 0.0, 0.02)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
        self.head.weight.copy_(self.tokens.weight[: len(self.head.weight)])
        nn.init.normal_(self.positions, 0.0, 0.02)
        if self.config.position_init == "grid":
            made = code()
            # As long as a token's embedding, so that attention finds cells early.
            made *= 0.02 * self.config.width**0.5 / made.norm(dim=1).max()
            self.positions[: len(made)] += made

    @torch.no_grad()
    def start_from_codebook(self, codes: Float[Tensor, "codes dim"]) -> None:
        """With `token_init="codebook"`: embed ids by a random projection of their codes.

        The head starts as the same projection: what is learned about a code holds at once for its
        neighbours. A third of each embedding is its own.
        """
        if self.config.token_init != "codebook":
            return
        directions = F.normalize(codes, dim=1)
        projection = torch.randn(codes.shape[1], self.config.width, device=codes.device)
        own = self.tokens.weight[: len(codes)]
        shared = 0.02 * directions @ projection
        self.tokens.weight[: len(codes)] = (8 / 9) ** 0.5 * shared + own / 3
        self.head.weight.copy_(self.tokens.weight[: len(self.head.weight)])
