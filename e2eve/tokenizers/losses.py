"""What a tokenizer is trained on: L1, perceptual, adversarial and codebook terms.

Esser et al., "Taming Transformers for High-Resolution Image Synthesis" (CVPR 2021), section 3.1;
the discriminator is that of Isola et al., "Image-to-Image Translation…" (CVPR 2017).
"""

import itertools
from typing import Annotated, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from e2eve.limits import NonNegative, Weight, Width
from e2eve.tokenizers.tokenizer import Reconstruction


class PatchDiscriminator(nn.Module):
    """A score for each overlapping patch of an image: high for real, low for reconstructed.

    Args:
        channels: width of the first layer, doubled by each further one up to eightfold.
        layers: strided layers; the patch side is 16, 34, 70 pixels for 1, 2, 3.
    """

    def __init__(self, channels: Width = 64, layers: Annotated[int, Field(ge=1, le=8)] = 3) -> None:
        super().__init__()
        widths = [channels * min(2**level, 8) for level in range(layers + 1)]
        blocks: list[nn.Module] = [nn.Conv2d(3, channels, 4, 2, 1), nn.LeakyReLU(0.2)]
        for level, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
            stride = 2 if level < layers - 1 else 1
            blocks += [
                nn.Conv2d(inputs, outputs, 4, stride, 1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.LeakyReLU(0.2),
            ]
        self.body = nn.Sequential(*blocks, nn.Conv2d(widths[-1], 1, 4, 1, 1))
        for layer in self.body:
            if isinstance(layer, nn.Conv2d | nn.BatchNorm2d):
                mean = 0.0 if isinstance(layer, nn.Conv2d) else 1.0
                nn.init.normal_(layer.weight, mean, 0.02)

    def forward(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch 1 h w"]:
        return self.body(images)


class TokenizerTerms(NamedTuple):
    """The terms of one batch, each a mean; `loss` is what is minimised."""

    loss: Float[Tensor, ""]
    l1: Float[Tensor, ""]  # on the [-1, 1] scale
    l2: Float[Tensor, ""]  # of squares, on the same scale
    perceptual: Float[Tensor, ""]
    codebook: Float[Tensor, ""]
    adversarial: Float[Tensor, ""]
    adversarial_weight: Float[Tensor, ""]


def adaptive_weight(
    reconstruction_loss: Float[Tensor, ""],
    adversarial_loss: Float[Tensor, ""],
    weight: Tensor,
) -> Float[Tensor, ""]:
    """‖∂rec/∂w‖ / (‖∂adv/∂w‖ + 1e-4), at most 1e4: neither term drowns the other."""
    (rec,) = torch.autograd.grad(reconstruction_loss, weight, retain_graph=True)
    (adv,) = torch.autograd.grad(adversarial_loss, weight, retain_graph=True)
    return (rec.norm() / (adv.norm() + 1e-4)).clamp(0, 1e4).detach()


def hinge_discriminator_loss(
    real: Float[Tensor, "..."], fake: Float[Tensor, "..."]
) -> Float[Tensor, ""]:
    """½ E[max(0, 1 - D(real))] + ½ E[max(0, 1 + D(fake))]."""
    return 0.5 * (F.relu(1 - real).mean() + F.relu(1 + fake).mean())


class TokenizerLoss(nn.Module):
    """L1 + L2 + perceptual + codebook, and from `adversarial_start` on a hinge PatchGAN.

    A discriminator that knows nothing yet does harm: for `discriminator_warmup` steps from
    `adversarial_start` on it learns alone.

    Args:
        l2_weight: of the mean squared error; None, as published: it is left out.
        perceptual: a distance from `e2eve.features`, or None to go without.
        discriminator: None trains without an adversarial term.
        adversarial_weight: times the adaptive weight, where that is used.
        adversarial_adaptive: whether it is, as published; else the weight is fixed (0.02 in Weber
            et al. 2024, "MaskBit", arXiv 2409.16211).
        adversarial_start: training step from which there is a discriminator.
        discriminator_warmup: steps from there in which nothing else learns.
    """

    def __init__(
        self,
        perceptual: nn.Module | None,
        discriminator: nn.Module | None,
        *,
        l2_weight: Weight | None = None,
        perceptual_weight: Weight = 1.0,
        codebook_weight: Weight = 1.0,
        adversarial_weight: Weight = 0.8,
        adversarial_adaptive: bool = True,
        adversarial_start: NonNegative = 0,
        discriminator_warmup: NonNegative = 0,
    ) -> None:
        super().__init__()
        self.perceptual, self.discriminator = perceptual, discriminator
        self.l2_weight = l2_weight or 0.0
        self.perceptual_weight, self.codebook_weight = perceptual_weight, codebook_weight
        self.adversarial_weight, self.adversarial_start = adversarial_weight, adversarial_start
        self.adversarial_adaptive = adversarial_adaptive
        self.discriminator_warmup = discriminator_warmup

    def adversarial_on(self, step: int) -> bool:
        """Whether the discriminator learns."""
        return self.discriminator is not None and step >= self.adversarial_start

    def warming(self, step: int) -> bool:
        """Whether it learns alone."""
        return (
            self.adversarial_on(step) and step < self.adversarial_start + self.discriminator_warmup
        )

    def forward(
        self,
        images: Float[Tensor, "batch 3 height width"],
        output: Reconstruction,
        step: int,
        last_weight: Tensor,
        shown: Float[Tensor, "batch 3 height width"] | None = None,
    ) -> TokenizerTerms:
        """The tokenizer's side of the loss at a training step.

        Args:
            shown: what the discriminator sees; None: the reconstructions.
        """
        zero = images.new_zeros(())
        l1 = (images - output.images).abs().mean()
        l2 = F.mse_loss(output.images, images) if self.l2_weight else zero
        perceptual = zero
        if self.perceptual is not None:
            perceptual = self.perceptual(output.images, images).mean()
        reconstruction = l1 + self.l2_weight * l2 + self.perceptual_weight * perceptual
        codebook = output.quantized.loss
        loss = reconstruction + self.codebook_weight * codebook
        adversarial, weight = zero, zero
        if self.adversarial_on(step) and not self.warming(step):
            adversarial = -self._scores(output.images if shown is None else shown).mean()
            weight = images.new_tensor(self.adversarial_weight)
            if self.adversarial_adaptive:
                weight = weight * adaptive_weight(reconstruction, adversarial, last_weight)
            loss = loss + weight * adversarial
        return TokenizerTerms(loss, l1, l2, perceptual, codebook, adversarial, weight)

    def _scores(self, images: Tensor) -> Tensor:
        assert self.discriminator is not None  # asked for where adversarial_on says so
        return self.discriminator(images)

    def discriminate(
        self,
        images: Float[Tensor, "batch 3 height width"],
        reconstructed: Float[Tensor, "batch 3 height width"],
    ) -> Float[Tensor, ""]:
        return hinge_discriminator_loss(
            self._scores(images.detach()), self._scores(reconstructed.detach())
        )
