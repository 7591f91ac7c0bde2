"""Features of images and of boxes cut out of them, many at once."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from e2eve.data.images import to_tensor
from e2eve.features.frozen import FeatureExtractor
from e2eve.geometry import Box

FEATURES_AT_ONCE = 16
"""Images that an extractor reads at once: with 64, a CPU takes twice as long for each."""


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
    crops = crop_and_resize(images, [[box] for box in boxes], images.shape[-1])
    return extractor(crops[:, 0])


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
    for box in {box for row in boxes for box in row}:
        if not Box(0, 0, width, height).contains(box):
            raise ValueError(f"{box} reaches outside its image of {width} x {height} pixels.")
    alike: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    for n, row in enumerate(boxes):
        for k, box in enumerate(row):
            alike[box.height, box.width].append((n, k))
    crops = []
    for places in alike.values():
        cut = torch.stack([_cut(images[n], boxes[n][k]) for n, k in places])
        crops.append(functional.interpolate(cut, (side, side), mode="bilinear", antialias=True))
    taken = [place for places in alike.values() for place in places]
    order = sorted(range(len(taken)), key=taken.__getitem__)
    return rearrange(torch.cat(crops)[order], "(b n) c h w -> b n c h w", b=len(images))


def _cut(
    image: Float[Tensor, "3 height width"], box: Box
) -> Float[Tensor, "3 box_height box_width"]:
    return image[:, box.top : box.bottom, box.left : box.right]
