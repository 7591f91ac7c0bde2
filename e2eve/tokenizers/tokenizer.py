"""Tokenizer: images to ids and back, by vector quantisation (van den Oord et al. 2017).

It is trained on L1, perceptual, adversarial and codebook terms: Esser et al., "Taming Transformers
for High-Resolution Image Synthesis" (CVPR 2021), section 3.1; the discriminator is that of Isola et
al., "Image-to-Image Translation…" (CVPR 2017).
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from e2eve.bundle import read_bundle, write_bundle
from e2eve.tokenizers.vqgan import Convolution, Decoder, Encoder, VQGANConfig

VALUES_AT_ONCE = 2**23  # of an activation on a CPU, 32 MB: more only takes more memory


class Quantized(NamedTuple):
    codes: Float[Tensor, "batch dim h w"]  # codebook rows, gradient passed straight through
    ids: Int[Tensor, "batch tokens"]  # raster order
    loss: Float[Tensor, ""]  # codebook + commitment


def straight(
    z: Float[Tensor, "batch dim h w"], codes: Float[Tensor, "batch dim h w"]
) -> Float[Tensor, "batch dim h w"]:
    """The codes, with the gradient of a copy of z."""
    return z + (codes - z).detach()


def rotated(
    z: Float[Tensor, "batch dim h w"], codes: Float[Tensor, "batch dim h w"]
) -> Float[Tensor, "batch dim h w"]:
    """The codes, with the gradient of z turned and scaled onto them (as constants)."""
    here, there = F.normalize(z.detach(), dim=1), F.normalize(codes, dim=1)
    between = F.normalize(here + there, dim=1)
    scale = codes.norm(dim=1, keepdim=True) / z.detach().norm(dim=1, keepdim=True).clamp_min(1e-6)
    along = (z * between).sum(1, keepdim=True)
    turned = z - 2 * along * between + 2 * (z * here).sum(1, keepdim=True) * there
    return scale * turned


PASSES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "straight": straight,
    "rotation": rotated,
}


class VectorQuantizer(nn.Module):
    """Nearest codebook row for each position.

    The loss is ‖sg(z) - e‖² + commitment · ‖z - sg(e)‖², mean over elements: the weight is on the
    commitment term.

    Args:
        commitment: weight of the commitment term, 0.25 as published.
        normalised: compare directions instead of points (Yu et al. 2022): fewer dead codes.
        restart_after: training steps a code may stay unused before it is moved onto a position
            drawn from the batch; 0 never moves one.
        gradient: how it passes from a code to its position. "straight" copies it; "rotation" turns
            and scales it as the position would have to be to meet the code (Fifty et al. 2024,
            arXiv 2410.06424), so that positions of one cell are pushed apart or together.
    """

    idle: Tensor  # steps since each code was used

    def __init__(
        self,
        codebook_size: int,
        code_dim: int,
        *,
        commitment: float = 0.25,
        normalised: bool = False,
        restart_after: int = 0,
        gradient: Literal["straight", "rotation"] = "straight",
    ) -> None:
        super().__init__()
        self.passed = PASSES[gradient]
        self.codebook = nn.Embedding(codebook_size, code_dim)
        nn.init.uniform_(self.codebook.weight, -1 / codebook_size, 1 / codebook_size)
        self.commitment, self.normalised, self.restart_after = commitment, normalised, restart_after
        self.register_buffer("idle", torch.zeros(codebook_size), persistent=False)

    def table(self) -> Float[Tensor, "codebook dim"]:
        weight = self.codebook.weight
        return F.normalize(weight, dim=-1) if self.normalised else weight

    def lookup(self, ids: Int[Tensor, "batch h w"]) -> Float[Tensor, "batch dim h w"]:
        return rearrange(F.embedding(ids, self.table()), "b h w d -> b d h w")

    def nearest(self, points: Float[Tensor, "n dim"]) -> Int[Tensor, "n"]:
        # Compared in float32 at least: in bfloat16 near codes would be as far as each other.
        with torch.autocast(points.device.type, enabled=False):
            precise = torch.promote_types(points.dtype, torch.float32)
            table = self.table().to(precise)
            squares = table.square().sum(1)
            return torch.addmm(squares, points.to(precise), table.t(), alpha=-2).argmin(1)

    def forward(self, z: Float[Tensor, "batch dim h w"]) -> Quantized:
        if self.normalised:
            z = F.normalize(z, dim=1)
        points = rearrange(z, "b d h w -> (b h w) d")
        ids = self.nearest(points.detach())
        grid = rearrange(ids, "(b h w) -> b h w", b=z.shape[0], h=z.shape[2])
        codes = self.lookup(grid)
        loss = F.mse_loss(codes, z.detach()) + self.commitment * F.mse_loss(z, codes.detach())
        return Quantized(self.passed(z, codes.detach()), grid.flatten(1), loss)

    @torch.no_grad()
    def restart_idle(
        self, z: Float[Tensor, "batch dim h w"], ids: Int[Tensor, "batch tokens"]
    ) -> int:
        """Count a training step; move codes that were idle too long; how many were moved.

        Processes that train together count what any of them used, and move the same codes to the
        same places; their batches are of one size.
        """
        together = dist.is_available() and dist.is_initialized()
        used = torch.zeros_like(self.idle)
        used[ids.unique()] = 1
        if together:
            dist.all_reduce(used, dist.ReduceOp.MAX)
        self.idle += 1
        self.idle[used > 0] = 0
        points = rearrange(z, "b d h w -> (b h w) d")
        dead = (self.idle > self.restart_after).nonzero().flatten()[: len(points)]
        if self.restart_after == 0 or not len(dead):
            return 0
        picks = torch.randperm(len(points), device=points.device)[: len(dead)]
        moved = points[picks].to(self.codebook.weight)
        if together:
            dist.broadcast(moved, 0)
        self.codebook.weight[dead] = moved
        self.idle[dead] = 0
        return len(dead)


def perplexity(counts: Float[Tensor, "codebook"]) -> Float[Tensor, ""]:
    """exp(entropy) of how often each code is used: between 1 and the codebook size."""
    shares = counts / counts.sum()
    return torch.special.entr(shares).sum().exp()


def psnr(
    a: Float[Tensor, "batch 3 height width"], b: Float[Tensor, "batch 3 height width"]
) -> Float[Tensor, " batch"]:
    """Peak signal-to-noise ratio of images in [-1, 1], in dB: 10 log10(4 / mean squared error)."""
    squares = (a.clamp(-1, 1) - b.clamp(-1, 1)).square().mean((1, 2, 3))
    return 10 * torch.log10(4 / squares.clamp_min(1e-10))


class Reconstruction(NamedTuple):
    images: Float[Tensor, "batch 3 height width"]  # about [-1, 1]
    latent: Float[Tensor, "batch dim h w"]  # before quantisation
    quantized: Quantized


class Tokenizer(nn.Module):
    """A VQGAN: encoder, codebook and decoder.

    Args:
        quantizer: the options of VectorQuantizer.
    """

    def __init__(self, config: VQGANConfig, **quantizer: Any) -> None:
        super().__init__()
        self.config, self.quantizer_options = config, dict(quantizer)
        self.image_size, self.tokens = config.image_size, config.tokens
        self.codebook_size = config.codebook_size
        self.encoder, self.decoder = Encoder(config), Decoder(config)
        self.to_code = nn.Conv2d(config.latent_channels, config.code_dim, 1)
        self.from_code = nn.Conv2d(config.code_dim, config.latent_channels, 1)
        self.quantizer = VectorQuantizer(config.codebook_size, config.code_dim, **quantizer)

    def latent(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch d h w"]:
        return self.to_code(self.encoder(images))

    def encode(self, images: Float[Tensor, "batch 3 height width"]) -> Int[Tensor, "batch tokens"]:
        """Ids in raster order of images in [-1, 1], of any side that is a multiple of a cell."""
        cell, (height, width) = self.config.cell, images.shape[-2:]
        if height % cell or width % cell:
            raise ValueError(
                f"An image of {width}×{height} pixels cannot be tokenized, its sides must be "
                f"multiples of {cell} pixels: resize it to {self.image_size}×{self.image_size}."
            )
        return torch.cat(
            [self.quantizer(self.latent(part)).ids for part in self._portions(images, height)]
        )

    def decode(self, ids: Int[Tensor, "batch tokens"]) -> Float[Tensor, "batch 3 side side"]:
        """Square images in [-1, 1] from ids in raster order."""
        side = round(ids.shape[1] ** 0.5)
        if side**2 != ids.shape[1]:
            raise ValueError(
                f"{ids.shape[1]} ids make no square grid: {self.tokens} make an image of "
                f"{self.image_size}×{self.image_size} pixels."
            )
        parts = []
        for part in self._portions(ids, side * self.config.cell):
            codes = self.quantizer.lookup(rearrange(part, "b (h w) -> b h w", h=side))
            parts.append(self.decoder(self.from_code(codes)).clamp(-1, 1))
        return torch.cat(parts)

    def _portions(self, batch: Tensor, side: int) -> Sequence[Tensor]:
        # In parts of `VALUES_AT_ONCE` on a CPU, whole elsewhere and for gradients.
        if batch.device.type != "cpu" or torch.is_grad_enabled() or torch.compiler.is_compiling():
            return [batch]
        values = (side // self.config.patch) ** 2 * self.config.channels
        return batch.split(max(1, VALUES_AT_ONCE // values))

    def use_winograd(self, on: bool = True) -> "Tokenizer":
        """Winograd convolutions on a CPU: half the time, less precise, see `Convolution`."""
        for module in self.modules():
            if isinstance(module, Convolution):
                module.winograd = on
        return self

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Reconstruction:
        latent = self.latent(images)
        quantized = self.quantizer(latent)
        return Reconstruction(self.decoder(self.from_code(quantized.codes)), latent, quantized)

    def describe(self) -> dict:
        """What `from_description` needs to build the same networks."""
        return {"vqgan": asdict(self.config), "quantizer": self.quantizer_options}

    @classmethod
    def from_description(cls, description: dict) -> "Tokenizer":
        return cls(VQGANConfig(**description["vqgan"]), **description["quantizer"])

    @classmethod
    def from_pretrained(
        cls, path: str | Path, device: str | torch.device = "cpu", dtype: torch.dtype | None = None
    ) -> "Tokenizer":
        """Open a bundle, a run folder, or `package:<name>` for one that comes with e2eve.

        Raises:
            ValueError: when there is no tokenizer there, or its weights do not fit.
        """
        bundle = read_bundle(path, kind="tokenizer")
        tokenizer = cls.from_description(bundle.config)
        bundle.load(tokenizer, "tokenizer")
        return tokenizer.to(device=device, dtype=dtype).eval()

    def save_pretrained(self, folder: str | Path) -> Path:
        return write_bundle(folder, "tokenizer", self.describe(), {"tokenizer": self})


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
    """L1 + L2 + perceptual + codebook, and from `adversarial_start` on a hinge PatchGAN.

    Args:
        l2_weight: of the mean squared error; None, as published: it is left out.
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
        l2_weight: float | None = None,
        perceptual_weight: float = 1.0,
        codebook_weight: float = 1.0,
        adversarial_weight: float = 0.8,
        adversarial_start: int = 0,
    ) -> None:
        super().__init__()
        self.perceptual, self.discriminator = perceptual, discriminator
        self.l2_weight = l2_weight or 0.0
        self.perceptual_weight, self.codebook_weight = perceptual_weight, codebook_weight
        self.adversarial_weight, self.adversarial_start = adversarial_weight, adversarial_start

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
        l2 = F.mse_loss(output.images, images) if self.l2_weight else zero
        perceptual = zero
        if self.perceptual is not None:
            perceptual = self.perceptual(output.images, images).mean()
        reconstruction = l1 + self.l2_weight * l2 + self.perceptual_weight * perceptual
        codebook = output.quantized.loss
        loss = reconstruction + self.codebook_weight * codebook
        adversarial, weight = zero, zero
        if self.adversarial_on(step):
            adversarial = -self._scores(output.images).mean()
            weight = self.adversarial_weight * adaptive_weight(
                reconstruction, adversarial, last_weight
            )
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
