"""The GPT as a token model: its loss, its sampling settings, and sampling."""

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from e2eve.transformer.gpt.network import CausalTransformer, GPTConfig, RegionCells
from e2eve.transformer.gpt.packed import release
from e2eve.transformer.gpt.speculative import Draft, GPTSampling, Sampled, sample
from e2eve.transformer.model import (
    Conditioning,
    EditTokens,
    Progress,
    TokenModel,
    TokenNLL,
    register,
    widened,
)
from e2eve.transformer.sampling import SamplingSettings

# Batches are padded to a multiple: of any other length, a step took an H100 four times as long.
GPU_COLUMNS = 64


@register("gpt", GPTConfig)
class GPT(CausalTransformer, TokenModel):
    """Next-token prediction over [driver | masked source | target], or the region's part of it."""

    config: GPTConfig
    sampling = GPTSampling
    initial: ClassVar[tuple[str, ...]] = ("positions", *CausalTransformer.initial)

    @property
    def one_shape(self) -> bool:
        return not self.region_only  # else a batch is as long as its largest region

    def forward(
        self, tokens: EditTokens, cells: Int[Tensor, "batch columns"] | None = None
    ) -> Float[Tensor, "batch columns codebook"]:
        """Logits of all cells, or of these where only the region is predicted."""
        if cells is None:
            return self.target_logits(*tokens[:3])
        return self.cell_logits(*tokens[:3], cells)

    def region_of(self, cells: Bool[Tensor, "batch target"]) -> Bool[Tensor, "batch target"]:
        """The cells that are predicted where these are touched."""
        return widened(cells, self.config.rim) if self.region_only else torch.ones_like(cells)

    def logits(self, tokens: EditTokens) -> Float[Tensor, "batch target codebook"]:
        """Logits of each target token given all before it; NaN for cells not predicted."""
        if not self.region_only:
            return self(tokens)
        region = self.region_of(tokens.region_cells)
        cells, real = RegionCells.of(region)
        found = self(tokens, cells)[real]
        logits = found.new_full((*region.shape, found.shape[1]), torch.nan)
        return logits.masked_scatter(region[..., None], found)

    def nll(self, tokens: EditTokens) -> TokenNLL:
        """Likelihoods of all target tokens that are predicted, each given those before it."""
        if self.region_only:
            return self._region_nll(tokens)
        logits = self(tokens).transpose(1, 2).float()
        per_token = F.cross_entropy(logits, tokens.target_ids, reduction="none")
        return TokenNLL(per_token, tokens.region_cells)

    def _region_nll(self, tokens: EditTokens) -> TokenNLL:
        region = self.region_of(tokens.region_cells)
        cells, real = RegionCells.of(region, GPU_COLUMNS if region.is_cuda else 1)
        logits = self(tokens, cells)[real].float()
        found = F.cross_entropy(logits, tokens.target_ids[region], reduction="none")
        per_token = torch.zeros(region.shape, device=found.device).masked_scatter(region, found)
        return TokenNLL(per_token, tokens.region_cells, predicted=region)

    def sample(
        self,
        conditioning: Conditioning,
        *,
        num_samples: int,
        seeds: Sequence[int],
        settings: SamplingSettings,
        progress: Progress,
    ) -> Int[Tensor, "inputs num_samples target"]:
        return self.sample_speculatively(conditioning, num_samples, seeds, settings, progress).ids

    def sample_speculatively(
        self,
        conditioning: Conditioning,
        num_samples: int,
        seeds: Sequence[int],
        settings: SamplingSettings,
        progress: Progress = lambda done: None,
    ) -> Sampled:
        """Target ids, with what was guessed and the passes that were needed."""
        assert isinstance(settings, GPTSampling)  # the editor asks `sampling` for them
        return sample(
            self,
            conditioning.driver_ids,
            conditioning.source_ids,
            num_samples=num_samples,
            seeds=seeds,
            settings=settings,
            empty_driver=conditioning.empty_driver_ids,
            codebook_size=conditioning.codebook_size,
            draft=draft_of(conditioning, settings),
            region=self.region_of(conditioning.region_cells) if self.region_only else None,
            progress=progress,
        )

    def train(self, mode: bool = True) -> "GPT":
        """A training run needs the memory of what the last sampling has packed."""
        release(self)
        return super().train(mode)


def draft_of(conditioning: Conditioning, settings: GPTSampling) -> Draft:
    """What is known of the target, and guesses of the rest.

    Outside the region the guess is what the editor has read, the masked source's ids: near the
    region the source's own differ from them, as the encoder sees what lies inside.
    """
    inside, ids = conditioning.region_cells, conditioning.source_ids
    blend = None if settings.refine is None else inside
    if conditioning.guess_ids is not None:
        ids = torch.where(inside, conditioning.guess_ids, ids)
    elif settings.refine is not None:
        raise ValueError(
            f"refine is {settings.refine} and ids alone don't say what is to be refined: use edit, "
            "draw or condition, or leave it null."
        )
    if conditioning.preserved_ids is None:
        return Draft(ids, torch.zeros_like(inside), blend)
    return Draft(torch.where(inside, ids, conditioning.preserved_ids), ~inside, blend)
