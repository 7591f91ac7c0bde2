"""Reading a sequence piece by piece: what was read stays in buffers that are made once.

Every row (a sample of an input) stands at a place of its own, and a pass reads as many tokens of
each row as it is told. Rows of one input share what they have in common, the prefix.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor

from e2eve.transformer.gpt.network import CausalTransformer, causal


class Tokens(NamedTuple):
    """What a pass reads of all rows: consecutive tokens of some rows, row by row."""

    ids: Int[Tensor, "tokens"]
    rows: Int[Tensor, "tokens"]
    columns: Int[Tensor, "tokens"]  # places in the row, counted from the end of the prefix
    offsets: Int[Tensor, "tokens"]  # columns counted from the row's first token in the pass


class Decoder:
    """Keys and values of what is read, and the networks that read it.

    Args:
        gpt: reads the prefix, at once.
        network: reads what follows; the same, `packed` for few tokens in a pass.
        prefix: what the rows of an input have in common.
        samples: rows of each input.
        room: tokens that a row may read after the prefix.
    """

    def __init__(
        self,
        gpt: CausalTransformer,
        network: CausalTransformer,
        prefix: Int[Tensor, "inputs prefix"],
        samples: int,
        room: int,
    ) -> None:
        self.network, self.places = network, gpt.places()
        self.rows, self.prefix = len(prefix) * samples, prefix.shape[1]
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
            return causal(q, k, v)

        x = gpt.tokens(ids) + self.places[: self.prefix]
        for block in gpt.blocks:
            x = block(x, attend)
        return torch.stack(read)

    def read(self, tokens: Tokens) -> Float[Tensor, "tokens codebook"]:
        """Logits of what follows each token, which sees all before it in its row."""
        x = self.network.tokens(tokens.ids) + self.places[self.prefix + tokens.columns]
        view = _Rectangle(tokens, self.rows, self.start)
        for layer, block in enumerate(self.network.blocks):
            x = block(x, lambda q, k, v, layer=layer: self._attend(layer, view, q, k, v))
        return self.network.head(self.network.norm(x))

    def _attend(
        self,
        layer: int,
        view: "_Rectangle",
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


class _Rectangle:
    """Tokens of a pass as attention sees them: `width` queries for each row.

    Args:
        start: of the row's own tokens in the buffers of keys and values.
    """

    def __init__(self, tokens: Tokens, rows: int, start: int) -> None:
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
