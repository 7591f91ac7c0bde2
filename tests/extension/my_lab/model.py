"""A token model: every target token from the driver's mean and the source's token at its place."""

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from e2eve.transformer import (
    Conditioning,
    EditTokens,
    SequenceLayout,
    TokenModel,
    TokenNLL,
    register,
)
from e2eve.transformer.sampling import batch_noise, draw


@dataclass(frozen=True)
class IndependentConfig:
    width: int = 32
    codebook_size: int | None = None  # the tokenizers'


@register("independent", IndependentConfig)
class Independent(TokenModel):
    def __init__(self, config: IndependentConfig, layout: SequenceLayout) -> None:
        super().__init__()
        self.config, self.layout = config, layout
        self.embed = nn.Embedding(config.codebook_size, config.width)  # type: ignore[arg-type]
        self.head = nn.Linear(config.width, config.codebook_size)  # type: ignore[arg-type]

    def forward(self, driver_ids: Tensor, source_ids: Tensor) -> Tensor:
        return self.head(self.embed(driver_ids).mean(1, keepdim=True) + self.embed(source_ids))

    def nll(self, tokens: EditTokens) -> TokenNLL:
        logits = self(tokens.driver_ids, tokens.source_ids).transpose(1, 2)
        per_token = functional.cross_entropy(logits, tokens.target_ids, reduction="none")
        return TokenNLL(per_token, tokens.region_cells)

    def sample(self, conditioning: Conditioning, *, num_samples, seeds, settings, progress):
        logits = self(conditioning.driver_ids, conditioning.source_ids)
        rows = logits.repeat_interleave(num_samples, 0).flatten(0, 1)
        noise = batch_noise(seeds, num_samples, self.layout.target, logits.shape[-1])
        ids = draw(rows, noise.flatten(0, 1).to(rows), settings)
        progress(self.layout.target)
        return ids.view(len(logits), num_samples, -1)
