"""The PatchGAN discriminator (Isola et al., "Image-to-Image Translation…", CVPR 2017)."""

import itertools

from jaxtyping import Float
from torch import Tensor, nn


class PatchDiscriminator(nn.Module):
    """A score for each overlapping patch of a picture: high for real, low for reconstructed.

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
