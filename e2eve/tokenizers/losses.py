"""What a tokenizer is trained on: L1, perceptual, adversarial and codebook terms.

Esser et al., "Taming Transformers for High-Resolution Image Synthesis" (CVPR 2021), section 3.1;
the discriminator is that of Isola et al., "Image-to-Image Translation…" (CVPR 2017).
"""

import itertools
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from e2eve.tokenizers.tokenizer import Reconstruction


class PatchDiscriminator(nn.Module):
    """A score for each overlapping patch of an image: high for real, low for reconstructed.

    Args:
        channels: width of the first layer, doubled by each further one up to eightfold.
        layers: strided layers; the patch side is 16, 34, 70 pixels for 1, 2, 3.
    """

    def __init__(self, channels: int = 64, layers: int = 3) -> None:
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
        self.apply(self._initialise)

    @staticmethod
    def _initialise(module: nn.Module) -> None:
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)

    def forward(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch 1 h w"]:
        return self.body(images)


class TokenizerTerms(NamedTuple):
    """The terms of one batch, each a mean; `loss` is what is minimised."""

    loss: Float[Tensor, ""]
    l1: Float[Tensor, ""]  # on the [-1, 1] scale
    perceptual: Float[Tensor, ""]
    codebook: Float[Tensor, ""]
    adversarial: Float[Tensor, ""]
    adaptive_weight: Float[Tensor, ""]


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
    """L1 + perceptual + codebook, and from `adversarial_start` on a hinge PatchGAN.

    Args:
        perceptual: a distance from `e2eve.features`, or None to go without.
        discriminator: None trains without an adversarial term.
        adversarial_weight: times the adaptive weight.
        adversarial_start: training step from which the adversarial term counts.
    """

    def __init__(
        self,
        perceptual: nn.Module | None,
        discriminator: nn.Module | None,
        *,
        perceptual_weight: float = 1.0,
        codebook_weight: float = 1.0,
        adversarial_weight: float = 0.8,
        adversarial_start: int = 0,
    ) -> None:
        super().__init__()
        self.perceptual, self.discriminator = perceptual, discriminator
        self.perceptual_weight, self.codebook_weight = perceptual_weight, codebook_weight
        self.adversarial_weight = adversarial_weight
        self.adversarial_start = adversarial_start

    def adversarial_on(self, step: int) -> bool:
        return self.discriminator is not None and step >= self.adversarial_start

    def forward(
        self,
        images: Float[Tensor, "batch 3 height width"],
        output: Reconstruction,
        step: int,
        last_weight: Tensor,
    ) -> TokenizerTerms:
        """The tokenizer's side of the loss at a training step."""
        zero = images.new_zeros(())
        l1 = (images - output.images).abs().mean()
        perceptual = zero
        if self.perceptual is not None:
            perceptual = self.perceptual(output.images, images).mean()
        reconstruction = l1 + self.perceptual_weight * perceptual
        codebook = output.quantized.loss
        loss = reconstruction + self.codebook_weight * codebook
        adversarial, weight = zero, zero
        if self.adversarial_on(step):
            adversarial = -self._scores(output.images).mean()
            weight = self.adversarial_weight * adaptive_weight(
                reconstruction, adversarial, last_weight
            )
            loss = loss + weight * adversarial
        return TokenizerTerms(loss, l1, perceptual, codebook, adversarial, weight)

    def _scores(self, images: Tensor) -> Tensor:
        assert self.discriminator is not None  # asked for where adversarial_on says so
        return self.discriminator(images)

    def discriminate(
        self,
        images: Float[Tensor, "batch 3 height width"],
        reconstructed: Float[Tensor, "batch 3 height width"],
    ) -> Float[Tensor, ""]:
        """The discriminator's side of the loss."""
        return hinge_discriminator_loss(
            self._scores(images.detach()), self._scores(reconstructed.detach())
        )
