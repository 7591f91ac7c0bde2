"""3 × 3 convolutions, and a coarser way to compute them that halves their time on a CPU.

Winograd's minimal filtering needs 64 multiplications for 6 × 6 outputs where the definition needs
324 (Lavin and Gray 2016, arXiv 1509.09308). PyTorch comes with NNPACK for it, and does not use it
by itself where oneDNN is there too. Its float32 rounds about five times as coarsely: features of
the published network change by 1.5e-5 of their size, so it has to be asked for.
"""

import functools

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

ROWS = 66  # computed at once: tiles of 6 × 6 outputs whose transforms fit the cache
LEAST_CHANNELS = 64  # below, transforming the tiles costs more than it saves
LEAST_PIXELS = 32 * 32  # below, transforming the weights does


class Convolution(nn.Conv2d):
    """A 3 × 3 convolution that keeps the size of its picture.

    Attributes:
        coarse: whether Winograd's filtering is used where it is faster: on a CPU, in float32,
            without gradients.
    """

    coarse = False

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1)

    def forward(self, x: Float[Tensor, "batch c h w"]) -> Float[Tensor, "batch d h w"]:
        if self.coarse and self._pays(x):
            return winograd(x, self.weight, self.bias)
        return super().forward(x)

    def _pays(self, x: Tensor) -> bool:
        wide = min(self.in_channels, self.out_channels) >= LEAST_CHANNELS
        large = x.shape[-2] * x.shape[-1] >= LEAST_PIXELS
        fits = x.device.type == "cpu" and x.dtype == self.weight.dtype == torch.float32
        reads = torch.is_grad_enabled() or torch.is_autocast_enabled("cpu")
        return wide and large and fits and not reads and winograd_available()


@functools.cache
def winograd_available() -> bool:
    """Whether this machine and this PyTorch have NNPACK; starts it."""
    return torch.backends.nnpack.is_available()


def winograd(
    x: Float[Tensor, "batch c h w"],
    weight: Float[Tensor, "d c 3 3"],
    bias: Float[Tensor, " d"] | None,
) -> Float[Tensor, "batch d h w"]:
    """`conv2d` with one pixel of padding, picture by picture, in bands that bound the memory."""
    height = x.shape[2]
    out = x.new_empty(len(x), len(weight), height, x.shape[3])
    for image, place in zip(x.split(1), out.split(1), strict=True):
        for top in range(0, height, ROWS):
            bottom = min(height, top + ROWS)
            above, below = int(top == 0), int(bottom == height)  # rows of padding
            band = F.pad(image[:, :, top - 1 + above : bottom + 1 - below], (0, 0, above, below))
            place[:, :, top:bottom] = torch._nnpack_spatial_convolution(
                band, weight, bias, (0, 1), (1, 1)
            )
    return out
