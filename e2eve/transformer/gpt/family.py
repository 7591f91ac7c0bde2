"""The GPT as a token model: its loss, its sampling settings, and sampling."""

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from e2eve.transformer.gpt.network import CausalTransformer, GPTConfig
from e2eve.transformer.gpt.packed import release
from e2eve.transformer.gpt.speculative import Draft, GPTSampling, Sampled, sample
from e2eve.transformer.model import (
    Conditioning,
    EditTokens,
    Progress,
    TokenModel,
    TokenNLL,
    register,
)
from e2eve.transformer.sampling import SamplingSettings


@register("gpt", GPTConfig)
class GPT(CausalTransformer, TokenModel):
    """Next-token prediction over [driver | masked source | target]."""

    sampling = GPTSampling
    initial: ClassVar = ("positions", *CausalTransformer.initial)

    def forward(self, tokens: EditTokens) -> Float[Tensor, "batch target codebook"]:
        return self.target_logits(*tokens[:3])

    def logits(self, tokens: EditTokens) -> Float[Tensor, "batch target codebook"]:
        """Logits of each target token given all before it."""
        return self(tokens)

    def nll(self, tokens: EditTokens) -> TokenNLL:
        """Likelihoods of all target tokens, each given those before it."""
        logits = self(tokens).transpose(1, 2).float()
        per_token = F.cross_entropy(logits, tokens.target_ids, reduction="none")
        return TokenNLL(per_token, tokens.region_cells)

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
            draft=draft_of(conditioning),
            progress=progress,
        )

    def train(self, mode: bool = True) -> "GPT":
        """A training run needs the memory of what the last sampling has packed."""
        release(self)
        return super().train(mode)


def draft_of(conditioning: Conditioning) -> Draft:
    """What is known of the target, and guesses of the rest.

    Outside the region the guess is what the editor has read, the masked source's ids: near the
    region the source's own differ from them, as the encoder sees what lies inside.
    """
    inside, ids = conditioning.region_cells, conditioning.source_ids
    if conditioning.guess_ids is not None:
        ids = torch.where(inside, conditioning.guess_ids, ids)
    if conditioning.preserved_ids is None:
        return Draft(ids, torch.zeros_like(inside))
    return Draft(torch.where(inside, ids, conditioning.preserved_ids), ~inside)
