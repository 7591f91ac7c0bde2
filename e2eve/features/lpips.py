"""LPIPS: Zhang et al. 2018, "The Unreasonable Effectiveness of Deep Features" (arXiv 1801.03924).

VGG-16 from torchvision, the learned channel weights (version 0.1) from the package `lpips`. That
package's own network is not used: it downloads without asking, drops out channels whenever a
module that holds it is told to train, and has no finite gradient where all channels are zero.
"""

from importlib.util import find_spec
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from e2eve.features.frozen import (
    PerceptualDistance,
    freeze,
    load_strictly,
    read_weights,
    unit_channels,
    weights_path,
)

VGG_URL = "https://download.pytorch.org/models/vgg16-397923af.pth"
LAST_LAYERS = (3, 8, 15, 22, 29)  # relu1_2, relu2_2, relu3_3, relu4_3, relu5_3
SMALLEST_SIDE = 16  # pixels: four poolings


class LpipsVgg(PerceptualDistance):
    """Images of at least 16 × 16 pixels."""

    name = "lpips_vgg"
    shift: Tensor
    spread: Tensor

    def __init__(self, weights: str | Path | None = None) -> None:
        super().__init__()
        self.layers = load_vgg(weights)
        for number, weight in enumerate(_channel_weights()):
            self.register_buffer(f"weight{number}", weight, persistent=False)
        shift, spread = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of ImageNet in [-1, 1]
        self.register_buffer("shift", torch.tensor(shift).view(3, 1, 1), persistent=False)
        self.register_buffer("spread", torch.tensor(spread).view(3, 1, 1), persistent=False)

    def maps(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> list[Float[Tensor, "batch _channels _height _width"]]:
        if min(images.shape[-2:]) < SMALLEST_SIDE:
            raise ValueError(
                f"LPIPS needs images of {SMALLEST_SIDE} pixels or more per side, these have "
                f"{min(images.shape[-2:])}: enlarge them or use efficientnet_lite0."
            )
        maps: list[Tensor] = []
        hidden = (images - self.shift) / self.spread
        for number, layer in enumerate(self.layers):
            hidden = layer(hidden)
            if number in LAST_LAYERS:
                maps.append(unit_channels(hidden, getattr(self, f"weight{len(maps)}")))
        return maps


def load_vgg(weights: str | Path | None) -> nn.Sequential:
    """Frozen convolutions of torchvision's VGG-16, up to relu5_3."""
    from torchvision.models.vgg import cfgs, make_layers

    path = weights_path(weights, VGG_URL, "LPIPS-VGG")
    layers = make_layers(cfgs["D"], batch_norm=False)
    prefix = "features."
    state = read_weights(path)
    state = {name.removeprefix(prefix): state[name] for name in state if name.startswith(prefix)}
    load_strictly(layers, state, path)
    return freeze(layers[: LAST_LAYERS[-1] + 1])


def _channel_weights() -> list[Float[Tensor, "_channels 1 1"]]:
    """How much each channel counts, learned from human judgements; one tensor a map, none < 0."""
    package = find_spec("lpips")
    assert package and package.origin  # it is installed with e2eve
    state = read_weights(Path(package.origin).parent / "weights" / "v0.1" / "vgg.pth")
    return [state[f"lin{i}.model.1.weight"][0] for i in range(len(LAST_LAYERS))]
