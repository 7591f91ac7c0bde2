"""The convolutional encoder and decoder of a VQGAN.

Follows Esser et al., "Taming Transformers for High-Resolution Image Synthesis" (CVPR 2021), with
two additions for networks that must be small and local, both off in the published settings:

* `patch` > 1 folds patch × patch pixels into channels before the first level, so that no
  convolution runs at full resolution;
* `norm="channel"` normalises each position by itself. GroupNorm takes its statistics over the whole
  picture, so that blanking a region changes the codes of every cell; with "channel" and without
  attention a code depends on its neighbourhood only.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from e2eve.tokenizers.convolution import Convolution


@dataclass(frozen=True)
class VQGANConfig:
    """Shape of a tokenizer's networks; the defaults are the published 256-pixel setting."""

    image_size: int = 256  # side in pixels
    channels: int = 128  # width of the first level
    multipliers: Sequence[int] = (1, 1, 2, 2, 4)  # width of each level, times `channels`
    residual_blocks: int = 2  # per level; the decoder has one more
    attention_levels: int = 1  # coarsest levels whose blocks have self-attention
    middle: bool = True  # residual–attention–residual at the coarsest level
    patch: int = 1  # pixels a side folded into channels first
    norm: str = "group"  # "group" (published) or "channel"
    latent_channels: int = 256  # channels between encoder and code
    code_dim: int = 256  # length of a code
    codebook_size: int = 1024

    def __post_init__(self) -> None:
        object.__setattr__(self, "multipliers", tuple(self.multipliers))
        if self.image_size % self.cell or self.image_size < self.cell:
            raise ValueError(
                f"image_size {self.image_size} is no multiple of {self.cell} pixels, the side of a "
                f"token's cell at patch {self.patch} and {len(self.multipliers)} levels: choose a "
                "multiple, or fewer levels."
            )
        if self.norm not in ("group", "channel"):
            raise ValueError(f'norm is "{self.norm}": use "group" (published) or "channel".')

    @property
    def cell(self) -> int:
        """Pixels a side that one token covers."""
        return self.patch * 2 ** (len(self.multipliers) - 1)

    @property
    def grid(self) -> int:
        """Tokens a side."""
        return self.image_size // self.cell

    @property
    def tokens(self) -> int:
        return self.grid**2

    def attends(self) -> list[bool]:
        """Which levels have self-attention, finest first."""
        levels = len(self.multipliers)
        return [level >= levels - self.attention_levels for level in range(levels)]


class ChannelNorm(nn.Module):
    """Root-mean-square normalisation over the channels of each position (Zhang & Sennrich 2019)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))

    def forward(self, x: Float[Tensor, "batch c h w"]) -> Float[Tensor, "batch c h w"]:
        return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-6) * self.weight


def normalisation(kind: str, channels: int) -> nn.Module:
    if kind == "channel":
        return ChannelNorm(channels)
    return nn.GroupNorm(math.gcd(32, channels), channels, eps=1e-6)


def activated(x: Float[Tensor, "batch c h w"]) -> Float[Tensor, "batch c h w"]:
    """SiLU of a tensor that nobody else holds: in place where no gradient needs it."""
    return F.silu(x, inplace=not torch.is_grad_enabled())


class ResidualBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, norm: str) -> None:
        super().__init__()
        self.norm1 = normalisation(norm, inputs)
        self.conv1 = Convolution(inputs, outputs)
        self.norm2 = normalisation(norm, outputs)
        self.conv2 = Convolution(outputs, outputs)
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Float[Tensor, "batch c h w"]) -> Float[Tensor, "batch d h w"]:
        # One name throughout, so that no more than two tensors of this size wait beside x.
        h = self.norm1(x)
        h = activated(h)
        h = self.conv1(h)
        h = self.norm2(h)
        h = activated(h)
        h = self.conv2(h)
        x = self.shortcut(x)
        return x + h if torch.is_grad_enabled() else h.add_(x)


class Attention(nn.Module):
    """Single-head self-attention over all positions."""

    def __init__(self, channels: int, norm: str) -> None:
        super().__init__()
        self.norm = normalisation(norm, channels)
        self.query, self.key, self.value, self.out = (
            nn.Conv2d(channels, channels, 1) for _ in range(4)
        )

    def forward(self, x: Float[Tensor, "batch c h w"]) -> Float[Tensor, "batch c h w"]:
        h = self.norm(x)
        q, k, v = (
            rearrange(part(h), "b c h w -> b 1 (h w) c")
            for part in (self.query, self.key, self.value)
        )
        mixed = F.scaled_dot_product_attention(q, k, v)
        return x + self.out(rearrange(mixed, "b 1 (h w) c -> b c h w", h=x.shape[2]))


class Downsample(nn.Module):
    """Halves the side; pads right and bottom only, as the published networks do."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Float[Tensor, "batch c h w"]) -> Float[Tensor, "batch c h2 w2"]:
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = Convolution(channels, channels)

    def forward(self, x: Float[Tensor, "batch c h w"]) -> Float[Tensor, "batch c h2 w2"]:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Level(nn.Module):
    """Residual blocks at one resolution, each followed by attention where asked for."""

    def __init__(self, widths: list[int], attention: bool, norm: str) -> None:
        super().__init__()
        pairs = list(itertools.pairwise(widths))
        self.blocks = nn.ModuleList(ResidualBlock(a, b, norm) for a, b in pairs)
        self.attentions = nn.ModuleList(Attention(b, norm) for _, b in pairs if attention)

    def forward(self, x: Float[Tensor, "batch c h w"]) -> Float[Tensor, "batch d h w"]:
        for index, block in enumerate(self.blocks):
            x = block(x)
            if self.attentions:
                x = self.attentions[index](x)
        return x


def middle(channels: int, config: VQGANConfig) -> nn.Sequential:
    if not config.middle:
        return nn.Sequential()
    return nn.Sequential(
        ResidualBlock(channels, channels, config.norm),
        Attention(channels, config.norm),
        ResidualBlock(channels, channels, config.norm),
    )


class Encoder(nn.Module):
    """Pictures in [-1, 1] to features before quantisation."""

    def __init__(self, config: VQGANConfig) -> None:
        super().__init__()
        widths = [config.channels * m for m in config.multipliers]
        self.patch = config.patch
        self.stem = nn.Conv2d(3 * config.patch**2, config.channels, 3, padding=1)
        self.levels, self.downsamples = nn.ModuleList(), nn.ModuleList()
        previous = config.channels
        for width, attends in zip(widths, config.attends(), strict=True):
            inner = [previous] + [width] * config.residual_blocks
            self.levels.append(Level(inner, attends, config.norm))
            previous = width
        self.downsamples.extend(Downsample(width) for width in widths[:-1])
        self.middle = middle(previous, config)
        self.norm = normalisation(config.norm, previous)
        self.head = nn.Conv2d(previous, config.latent_channels, 3, padding=1)

    def forward(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch c h w"]:
        x = self.stem(F.pixel_unshuffle(images, self.patch) if self.patch > 1 else images)
        for index, level in enumerate(self.levels):
            x = level(x)
            if index < len(self.downsamples):
                x = self.downsamples[index](x)
        return self.head(activated(self.norm(self.middle(x))))


class Decoder(nn.Module):
    """Quantised features to pictures, about [-1, 1] (not clamped); the encoder's mirror."""

    def __init__(self, config: VQGANConfig) -> None:
        super().__init__()
        widths = [config.channels * m for m in config.multipliers][::-1]
        self.patch = config.patch
        self.stem = nn.Conv2d(config.latent_channels, widths[0], 3, padding=1)
        self.middle = middle(widths[0], config)
        self.levels, self.upsamples = nn.ModuleList(), nn.ModuleList()
        previous = widths[0]
        for width, attends in zip(widths, config.attends()[::-1], strict=True):
            inner = [previous] + [width] * (config.residual_blocks + 1)
            self.levels.append(Level(inner, attends, config.norm))
            previous = width
        self.upsamples.extend(Upsample(width) for width in widths[:-1])
        self.norm = normalisation(config.norm, previous)
        self.head = nn.Conv2d(previous, 3 * config.patch**2, 3, padding=1)

    @property
    def last_weight(self) -> Tensor:
        """Where the adaptive weight of the adversarial loss compares gradients."""
        return self.head.weight

    def forward(self, codes: Float[Tensor, "batch c h w"]) -> Float[Tensor, "batch 3 height width"]:
        x = self.middle(self.stem(codes))
        for index, level in enumerate(self.levels):
            x = level(x)
            if index < len(self.upsamples):
                x = self.upsamples[index](x)
        images = self.head(activated(self.norm(x)))
        return F.pixel_shuffle(images, self.patch) if self.patch > 1 else images
