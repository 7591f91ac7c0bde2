"""Many boxes of many images, cut out and resized to one size."""

from collections import defaultdict
from collections.abc import Sequence

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from e2eve.geometry import Box


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
    crops = [
        _resized(torch.stack([_cut(images[n], boxes[n][k]) for n, k in places]), side)
        for places in alike.values()
    ]
    taken = [place for places in alike.values() for place in places]
    order = sorted(range(len(taken)), key=taken.__getitem__)
    return rearrange(torch.cat(crops)[order], "(b n) c h w -> b n c h w", b=len(images))


def _cut(
    image: Float[Tensor, "3 height width"], box: Box
) -> Float[Tensor, "3 box_height box_width"]:
    return image[:, box.top : box.bottom, box.left : box.right]


def _resized(
    images: Float[Tensor, "batch 3 height width"], side: int
) -> Float[Tensor, "batch 3 side side"]:
    return functional.interpolate(images, (side, side), mode="bilinear", antialias=True)
