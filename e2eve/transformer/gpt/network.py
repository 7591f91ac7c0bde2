"""A pre-LayerNorm GPT over [driver | masked source | target], and its key–value cache.

Radford et al. 2019 (GPT-2), as Esser et al. 2021 use it for images. It differs from GPT-2 in a
learned condition embedding, added on the conditioning positions only, and in a head without bias
that is not tied to the token embedding.
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import Annotated, NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn

from e2eve.checks import whole_number
from e2eve.transformer.blocks import Attend, Transformer, TransformerConfig
from e2eve.transformer.model import SequenceLayout, cell_code


@dataclass(frozen=True)
class GPTConfig(TransformerConfig):
    """As of every transformer, and:

    positions: learned ones; None: as many as the sequence is long.
    targets: the cells that are predicted: "all" (published), or those of the "region", given driver
        and masked source read in both directions.
    rim: cells around those that the region touches that are predicted with it, since a tokenizer's
        ids near the region depend on what lies inside.
    """

    positions: Annotated[int, Field(ge=1, le=2**20)] | None = None
    targets: str = "all"
    rim: Annotated[int, Field(ge=0, le=1024)] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.targets not in ("all", "region"):
            raise ValueError(f'targets is "{self.targets}": use "all" or "region".')
        whole_number("rim", self.rim, "use 0 or more cells", 0)


def causal(
    q: Float[Tensor, "*batch heads n d"],
    k: Float[Tensor, "*batch heads n d"],
    v: Float[Tensor, "*batch heads n d"],
) -> Float[Tensor, "*batch heads n d"]:
    """Each token sees itself and those before it."""
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def seen_by_prefix_and_after(prefix: int) -> Attend:
    """Tokens of the prefix see all of it; each one after it sees it, itself and those between.

    Liu et al. 2018 (arXiv 1801.10198), Raffel et al. 2020: "prefix LM".
    """

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        n, parts = q.shape[-2], (q[..., :prefix, :], k[..., :prefix, :], v[..., :prefix, :])
        visible = torch.ones(n - prefix, n, dtype=torch.bool, device=q.device).tril(prefix)
        after = F.scaled_dot_product_attention(q[..., prefix:, :], k, v, attn_mask=visible)
        return torch.cat([F.scaled_dot_product_attention(*parts), after], dim=-2)

    return attend


class CausalTransformer(Transformer):
    """Next-token logits over the sequence that a layout describes.

    Where only the region is predicted, a token after the conditioning holds the id of a cell of the
    region, and its place says which cell that is and which one is next: rows differ in both
    (Pannatier et al. 2024, "σ-GPTs", section 2.2).

    Raises:
        ValueError: when `config.codebook_size` is None, or there are too few positions.
    """

    kinds: Tensor

    def __init__(self, config: GPTConfig, layout: SequenceLayout) -> None:
        positions = config.positions or layout.length
        if positions < layout.length:
            raise ValueError(
                f"{layout.driver} driver + {layout.source} source + {layout.target} target tokens "
                f"need {layout.length} positions and transformer.positions is {positions}: raise "
                "it or lower image_size or driver_size."
            )
        shift = int(config.targets == "all")
        code = partial(grid_code, layout, config.width, shift)
        super().__init__(config, layout, code, positions, kinds=2)
        kinds = torch.tensor([0] * layout.driver + [1] * layout.source)  # driver, masked source
        self.register_buffer("kinds", kinds, persistent=False)
        self.region_only = config.targets == "region"
        if self.region_only:
            self.drawn = nn.Parameter(drawn_code(layout, config))

    def places(self) -> Float[Tensor, "length width"]:
        """What is added to a token's embedding at each place of the sequence."""
        conditions = F.pad(self.conditions(self.kinds), (0, 0, 0, self.layout.target))
        return self.positions[: self.layout.length] + conditions

    def target_places(
        self, cells: Int[Tensor, "batch columns"]
    ) -> Float[Tensor, "batch columns width"]:
        """What is added to the embedding of the token that each of these cells is predicted from.

        That token is the cell before it in the row, for the first one the last of the source.
        """
        if not self.region_only:
            return self.places()[self.layout.conditioning - 1 + cells]
        before = F.pad(cells[:, :-1], (1, 0), value=self.layout.target)  # the last: none drawn yet
        return self.positions[self.layout.conditioning + cells] + self.drawn[before]

    def hidden(self, ids: Int[Tensor, "batch n"]) -> Float[Tensor, "batch n width"]:
        """Features of the first n tokens of a sequence."""
        x = self.tokens(ids) + self.places()[: ids.shape[1]]
        for block in self.blocks:
            x = block(x, causal)
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

    def cell_logits(
        self,
        driver_ids: Int[Tensor, "batch driver"],
        source_ids: Int[Tensor, "batch source"],
        target_ids: Int[Tensor, "batch target"],
        cells: Int[Tensor, "batch columns"],
    ) -> Float[Tensor, "batch columns codebook"]:
        """Logits of these cells, each given the conditioning and the cells before it in its row."""
        ids, prefix = torch.cat([driver_ids, source_ids], dim=1), self.layout.conditioning
        before = torch.cat([source_ids[:, -1:], target_ids.gather(1, cells)[:, :-1]], dim=1)
        places = self.places()[:prefix].expand(len(ids), -1, -1)
        x = self.tokens(torch.cat([ids, before], dim=1))
        x = x + torch.cat([places, self.target_places(cells)], dim=1)
        attend = seen_by_prefix_and_after(prefix)
        for block in self.blocks:
            x = block(x, attend)
        return self.head(self.norm(x[:, prefix:]))


class RegionCells(NamedTuple):
    """Cells in the order in which they are drawn, rows padded to the longest with other cells."""

    cells: Int[Tensor, "rows columns"]
    real: Bool[Tensor, "rows columns"]

    @classmethod
    def of(cls, region: Bool[Tensor, "rows target"], multiple: int = 1) -> "RegionCells":
        """The region's in raster order.

        Args:
            multiple: of columns, where there are as many cells.
        """
        counts = region.sum(1)
        longest = math.ceil(int(counts.max()) / multiple) * multiple
        columns = torch.arange(min(longest, region.shape[1]), device=region.device)
        order = (~region).int().argsort(dim=1, stable=True)
        return cls(order[:, : len(columns)], columns < counts[:, None])


def grid_code(layout: SequenceLayout, width: int, shift: int = 1) -> Float[Tensor, "length width"]:
    """A sinusoidal code of the cell that each position is about.

    A source position is about its own cell, a position that predicts a target token about that
    token's cell, so that a cell and its copy in the source share a code from the start. Where the
    driver goes is not known: its positions have no code.

    Args:
        shift: 1 where the last source position predicts target cell 0 and the last target position
            none, as in the published sequence; 0 where each cell has a position of its own.
    """
    source = cell_code(math.isqrt(layout.source), width)
    driver = torch.zeros(layout.driver, width)
    return torch.cat([driver, source, source[shift:], torch.zeros(shift, width)])


def drawn_code(layout: SequenceLayout, config: GPTConfig) -> Float[Tensor, "cells_and_one width"]:
    """Where the id that was drawn last lies, at the start; the last row: none was drawn yet."""
    code = 0.02 * torch.randn(layout.target + 1, config.width)
    if config.position_init == "grid":  # in channels of its own, beside that of the next cell
        cells = cell_code(math.isqrt(layout.target), config.width).flip(1)
        code[:-1] += 0.02 * config.width**0.5 / cells.norm(dim=1).max() * cells
    return code


class PassTokens(NamedTuple):
    """What a pass reads: consecutive tokens of some rows, row by row.

    A row is a sample of an input. Rows advance each at its own pace, so that a pass reads as many
    tokens of each as it is told, where a batch of one shape would wait for the slowest.
    """

    ids: Int[Tensor, "tokens"]
    rows: Int[Tensor, "tokens"]
    columns: Int[Tensor, "tokens"]  # places in the row, counted from the end of the prefix
    offsets: Int[Tensor, "tokens"]  # columns counted from the row's first token in the pass


class KeyValueCache:
    """Keys and values of what every row has read, in buffers that are made once.

    Rows of an input share those of their prefix, which are computed and stored once: with 16
    samples of an image they would otherwise be nearly all of the memory that attention reads.

    Args:
        gpt: reads the prefix, at once.
        network: reads what follows; the same, `packed` for few tokens in a pass.
        prefix: what the rows of an input have in common.
        samples: rows of each input.
        room: tokens that a row may read after the prefix.
        cells: that each input's tokens after the prefix predict; None: all, in raster order.
    """

    def __init__(
        self,
        gpt: CausalTransformer,
        network: CausalTransformer,
        prefix: Int[Tensor, "inputs prefix"],
        samples: int,
        room: int,
        cells: Int[Tensor, "inputs room"] | None = None,
    ) -> None:
        self.network, self.samples = network, samples
        self.rows, self.prefix = len(prefix) * samples, prefix.shape[1]
        following = gpt.places()[self.prefix :].expand(len(prefix), -1, -1)
        self.places = following if cells is None else gpt.target_places(cells)  # of each input
        read = self._read_prefix(gpt, prefix)
        # A row that is alone has nothing to share: the prefix goes before its own tokens.
        self.shared = None if samples == 1 else read
        self.start = self.prefix if samples == 1 else 0
        shape = (self.rows, gpt.config.heads, self.start + room, read.shape[-1])
        self.own = read.new_zeros(len(gpt.blocks), 2, *shape)
        if samples == 1:
            self.own[..., : self.prefix, :] = read

    def _read_prefix(
        self, gpt: CausalTransformer, ids: Int[Tensor, "inputs prefix"]
    ) -> Float[Tensor, "layers 2 inputs heads prefix d"]:
        """Its keys and values."""
        read: list[Tensor] = []

        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            read.append(torch.stack([k, v]))
            return F.scaled_dot_product_attention(q, k, v, is_causal=not gpt.region_only)

        x = gpt.tokens(ids) + gpt.places()[: self.prefix]
        for block in gpt.blocks:
            x = block(x, attend)
        return torch.stack(read)

    def read(self, tokens: PassTokens) -> Float[Tensor, "tokens codebook"]:
        """Logits of what follows each token, which sees all before it in its row."""
        places = self.places[tokens.rows // self.samples, tokens.columns]
        x = self.network.tokens(tokens.ids) + places
        view = _PaddedRows(tokens, self.rows, self.start)
        for layer, block in enumerate(self.network.blocks):
            x = block(x, lambda q, k, v, layer=layer: self._attend(layer, view, q, k, v))
        return self.network.head(self.network.norm(x))

    def _attend(
        self,
        layer: int,
        view: "_PaddedRows",
        q: Float[Tensor, "heads tokens d"],
        k: Float[Tensor, "heads tokens d"],
        v: Float[Tensor, "heads tokens d"],
    ) -> Float[Tensor, "heads tokens d"]:
        keys, values = self.own[layer]
        keys[view.rows, :, view.places] = k.transpose(0, 1)
        values[view.rows, :, view.places] = v.transpose(0, 1)
        keys, values, queries = keys[:, :, : view.seen], values[:, :, : view.seen], view.spread(q)
        if self.shared is None:
            mixed = F.scaled_dot_product_attention(queries, keys, values, attn_mask=view.visible)
        else:
            mixed = attend_shared(queries, keys, values, view.visible, self.shared[layer])
        return view.gathered(mixed)


class _PaddedRows:
    """Tokens of a pass as attention sees them: `width` queries for each row, some of them unused.

    Attention needs one shape for all rows; everything else is computed for the tokens alone.

    Args:
        start: of the row's own tokens in the buffers of keys and values.
    """

    def __init__(self, tokens: PassTokens, rows: int, start: int) -> None:
        self.rows, self.places = tokens.rows, tokens.columns + start
        self.width, self.seen = int(tokens.offsets.max()) + 1, int(self.places.max()) + 1
        self.full = len(self.rows) == rows * self.width
        self.slots = tokens.rows * self.width + tokens.offsets
        last = self.slots.new_zeros(rows * self.width)  # a slot without token sees one column
        last[self.slots] = self.places
        visible = torch.arange(self.seen, device=last.device) <= last[:, None]
        self.visible = rearrange(visible, "(r w) seen -> r 1 w seen", w=self.width)

    def spread(self, q: Float[Tensor, "heads tokens d"]) -> Float[Tensor, "rows heads width d"]:
        if not self.full:
            slots = q.new_zeros(len(q), self.visible.shape[0] * self.width, q.shape[2])
            slots[:, self.slots] = q
            q = slots
        return rearrange(q, "h (r w) d -> r h w d", w=self.width)

    def gathered(self, x: Float[Tensor, "rows heads width d"]) -> Float[Tensor, "heads tokens d"]:
        x = rearrange(x, "r h w d -> h (r w) d")
        return x if self.full else x[:, self.slots]


def attend_shared(
    queries: Float[Tensor, "rows heads width d"],
    keys: Float[Tensor, "rows heads seen d"],
    values: Float[Tensor, "rows heads seen d"],
    visible: Bool[Tensor, "rows 1 width seen"],
    shared: Float[Tensor, "2 inputs heads prefix d"],
) -> Float[Tensor, "rows heads width d"]:
    """Attention to the prefix of the row's input, and to the row's own tokens where visible.

    The prefix is read once for all rows of an input: their queries form one matrix.
    """
    inputs, prefix, width = shared.shape[1], shared.shape[3], queries.shape[2]
    together, apart = "(b n) h w x -> b h (n w) x", "b h (n w) x -> (b n) h w x"
    queries = queries * queries.shape[-1] ** -0.5
    before = rearrange(queries, together, b=inputs) @ shared[0].mT
    after = (queries @ keys.mT).masked_fill(~visible, -torch.inf)
    scores = torch.cat([rearrange(before, apart, w=width), after], dim=-1).softmax(-1)
    mixed = rearrange(scores[..., :prefix], together, b=inputs) @ shared[1]
    return rearrange(mixed, apart, w=width) + scores[..., prefix:] @ values
