"""A perceptual distance as a feature vector: for finding like pictures, region by region."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from e2eve.features.base import FeatureExtractor, PerceptualDistance

GRID = 2
SIDE = 32


class PooledMaps(FeatureExtractor):
    """The maps of a perceptual distance, averaged in GRID x GRID parts of the picture.

    The squared Euclidean distance of two vectors is the perceptual distance of maps that coarse.
    These features see colours and textures and roughly where they are, and so find a driver again
    after a tokenizer has touched it, which features pooled at the end of a classifier do not.
    Pictures are first resized to SIDE x SIDE pixels.
    """

    def __init__(self, perceptual: PerceptualDistance) -> None:
        super().__init__()
        self.perceptual = perceptual
        self.name = maps_name(perceptual.name)
        self.frechet_name = f"Fréchet distance ({self.name})"
        device = next((buffer.device for buffer in perceptual.buffers()), None)
        self.dim = self(torch.zeros(1, 3, SIDE, SIDE, device=device)).shape[1]

    @torch.no_grad()
    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch dim"]:
        with torch.autocast(images.device.type, enabled=False):
            small = functional.interpolate(
                images.float(), (SIDE, SIDE), mode="bilinear", antialias=True
            )
            pooled = [
                functional.adaptive_avg_pool2d(values, GRID) / GRID
                for values in self.perceptual.maps(small)
            ]
        return rearrange(torch.cat(pooled, 1), "b c h w -> b (c h w)")


def maps_name(perceptual: str) -> str:
    """What the features of a perceptual distance's maps are called."""
    return f"{perceptual}_maps"
