"""Tokenizer: images to ids and back."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from e2eve.bundle import read_bundle, write_bundle
from e2eve.tokenizers.quantizer import Quantized, VectorQuantizer
from e2eve.tokenizers.vqgan import Convolution, Decoder, Encoder, VQGANConfig

VALUES_AT_ONCE = 2**23
"""Values of an activation that a CPU holds at once, 32 MB: more only takes more memory."""


class Reconstruction(NamedTuple):
    images: Float[Tensor, "batch 3 height width"]  # about [-1, 1]
    latent: Float[Tensor, "batch dim h w"]  # before quantisation
    quantized: Quantized


class Tokenizer(nn.Module):
    """A VQGAN: encoder, codebook and decoder."""

    def __init__(self, config: VQGANConfig, **quantizer: Any) -> None:
        """`quantizer` holds the options of VectorQuantizer."""
        super().__init__()
        self.config = config
        self.quantizer_options = dict(quantizer)
        self.encoder, self.decoder = Encoder(config), Decoder(config)
        self.to_code = nn.Conv2d(config.latent_channels, config.code_dim, 1)
        self.from_code = nn.Conv2d(config.code_dim, config.latent_channels, 1)
        self.quantizer = VectorQuantizer(config.codebook_size, config.code_dim, **quantizer)

    @property
    def image_size(self) -> int:
        return self.config.image_size

    @property
    def tokens(self) -> int:
        return self.config.tokens

    @property
    def codebook_size(self) -> int:
        return self.config.codebook_size

    def latent(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch d h w"]:
        """Features before quantisation."""
        return self.to_code(self.encoder(images))

    def encode(self, images: Float[Tensor, "batch 3 height width"]) -> Int[Tensor, "batch tokens"]:
        """Ids in raster order of images in [-1, 1], of any side that is a multiple of a cell."""
        cell, (height, width) = self.config.cell, images.shape[-2:]
        if height % cell or width % cell:
            raise ValueError(
                f"An image of {width}×{height} pixels cannot be tokenized, its sides must be "
                f"multiples of {cell} pixels: resize it to {self.image_size}×{self.image_size}."
            )
        parts = [self.quantizer(self.latent(part)).ids for part in self._portions(images, height)]
        return torch.cat(parts)

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
        """The batch in parts of `VALUES_AT_ONCE` on a CPU, whole elsewhere and for gradients."""
        if batch.device.type != "cpu" or torch.is_grad_enabled() or torch.compiler.is_compiling():
            return [batch]
        values = (side // self.config.patch) ** 2 * self.config.channels
        return batch.split(max(1, VALUES_AT_ONCE // values))

    def use_winograd(self, on: bool = True) -> "Tokenizer":
        """Let a CPU round coarsely, in half the time; see `Convolution`."""
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
        """Write config.yaml and tokenizer.safetensors."""
        return write_bundle(folder, "tokenizer", self.describe(), {"tokenizer": self})
