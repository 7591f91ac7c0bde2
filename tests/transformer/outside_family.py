"""A token model from outside: bidirectional, predicts tokens of the region, decodes in passes.

As small as a family can be, to show what the protocol asks for: its quality is no aim.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from e2eve.transformer import EditTokens, SamplingSettings, TokenModel, TokenNLL, register
from e2eve.transformer.sampling import batch_noise, check_count, draw, guided


@dataclass(frozen=True)
class OutsideConfig:
    width: int = 16
    codebook_size: int | None = None


@dataclass(frozen=True)
class OutsideSampling(SamplingSettings):
    passes: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count(self, "passes", "decode in at least 1 pass")


@register("outside", OutsideConfig)
class Outside(TokenModel):
    sampling = OutsideSampling

    def __init__(self, config, layout):
        super().__init__()
        self.config, self.layout = config, layout
        self.tokens = nn.Embedding(config.codebook_size + 1, config.width)  # the last: masked
        self.places = nn.Embedding(layout.driver + layout.target, config.width)
        self.block = nn.TransformerEncoderLayer(config.width, 2, batch_first=True, dropout=0)
        self.head = nn.Linear(config.width, config.codebook_size)

    def forward(self, driver_ids, ids):
        x = self.tokens(torch.cat([driver_ids, ids], 1)) + self.places.weight
        return self.head(self.block(x)[:, self.layout.driver :])

    def nll(self, tokens: EditTokens) -> TokenNLL:
        """Tokens of the region given the masked source's around it."""
        ids = tokens.source_ids.masked_fill(tokens.region_cells, self.config.codebook_size)
        logits = self(tokens.driver_ids, ids).transpose(1, 2)
        nll = F.cross_entropy(logits, tokens.target_ids, reduction="none")
        return TokenNLL(nll, tokens.region_cells, predicted=tokens.region_cells)

    @torch.inference_mode()
    def sample(self, conditioning, *, num_samples, seeds, settings, progress):
        noise = batch_noise(seeds, num_samples, self.layout.target, self.config.codebook_size)
        rows = conditioning.repeated(num_samples)
        context = rows.source_ids if rows.preserved_ids is None else rows.preserved_ids
        ids = context.masked_fill(rows.region_cells, self.config.codebook_size)
        order = noise[..., 0].masked_fill(~rows.region_cells, torch.inf).argsort(1).argsort(1)
        for share in torch.linspace(0, 1, settings.passes + 1)[1:]:
            logits = self(rows.driver_ids, ids)
            if rows.empty_driver_ids is not None:
                empty = self(rows.empty_driver_ids.expand_as(rows.driver_ids), ids)
                logits = guided(logits, empty, settings.guidance)
            logits[..., rows.codebook_size :] = -torch.inf
            drawn = draw(logits.flatten(0, 1), noise.flatten(0, 1), settings).view_as(ids)
            until = (rows.region_cells.sum(1, keepdim=True) * share).ceil()
            masked = ids == self.config.codebook_size
            ids = torch.where(masked & (order < until), drawn, ids)
            progress(int(self.layout.target * share))
        return ids.unflatten(0, (-1, num_samples))
