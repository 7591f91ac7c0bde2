"""Frozen networks: feature extractors, perceptual distances, and features of many boxes at once.

Weights are those of published networks: from a path, or downloaded once into torch's cache.
"""

from abc import abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from pickle import UnpicklingError
from typing import TypeVar

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from e2eve.data.images import to_tensor
from e2eve.geometry import Box

Network = TypeVar("Network", bound=nn.Module)

GRID, SIDE = 2, 32  # of PooledMaps: parts per side, and pixels per side of what it reads
FEATURES_AT_ONCE = 16  # images an extractor reads: with 64, a CPU takes twice as long for each


@dataclass(frozen=True)
class Preprocessing:
    """How images are prepared for a network: prepared in another way, they have other features.

    Args:
        side: pixels per side that they are resized to, whole and antialiased; None: as they are.
        interpolation: "bilinear", or "bicubic", which is clipped to the range of pixels.
        mean, deviation: of each channel, of pixels in [0, 1].
    """

    side: int | None = None
    interpolation: str = "bilinear"
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    deviation: tuple[float, float, float] = (0.5, 0.5, 0.5)

    def __call__(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch 3 _height _width"]:
        """What the network reads, from images in [-1, 1]."""
        if self.side is not None:
            images = resized(images, self.side, self.interpolation).clamp(-1, 1)
        mean, deviation = (images.new_tensor(v).view(3, 1, 1) for v in (self.mean, self.deviation))
        return ((images + 1) / 2 - mean) / deviation


class Frozen(nn.Module):
    """Stays in evaluation mode, also when a module that holds it is told to train."""

    def train(self, mode: bool = True) -> "Frozen":
        return super().train(False)


class FeatureExtractor(Frozen):
    """One vector per image, for comparing sets of images and for finding similar ones.

    Attributes:
        name: what `build_extractor` calls it.
        dim: length of a feature vector.
        frechet_name: what a Fréchet distance of these features may be called; "FID" stands for
            Inception-v3 and nothing else.
        cosine_name, cmmd_name: the same of the cosine of two images, where it has a name of its
            own, and of CMMD, where it is defined.
        preprocessing: a part of what the features are; a validation set's hash covers it.
    """

    name: str
    dim: int
    frechet_name: str
    cosine_name: str = ""
    cmmd_name: str = ""
    preprocessing: Preprocessing = Preprocessing()

    @property
    def device(self) -> torch.device:
        return next(self.buffers()).device

    @abstractmethod
    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch dim"]:
        """Features of images in [-1, 1] of any size; no gradient."""


class PerceptualDistance(Frozen):
    """Distance of images as a network sees them: zero for equal images, symmetric, unbounded.

    Attributes:
        name: what `build_perceptual` calls it.
        preprocessing: what it does to images by itself.
    """

    name: str
    preprocessing: Preprocessing = Preprocessing()

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


def resized(
    images: Float[Tensor, "batch 3 height width"], side: int, mode: str = "bilinear"
) -> Float[Tensor, "batch 3 side side"]:
    return functional.interpolate(images, (side, side), mode=mode, antialias=True)


class PooledMaps(FeatureExtractor):
    """The maps of a perceptual distance, averaged in GRID x GRID parts of the image.

    The squared Euclidean distance of two vectors is the perceptual distance of maps that coarse.
    These features see colours and textures and roughly where they are, and so find a driver again
    after a tokenizer has touched it, which features pooled at the end of a classifier do not.
    Images are first resized to SIDE x SIDE pixels.
    """

    def __init__(self, perceptual: PerceptualDistance) -> None:
        super().__init__()
        self.perceptual = perceptual
        self.preprocessing = replace(perceptual.preprocessing, side=SIDE)
        self.name = f"{perceptual.name}_maps"
        self.frechet_name = f"Fréchet distance ({self.name})"
        device = next((buffer.device for buffer in perceptual.buffers()), None)
        self.dim = self(torch.zeros(1, 3, SIDE, SIDE, device=device)).shape[1]

    @torch.no_grad()
    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch dim"]:
        with torch.autocast(images.device.type, enabled=False):
            maps = self.perceptual.maps(resized(images.float(), SIDE))
            pooled = [functional.adaptive_avg_pool2d(values, GRID) / GRID for values in maps]
        return rearrange(torch.cat(pooled, 1), "b c h w -> b (c h w)")


def freeze(network: Network) -> Network:
    """Turns every weight into a buffer that is not saved, in place, and returns the network.

    Gradients still pass to the network's input. Its weights follow `.to(device)`, are seen by no
    optimiser, and add no name to the state dictionary of a module that holds the network: a
    checkpoint holds what was trained, and loads whichever perceptual distance is used next.
    """
    for module in network.modules():
        tensors = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        for name, tensor in tensors:
            delattr(module, name)
            module.register_buffer(name, tensor.detach(), persistent=False)
    return network.eval()


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The named tensors of a `.safetensors` or PyTorch file; no code in the file is run.

    Raises:
        ValueError: when the file is missing, or holds anything but tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"There is no weights file at {path}: give the path of one.")
    if path.suffix == ".safetensors":
        return load_file(path)
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(
            f"{path} is no file of plain tensors that PyTorch can read, download it again."
        ) from error
    return found.get("state_dict", found)


def weights_path(weights: str | Path | None, url: str, network: str) -> Path:
    """`weights` itself, or the file behind `url` in torch's cache, downloaded where missing.

    Raises:
        ValueError: when the download fails: names the file, the address and both places to put it.
    """
    if weights is not None:
        return Path(weights)
    path = Path(torch.hub.get_dir(), "checkpoints", url.rpartition("/")[2])
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = path.stem.rpartition("-")[2]  # published files end in the start of their SHA-256
        try:
            torch.hub.download_url_to_file(url, str(path), hash_prefix=digest, progress=False)
        except (OSError, RuntimeError) as error:
            raise ValueError(
                f"{network} needs {path.name}, which could not be downloaded ({error}): fetch it "
                f"from {url} and save it as {path}, or give its path as `weights`."
            ) from error
    return path


def load_strictly(network: nn.Module, state: Mapping[str, Tensor], source: object) -> None:
    """Copies `state` into the network.

    Raises:
        ValueError: when names or shapes differ, naming the first difference.
    """
    expected = network.state_dict()
    for name in [*expected, *state]:
        here, there = (tuple(d[name].shape) if name in d else "absent" for d in (expected, state))
        if here != there:
            raise ValueError(
                f"{source} holds weights of another network: {name} is {there} there and {here} "
                f"in {type(network).__name__}."
            )
    network.load_state_dict(state)


def features_of(
    extractor: FeatureExtractor,
    images: Iterable[UInt8[np.ndarray, "side side 3"]],
    batch_size: int = FEATURES_AT_ONCE,
) -> Float[Tensor, "images dim"]:
    """Features of images of one size, on the CPU; computed where the extractor is."""
    parts = to_tensor(np.stack(list(images))).split(batch_size)
    return torch.cat([extractor(part.to(extractor.device)).float().cpu() for part in parts])


def region_features(
    extractor: FeatureExtractor,
    images: Float[Tensor, "batch 3 side side"],
    boxes: Sequence[Box],
) -> Float[Tensor, "batch dim"]:
    """Features of one box of each image, enlarged to the image's size."""
    return extractor(crop_and_resize(images, [[box] for box in boxes], images.shape[-1])[:, 0])


def crop_and_resize(
    images: Float[Tensor, "batch 3 height width"], boxes: Sequence[Sequence[Box]], side: int
) -> Float[Tensor, "batch boxes 3 side side"]:
    """The boxes of each image, as many for each, by antialiased bilinear interpolation.

    Nothing outside a box shows in its crop. Boxes of one size are resized at once, wherever and in
    whichever image they are.

    Raises:
        ValueError: when a box reaches outside its image.
    """
    height, width = images.shape[-2:]
    alike: dict[tuple[int, int], list[tuple[int, int, Box]]] = defaultdict(list)
    for n, row in enumerate(boxes):
        for k, box in enumerate(row):
            if not Box(0, 0, width, height).contains(box):
                raise ValueError(f"{box} reaches outside its image of {width} x {height} pixels.")
            alike[box.height, box.width].append((n, k, box))
    crops = images.new_empty(len(boxes), len(boxes[0]), 3, side, side)
    for places in alike.values():
        cut = [images[n, :, box.top : box.bottom, box.left : box.right] for n, _, box in places]
        rows, columns = [n for n, _, _ in places], [k for _, k, _ in places]
        crops[rows, columns] = resized(torch.stack(cut), side)
    return crops
