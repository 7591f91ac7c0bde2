"""The masked family: hidden cells of the region are predicted from all that is seen, many at once.

The sequence is [driver ids | cells]. A cell outside the region holds its id of the masked source; a
cell of the region is hidden or, once it is revealed, holds its target's id. Chang et al. 2022,
"MaskGIT" (arXiv 2202.04200); the Halton order is that of Besnier et al. 2025 (arXiv 2503.17076).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Annotated

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Shaped
from pydantic import Field
from torch import Tensor

from e2eve.checks import check_number, whole_number
from e2eve.limits import BelowOne
from e2eve.transformer.blocks import Transformer, TransformerConfig
from e2eve.transformer.model import (
    Conditioning,
    EditTokens,
    Progress,
    SequenceLayout,
    TokenModel,
    TokenNLL,
    cell_code,
    register,
    widened,
)
from e2eve.transformer.sampling import (
    SamplingSettings,
    check_count,
    draw,
    generator_of,
    guided,
    gumbel,
)

ORDERS = ("confidence", "halton", "fixed")
DRIVER, CONTEXT, REGION = range(3)  # kinds of tokens


@dataclass(frozen=True)
class MaskedConfig(TransformerConfig):
    """As of every transformer, and:

    rim: cells around those that the region touches that are predicted too, since a tokenizer's ids
        near the region depend on what lies inside.
    """

    driver_dropout: BelowOne = 0.1
    rim: Annotated[int, Field(ge=0, le=1024)] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        whole_number("rim", self.rim, "use 0 or more cells", 0)


@dataclass(frozen=True)
class MaskedSampling(SamplingSettings):
    """Settings of masked decoding, beside those of every token model.

    passes: in which all cells are drawn, or fewer where there are fewer cells; after pass t of T a
        share of cos(π/2 · t/T) of them is hidden still.
    order: of the cells: by "confidence" in what was drawn, the "halton" sequence, which spreads
        cells of a pass over the region, or "fixed", one cell a pass in raster order, whatever
        `passes` says: then edits are drawn by the chain rule from the distribution that
        `Masked.chain_nll` computes.
    choice_temperature: of the Gumbel noise that is added to confidence, falling linearly to 0 at
        the last pass.
    """

    passes: int = 12
    order: str = "confidence"
    choice_temperature: float = 4.5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count(self, "passes", "decode in at least 1 pass")
        check_number("choice_temperature", self.choice_temperature, "use 0 (no noise) or more")
        if self.order not in ORDERS:
            listed = ", ".join(f'"{order}"' for order in ORDERS)
            raise ValueError(f'order is "{self.order}": use one of {listed}.')


@register("masked", MaskedConfig)
class Masked(Transformer, TokenModel):
    """Bidirectional prediction of hidden cells over [driver | cells]."""

    config: MaskedConfig
    sampling = MaskedSampling

    def __init__(self, config: MaskedConfig, layout: SequenceLayout) -> None:
        code, positions = partial(cell_codes, layout, config.width), layout.driver + layout.target
        super().__init__(config, layout, code, positions, kinds=3, signs=1)
        self.hidden_id = len(self.head.weight)

    def forward(
        self,
        driver_ids: Int[Tensor, "batch driver"],
        cell_ids: Int[Tensor, "batch target"],
        region: Bool[Tensor, "batch target"],
    ) -> Float[Tensor, "batch target width"]:
        """Features of the cells, for the head."""
        kinds = torch.where(region, REGION, CONTEXT)
        kinds = F.pad(kinds, (self.layout.driver, 0), value=DRIVER)
        x = self.tokens(torch.cat([driver_ids, cell_ids], dim=1)) + self.positions
        x = x + self.conditions(kinds)
        for block in self.blocks:
            x = block(x)
        return self.norm(x[:, self.layout.driver :])

    def region_of(self, cells: Bool[Tensor, "batch target"]) -> Bool[Tensor, "batch target"]:
        """The cells that are predicted."""
        return widened(cells, self.config.rim)

    def nll(self, tokens: EditTokens) -> TokenNLL:
        """Likelihoods of hidden cells of the region, each by itself, given all that is seen.

        In training a random share of the region is hidden, cos(π/2 · u) with u uniform in [0, 1)
        (MaskGIT, section 3.1). In evaluation all of it is, as before the first pass: no likelihood
        of the edit as a whole, which `chain_nll` gives, and no number to compare with a GPT's.
        """
        region = self.region_of(tokens.region_cells)
        hidden = hide_some(region) if self.training else region
        ids = self._seen(tokens, region, hidden)
        logits = self._logits(tokens.driver_ids, ids, region, hidden).float()
        found = F.cross_entropy(logits, tokens.target_ids[hidden], reduction="none")
        per_token = torch.zeros(hidden.shape, device=found.device).masked_scatter(hidden, found)
        return TokenNLL(per_token, tokens.region_cells, predicted=hidden)

    @torch.no_grad()
    def chain_nll(self, tokens: EditTokens) -> TokenNLL:
        """Exact likelihoods of edits that are drawn in the fixed order, a pass for each cell."""
        hidden = region = self.region_of(tokens.region_cells)
        per_token = torch.zeros(region.shape, device=region.device)
        while hidden.any():
            following = first(hidden, raster(hidden), hidden.sum(1).clamp(max=1))
            ids = self._seen(tokens, region, hidden)
            logits = self._logits(tokens.driver_ids, ids, region, following).float()
            found = F.cross_entropy(logits, tokens.target_ids[following], reduction="none")
            per_token[following] = found
            hidden = hidden & ~following
        return TokenNLL(per_token, tokens.region_cells, predicted=region)

    def logits(self, tokens: EditTokens) -> Float[Tensor, "batch target codebook"]:
        """Logits of each cell where all of the region is hidden."""
        region = self.region_of(tokens.region_cells)
        ids = self._seen(tokens, region, region)
        return self.head(self(tokens.driver_ids, ids, region))

    def _seen(
        self,
        tokens: EditTokens,
        region: Bool[Tensor, "batch target"],
        hidden: Bool[Tensor, "batch target"],
    ) -> Int[Tensor, "batch target"]:
        ids = torch.where(region, tokens.target_ids, tokens.source_ids)
        return ids.masked_fill(hidden, self.hidden_id)

    def _logits(
        self,
        driver_ids: Int[Tensor, "batch driver"],
        cell_ids: Int[Tensor, "batch target"],
        region: Bool[Tensor, "batch target"],
        wanted: Bool[Tensor, "batch target"],
    ) -> Float[Tensor, "wanted codebook"]:
        """Logits of the wanted cells, row by row."""
        return self.head(self(driver_ids, cell_ids, region)[wanted])

    @torch.inference_mode()
    def sample(
        self,
        conditioning: Conditioning,
        *,
        num_samples: int,
        seeds: Sequence[int],
        settings: SamplingSettings,
        progress: Progress,
    ) -> Int[Tensor, "inputs num_samples target"]:
        """Target ids; outside the region and its rim those of the masked source.

        Where ids are preserved, cells of the rim keep theirs and are read as revealed ones.
        """
        assert isinstance(settings, MaskedSampling)  # the editor asks `sampling` for them
        given = conditioning.repeated(num_samples)
        region = hidden = self.region_of(given.region_cells)
        ids = given.source_ids
        if given.preserved_ids is not None:
            hidden, ids = given.region_cells, torch.where(region, given.preserved_ids, ids)
        ids = ids.masked_fill(hidden, self.hidden_id)
        generators = [generator_of(s, n) for s in seeds for n in range(num_samples)]
        counts = hidden.sum(1)
        passes = int(counts.max()) if settings.order == "fixed" else settings.passes
        for number in range(1, passes + 1):
            now = hidden.sum(1) - left_after(counts, hidden.sum(1), number, passes, settings.order)
            ids = self._reveal(given, ids, region, now, generators, 1 - number / passes, settings)
            hidden = ids == self.hidden_id
            progress(self.layout.target - int(hidden.sum(1).max()))
            if not hidden.any():
                break
        if given.preserved_ids is not None:
            ids = torch.where(given.region_cells, ids, given.preserved_ids)
        return ids.unflatten(0, (-1, num_samples))

    def _reveal(
        self,
        given: Conditioning,
        ids: Int[Tensor, "rows target"],
        region: Bool[Tensor, "rows target"],
        counts: Int[Tensor, "rows"],
        generators: Sequence[torch.Generator],
        noisiness: float,
        settings: MaskedSampling,
    ) -> Int[Tensor, "rows target"]:
        """The ids after a pass that reveals so many cells of each row.

        Args:
            noisiness: share of the choice temperature that is left.
        """
        hidden = ids == self.hidden_id
        by_confidence = settings.order == "confidence"
        wanted = hidden if by_confidence else first(hidden, ORDERED[settings.order](hidden), counts)
        logits = self._guided_logits(given, ids, region, wanted, settings.guidance)
        logits[:, given.codebook_size or self.hidden_id :] = -torch.inf
        each = wanted.sum(1).tolist()
        noise = [gumbel(g, n, logits.shape[1]) for g, n in zip(generators, each, strict=True)]
        drawn = draw(logits, torch.cat(noise).to(logits), settings)
        ids = ids.masked_scatter(wanted, drawn)
        if not by_confidence:
            return ids
        confidence = logits.log_softmax(-1).gather(1, drawn[:, None])[:, 0]
        if settings.temperature > 0:
            extra = torch.cat([gumbel(g, n) for g, n in zip(generators, each, strict=True)])
            confidence += settings.choice_temperature * noisiness * extra.to(confidence)
        doubts = torch.zeros(ids.shape, device=ids.device).masked_scatter(wanted, -confidence)
        return ids.masked_fill(hidden & ~first(hidden, doubts, counts), self.hidden_id)

    def _guided_logits(
        self,
        given: Conditioning,
        ids: Int[Tensor, "rows target"],
        region: Bool[Tensor, "rows target"],
        wanted: Bool[Tensor, "rows target"],
        guidance: float,
    ) -> Float[Tensor, "wanted codebook"]:
        if guidance == 1:
            return self._logits(given.driver_ids, ids, region, wanted)
        assert given.empty_driver_ids is not None
        drivers = torch.cat([given.driver_ids, given.empty_driver_ids.expand_as(given.driver_ids)])
        both = self._logits(drivers, *(part.repeat(2, 1) for part in (ids, region, wanted)))
        given_driver, empty_driver = both.chunk(2)
        return guided(given_driver, empty_driver, guidance)


def cell_codes(layout: SequenceLayout, width: int) -> Float[Tensor, "places width"]:
    """A sinusoidal code of each cell of the driver, and of each cell that is drawn.

    Where the driver goes is not known: its cells have their code in channels of their own.
    """
    driver, cells = (cell_code(math.isqrt(n), width) for n in (layout.driver, layout.target))
    return torch.cat([driver.flip(1), cells])


def hide_some(region: Bool[Tensor, "batch cells"]) -> Bool[Tensor, "batch cells"]:
    """A random share of each row's cells, at least one; from PyTorch's generator on the CPU."""
    shares = torch.cos(math.pi / 2 * torch.rand(len(region), 1)).to(region.device)
    counts = (shares * region.sum(1, keepdim=True)).ceil().clamp(min=1)[:, 0]
    return first(region, torch.rand(region.shape).to(region.device), counts)


def left_after(
    counts: Int[Tensor, "rows"], hidden: Int[Tensor, "rows"], number: int, passes: int, order: str
) -> Int[Tensor, "rows"]:
    """Cells of each row that are hidden after a pass; every pass reveals one at least.

    Args:
        counts: of cells hidden before the first pass.
        hidden: of those before this one.
    """
    if order == "fixed":
        return (hidden - 1).clamp(min=0)
    share = (counts * math.cos(math.pi / 2 * number / passes)).floor().long()
    return torch.minimum(share, hidden - 1).clamp(min=0)


def first(
    cells: Bool[Tensor, "rows cells"],
    places: Float[Tensor, "rows cells"],
    counts: Shaped[Tensor, "rows"],
) -> Bool[Tensor, "rows cells"]:
    """So many cells of each row that come first in the order of their places."""
    ranks = places.masked_fill(~cells, torch.inf).argsort(dim=1, stable=True).argsort(1)
    return cells & (ranks < counts[:, None])


def raster(cells: Bool[Tensor, "rows cells"]) -> Float[Tensor, "rows cells"]:
    """Places of cells from left to right, row of the grid by row."""
    return torch.arange(cells.shape[1], device=cells.device).float().expand(cells.shape)


def halton(cells: Bool[Tensor, "rows cells"]) -> Float[Tensor, "rows cells"]:
    """Places of cells in the Halton sequence of bases 2 and 3, which fills the grid evenly."""
    side = math.isqrt(cells.shape[1])
    return halton_places(side).to(cells.device).expand(cells.shape)


@cache
def halton_places(side: int) -> Float[Tensor, "cells"]:
    """For each cell of a grid when a Halton sequence first comes upon it."""
    places = torch.full((side * side,), torch.inf)
    found, number = 0, 0
    while found < side * side:
        number += 1
        row, column = (int(radical_inverse(number, base) * side) for base in (2, 3))
        if places[row * side + column] == torch.inf:
            places[row * side + column] = found
            found += 1
    return places


def radical_inverse(number: int, base: int) -> float:
    """The digits of a number in some base, mirrored at the point (Halton 1960)."""
    value, share = 0.0, 1.0
    while number:
        share /= base
        number, digit = divmod(number, base)
        value += digit * share
    return value


ORDERED = {"halton": halton, "fixed": raster}
