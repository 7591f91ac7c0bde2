"""The one rule for learning rates and weight decay."""

import math
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field
from torch import nn, optim

from e2eve.limits import BelowOne, NonNegative, Positive


@dataclass(frozen=True)
class OptimizerSettings:
    """Adam(W) with warm-up and cosine decay.

    The learning rate at its height is `base_learning_rate` × images per optimiser step (batch
    size × devices × nodes × accumulated batches).
    """

    base_learning_rate: Annotated[float, Field(gt=0, le=1)] = 4.5e-6
    betas: tuple[BelowOne, BelowOne] = (0.9, 0.95)
    weight_decay: Annotated[float, Field(ge=0, le=10)] = 0.0
    warmup_steps: NonNegative = 0  # linear from 0, at its height in the last of them
    decay_steps: Positive | None = None  # cosine to 0 at this step; None stays constant

    def learning_rate(self, images_per_step: int) -> float:
        return self.base_learning_rate * images_per_step

    def factor(self, step: int) -> float:
        """What the learning rate is multiplied by at a step (from 0)."""
        if step < self.warmup_steps:
            return step / max(1, self.warmup_steps - 1)
        if self.decay_steps is None:
            return 1.0
        span = max(1, self.decay_steps - self.warmup_steps)
        progress = min(1.0, (step - self.warmup_steps) / span)
        return 0.5 * (1 + math.cos(math.pi * progress))

    def build(
        self, network: nn.Module, images_per_step: int, *, fused: bool = True
    ) -> optim.Optimizer:
        """AdamW with decay on the matrices of linear layers only, in one kernel where fused."""
        decayed, rest = split_for_decay(network)
        groups = [
            {"params": decayed, "weight_decay": self.weight_decay},
            {"params": rest, "weight_decay": 0.0},
        ]
        rate = self.learning_rate(images_per_step)
        return optim.AdamW(groups, lr=rate, betas=self.betas, fused=fused)


def split_for_decay(network: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Trainable parameters that weight decay applies to (linear matrices), and the others."""
    matrices = {id(m.weight) for m in network.modules() if isinstance(m, nn.Linear)}
    trainable = [p for p in network.parameters() if p.requires_grad]
    decayed = [p for p in trainable if id(p) in matrices]
    return decayed, [p for p in trainable if id(p) not in matrices]
