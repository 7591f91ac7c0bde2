"""Tokenizer: images to ids and back, by vector quantisation (van den Oord et al. 2017)."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from e2eve.bundle import read_bundle, write_bundle
from e2eve.limits import NonNegative, Weight
from e2eve.tokenizers.vqgan import Convolution, Decoder, Encoder, Surroundings, VQGANConfig

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
        commitment: Weight = 0.25,
        normalised: bool = False,
        restart_after: NonNegative = 0,
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
        """Ids in raster order of images in [-1, 1], of any side that is a multiple of a cell.

        Mixed precision is not for ids: an editor is asked with those that it was trained on.
        """
        cell, (height, width) = self.config.cell, images.shape[-2:]
        if height % cell or width % cell:
            raise ValueError(
                f"An image of {width}×{height} pixels cannot be tokenized, its sides must be "
                f"multiples of {cell} pixels: resize it to {self.image_size}×{self.image_size}."
            )
        with torch.autocast(images.device.type, enabled=False):
            parts = [
                self.quantizer(self.latent(part)).ids for part in self._portions(images, height)
            ]
        return torch.cat(parts)

    @property
    def sees_source(self) -> bool:
        """Whether `decode` makes use of sources and regions."""
        return self.config.decoder == "source"

    def decode(
        self,
        ids: Int[Tensor, "batch tokens"],
        sources: Float[Tensor, "_batch 3 _side _side"] | None = None,
        regions: Bool[Tensor, "_batch 1 _side _side"] | None = None,
    ) -> Float[Tensor, "batch 3 side side"]:
        """Square images in [-1, 1] from ids in raster order.

        Args:
            sources, regions: both or none: what the edits that the ids stand for are pasted into.
                A decoder that sees the source (`decoder="source"`) goes on from what lies outside
                the regions; another makes nothing of them.

        Raises:
            ValueError: when the ids make no square, or sources and regions are not of their size.
        """
        side = round(ids.shape[1] ** 0.5)
        if side**2 != ids.shape[1]:
            raise ValueError(
                f"{ids.shape[1]} ids make no square grid: {self.tokens} make an image of "
                f"{self.image_size}×{self.image_size} pixels."
            )
        pixels = side * self.config.cell
        portions = self._portions(ids, pixels)
        given: Iterable[Surroundings | None] = [None] * len(portions)
        if sources is not None or regions is not None:
            checked = checked_surroundings(sources, regions, len(ids), pixels)
            given = map(Surroundings, *(self._portions(each, pixels) for each in checked))
        parts = []
        for part, around in zip(portions, given, strict=True):
            codes = self.quantizer.lookup(rearrange(part, "b (h w) -> b h w", h=side))
            parts.append(self.decoder(self.from_code(codes), around).clamp(-1, 1))
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

    def forward(
        self,
        images: Float[Tensor, "batch 3 height width"],
        regions: Bool[Tensor, "batch 1 height width"] | None = None,
    ) -> Reconstruction:
        """With regions, the decoder may see the images outside them."""
        latent = self.latent(images)
        quantized = self.quantizer(latent)
        given = None if regions is None else Surroundings(images, regions)
        decoded = self.decoder(self.from_code(quantized.codes), given)
        return Reconstruction(decoded, latent, quantized)

    def with_decoder(self, decoder: str, image_size: int) -> "Tokenizer":
        """Another tokenizer of the same weights; those that only its decoder has are random."""
        config = replace(self.config, decoder=decoder, image_size=image_size)
        made = type(self)(config, **self.quantizer_options)
        weights, own = self.state_dict(), made.state_dict()
        made.load_state_dict({name: weights.get(name, value) for name, value in own.items()})
        return made.to(next(self.parameters())).train(self.training)

    def check_encodes_as(self, other: "Tokenizer") -> None:
        """Raises ValueError where encoder or codebook are not the other's."""
        alike = replace(self.config, decoder=other.config.decoder) == other.config
        alike = alike and self.quantizer.normalised == other.quantizer.normalised
        own, others = self.state_dict(), other.state_dict()
        read = [name for name in own if not name.startswith(("decoder.", "from_code."))]
        if not (alike and all(torch.equal(own[n], others[n].to(own[n])) for n in read)):
            raise ValueError(
                "The decoder belongs to another tokenizer, whose ids mean something else: give one "
                "that task=decoder has trained with init_from=<the tokenizer of the ids>."
            )

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


def checked_surroundings(
    sources: Tensor | None, regions: Tensor | None, count: int, side: int
) -> Surroundings:
    """Both of them; raises ValueError where one is missing or they are not of that many pixels."""
    shapes = [None if each is None else tuple(each.shape) for each in (sources, regions)]
    wanted = [(count, channels, side, side) for channels in (3, 1)]
    if sources is None or regions is None or shapes != wanted:
        raise ValueError(
            f"Sources and regions have the shapes {shapes[0]} and {shapes[1]}: give {wanted[0]} "
            f"and {wanted[1]} for these ids, or neither."
        )
    return Surroundings(sources, regions)
