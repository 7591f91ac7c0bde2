"""The convolutional encoder and decoder of a VQGAN.

Follows Esser et al., "Taming Transformers for High-Resolution Image Synthesis" (CVPR 2021), with
additions for networks that must be small, local and sharp, all off in the published settings:

* `patch` > 1 folds patch × patch pixels into channels before the first level, so that no
  convolution runs at full resolution;
* `norm="channel"` normalises each position by itself. GroupNorm takes its statistics over the whole
  image, so that filling a region changes the codes of every cell; with "channel" and without
  attention a code depends on its neighbourhood only;
* `pixel_channels` > 0 ends the decoder with a 3 × 3 convolution between single pixels, across the
  borders of folded ones;
* `decoder="source"` shows the decoder the source outside an edit's region: Zhu et al., "Designing a
  Better Asymmetric VQGAN for StableDiffusion" (2023, arXiv 2306.04632). Ids do not depend on it.
"""

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from e2eve.limits import Codes, Pixels, Width

Levels = Annotated[int, Field(ge=0, le=64)]
Multipliers = Annotated[
    Sequence[Annotated[int, Field(ge=1, le=64)]], Field(min_length=1, max_length=12)
]


@dataclass(frozen=True)
class VQGANConfig:
    """Shape of a tokenizer's networks; the defaults are the published 256-pixel setting."""

    image_size: Pixels = 256  # side in pixels
    channels: Width = 128  # width of the first level
    multipliers: Annotated[
        Sequence[Annotated[int, Field(ge=1, le=64)]], Field(min_length=1, max_length=12)
    ] = (1, 1, 2, 2, 4)  # width of each level, times `channels`
    residual_blocks: Levels = 2  # per level; the decoder has one more
    attention_levels: Levels = 1  # coarsest levels whose blocks have self-attention
    middle: bool = True  # residual–attention–residual at the coarsest level
    patch: Pixels = 1  # pixels per side that are folded into channels first
    norm: str = "group"  # "group" (published) or "channel"
    latent_channels: Width = 256  # channels between encoder and code
    code_dim: Width = 256  # length of a code
    codebook_size: Codes = 1024
    pixel_channels: Annotated[int, Field(ge=0, le=65_536)] = (
        0  # at full resolution; 0: no such layer
    )
    decoder: str = "plain"  # "plain" (published), or "source": it may see what surrounds a region

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
        if self.decoder not in ("plain", "source"):
            raise ValueError(f'decoder is "{self.decoder}": use "plain" (published) or "source".')

    @property
    def cell(self) -> int:
        """Pixels per side that one token covers."""
        return self.patch * 2 ** (len(self.multipliers) - 1)

    @property
    def grid(self) -> int:
        """Tokens per side."""
        return self.image_size // self.cell

    @property
    def tokens(self) -> int:
        return self.grid**2

    def attends(self) -> list[bool]:
        """Which levels have self-attention, finest first."""
        coarseness = reversed(range(len(self.multipliers)))
        return [level < self.attention_levels for level in coarseness]


WINOGRAD_ROWS = 66  # computed at once: tiles of 6 × 6 outputs whose transforms fit the cache
LEAST_CHANNELS = 64  # below, transforming the tiles costs more than it saves
LEAST_PIXELS = 32 * 32  # below, transforming the weights does


class Convolution(nn.Conv2d):
    """A 3 × 3 convolution that keeps the size of its image.

    Winograd's minimal filtering needs 64 multiplications for 6 × 6 outputs where the definition
    needs 324 (Lavin and Gray 2016, arXiv 1509.09308). PyTorch comes with NNPACK for it, and does
    not use it by itself where oneDNN is there too. It rounds about five times as much in float32:
    features of the published network change by 1.5e-5 of their size, so it has to be asked for.

    Attributes:
        winograd: whether it is used where it is faster: on a CPU, in float32, without gradients.
    """

    winograd = False

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1)

    def forward(self, x: Float[Tensor, "batch c h w"]) -> Float[Tensor, "batch d h w"]:
        wide = min(self.in_channels, self.out_channels) >= LEAST_CHANNELS
        large = x.shape[-2] * x.shape[-1] >= LEAST_PIXELS
        fits = x.device.type == "cpu" and x.dtype == self.weight.dtype == torch.float32
        reads = torch.is_grad_enabled() or torch.is_autocast_enabled("cpu")
        if self.winograd and wide and large and fits and not reads and winograd_available():
            return winograd(x, self.weight, self.bias)
        return super().forward(x)


# Whether this machine and this PyTorch have NNPACK; starts it.
winograd_available = functools.cache(torch.backends.nnpack.is_available)


def winograd(
    x: Float[Tensor, "batch c h w"],
    weight: Float[Tensor, "d c 3 3"],
    bias: Float[Tensor, " d"] | None,
) -> Float[Tensor, "batch d h w"]:
    """`conv2d` with one pixel of padding, image by image, in bands that bound the memory."""
    height = x.shape[2]
    out = x.new_empty(len(x), len(weight), height, x.shape[3])
    for image, place in zip(x.split(1), out.split(1), strict=True):
        for top in range(0, height, WINOGRAD_ROWS):
            bottom = min(height, top + WINOGRAD_ROWS)
            above, below = int(top == 0), int(bottom == height)  # rows of padding
            band = F.pad(image[:, :, top - 1 + above : bottom + 1 - below], (0, 0, above, below))
            place[:, :, top:bottom] = torch._nnpack_spatial_convolution(
                band, weight, bias, (0, 1), (1, 1)
            )
    return out


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
        h = self.conv1(activated(self.norm1(x)))
        h = self.norm2(h)
        h = self.conv2(activated(h))
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
        for block, attention in _paired(self.blocks, self.attentions):
            x = attention(block(x))
        return x


def _paired(layers: nn.ModuleList, after: nn.ModuleList) -> Iterator[tuple[nn.Module, nn.Module]]:
    # The identity follows where `after` is shorter.
    return itertools.zip_longest(layers, after, fillvalue=nn.Identity())


def pyramid(
    widths: Sequence[int], blocks: int, attention: Sequence[bool], norm: str
) -> nn.ModuleList:
    """A level for each width but the first, which is that of the input."""
    steps = zip(itertools.pairwise(widths), attention, strict=True)
    return nn.ModuleList(Level([a] + [b] * blocks, attends, norm) for (a, b), attends in steps)


def middle(channels: int, config: VQGANConfig) -> nn.Sequential:
    if not config.middle:
        return nn.Sequential()
    return nn.Sequential(
        ResidualBlock(channels, channels, config.norm),
        Attention(channels, config.norm),
        ResidualBlock(channels, channels, config.norm),
    )


class Encoder(nn.Module):
    """Images in [-1, 1] to features before quantisation."""

    def __init__(self, config: VQGANConfig) -> None:
        super().__init__()
        widths = [config.channels * m for m in config.multipliers]
        self.patch = config.patch
        self.stem = nn.Conv2d(3 * config.patch**2, config.channels, 3, padding=1)
        self.levels = pyramid(
            [config.channels, *widths], config.residual_blocks, config.attends(), config.norm
        )
        self.downsamples = nn.ModuleList(Downsample(width) for width in widths[:-1])
        self.middle = middle(widths[-1], config)
        self.norm = normalisation(config.norm, widths[-1])
        self.head = nn.Conv2d(widths[-1], config.latent_channels, 3, padding=1)

    def forward(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch c h w"]:
        x = self.stem(F.pixel_unshuffle(images, self.patch) if self.patch > 1 else images)
        for level, downsample in _paired(self.levels, self.downsamples):
            x = downsample(level(x))
        return self.head(activated(self.norm(self.middle(x))))


class Surroundings(NamedTuple):
    """Edits' sources in [-1, 1] and their regions; nothing inside the regions is read."""

    sources: Float[Tensor, "batch 3 height width"]
    regions: Bool[Tensor, "batch 1 height width"]  # True where to edit


class Known(NamedTuple):
    """What a decoder's features h become outside a region: h + change."""

    change: Float[Tensor, "batch c h w"]
    outside: Float[Tensor, "batch 1 h w"]  # share of each position that lies outside


def informed(x: Float[Tensor, "batch c h w"], known: Known | None) -> Float[Tensor, "batch c h w"]:
    """x · m + (x + change) · (1 - m), with m the share inside; x itself where nothing is known."""
    return x if known is None else x + known.change * known.outside


class SourceFeatures(nn.Module):
    """Strided convolutions of masked source and mask, with a residual block at each level.

    What they change is nothing at first: a trained decoder that starts to see goes on as it was.
    """

    def __init__(self, config: VQGANConfig) -> None:
        super().__init__()
        widths = [config.channels * m for m in config.multipliers]
        self.patch = config.patch
        self.stem = nn.Conv2d(4 * config.patch**2, widths[0], 3, padding=1)
        self.blocks = nn.ModuleList(ResidualBlock(width, width, config.norm) for width in widths)
        self.downsamples = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in itertools.pairwise(widths)
        )
        coarser = [*widths[1:], widths[-1]]  # what a level of the decoder is given
        self.heads = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in zip(widths, coarser, strict=True))
        if config.pixel_channels:
            self.heads.insert(0, nn.Conv2d(4, config.pixel_channels, 3, padding=1))
        for value in self.heads.parameters():
            nn.init.zeros_(value)

    def forward(self, given: Surroundings) -> list[Known]:
        """For each level, coarsest first, and for the layer between single pixels."""
        outside = (~given.regions).to(given.sources.dtype)
        seen = torch.cat([given.sources.masked_fill(given.regions, 0), outside], 1)
        x = self.stem(F.pixel_unshuffle(seen, self.patch) if self.patch > 1 else seen)
        found = [seen] if len(self.heads) > len(self.blocks) else []
        for block, downsample in _paired(self.blocks, self.downsamples):
            found.append(block(x))
            x = downsample(found[-1])
        changes = [head(each) for head, each in zip(self.heads, found, strict=True)]
        shapes = ((each, (each.shape[2], each.shape[3])) for each in changes[::-1])
        return [Known(each, F.adaptive_avg_pool2d(outside, shape)) for each, shape in shapes]


class Decoder(nn.Module):
    """Quantised features to images, about [-1, 1] (not clamped); the encoder's mirror."""

    def __init__(self, config: VQGANConfig) -> None:
        super().__init__()
        widths = [config.channels * m for m in config.multipliers][::-1]
        self.patch = config.patch
        self.stem = nn.Conv2d(config.latent_channels, widths[0], 3, padding=1)
        self.middle = middle(widths[0], config)
        self.levels = pyramid(
            [widths[0], *widths], config.residual_blocks + 1, config.attends()[::-1], config.norm
        )
        self.upsamples = nn.ModuleList(Upsample(width) for width in widths[:-1])
        self.norm = normalisation(config.norm, widths[-1])
        colours = config.pixel_channels or 3
        self.head = nn.Conv2d(widths[-1], colours * config.patch**2, 3, padding=1)
        self.pixels = nn.Conv2d(colours, 3, 3, padding=1) if config.pixel_channels else None
        self.source = SourceFeatures(config) if config.decoder == "source" else None

    @property
    def last_weight(self) -> Tensor:
        """Where the adaptive weight of the adversarial loss compares gradients."""
        return (self.pixels or self.head).weight

    def forward(
        self, codes: Float[Tensor, "batch c h w"], given: Surroundings | None = None
    ) -> Float[Tensor, "batch 3 height width"]:
        """Surroundings change nothing where the decoder is plain or the region the whole image."""
        known = iter(self.source(given) if self.source is not None and given is not None else [])
        x = self.middle(self.stem(codes))
        for level, upsample in _paired(self.levels, self.upsamples):
            x = upsample(level(informed(x, next(known, None))))
        x = self.head(activated(self.norm(x)))
        x = F.pixel_shuffle(x, self.patch) if self.patch > 1 else x
        return x if self.pixels is None else self.pixels(activated(informed(x, next(known, None))))
