"""What every feature extractor and every perceptual distance is."""

from abc import abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from e2eve.features.frozen import Frozen


class FeatureExtractor(Frozen):
    """One vector per image, for comparing sets of images and for finding like ones.

    Attributes:
        name: what `build_extractor` calls it.
        dim: length of a feature vector.
        frechet_name: what a Fréchet distance of these features may be called; "FID" stands for
            Inception-v3 and nothing else.
    """

    name: str
    dim: int
    frechet_name: str

    @abstractmethod
    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch dim"]:
        """Features of images in [-1, 1] of any size; no gradient."""


class PerceptualDistance(Frozen):
    """Distance of images as a network sees them: zero for equal images, symmetric, unbounded.

    Attributes:
        name: what `build_perceptual` calls it.
    """

    name: str

    @abstractmethod
    def maps(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> list[Float[Tensor, "batch _channels _height _width"]]:
        """Maps whose squared difference is the distance; images are in [-1, 1].

        Channels have unit length at each position and are then scaled by the square root of their
        weight. The maps get smaller in height and width from first to last.
        """

    def forward(
        self, a: Float[Tensor, "batch 3 height width"], b: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, " batch"]:
        """Sum over maps of mean over positions of squared distance; differentiable."""
        pairs = zip(self.maps(a), self.maps(b), strict=True)
        squares = (functional.mse_loss(x, y, reduction="none") for x, y in pairs)
        return torch.stack([square.sum(1).mean((1, 2)) for square in squares]).sum(0)


def unit_channels(
    maps: Float[Tensor, "batch channels height width"],
    weight: float | Float[Tensor, "channels 1 1"],
) -> Float[Tensor, "batch channels height width"]:
    """Unit length at each position, then times √weight; in float32, and zero stays zero."""
    maps = maps.float()
    return maps * ((maps.square().sum(1, keepdim=True) + 1e-20).rsqrt() * weight**0.5)
