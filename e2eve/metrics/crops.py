"""Many boxes of many images, cut out and resized to one size."""

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

    Nothing outside a box shows in its crop.

    Raises:
        ValueError: when a box reaches outside its image.
    """
    height, width = images.shape[-2:]
    for box in {box for row in boxes for box in row}:
        if not Box(0, 0, width, height).contains(box):
            raise ValueError(f"{box} reaches outside its image of {width} x {height} pixels.")
    crops = [
        _resized(image[None, :, box.top : box.bottom, box.left : box.right], side)
        for image, row in zip(images, boxes, strict=True)
        for box in row
    ]
    return rearrange(torch.cat(crops), "(b n) c h w -> b n c h w", b=len(images))


def _resized(
    images: Float[Tensor, "batch 3 height width"], side: int
) -> Float[Tensor, "batch 3 side side"]:
    return functional.interpolate(images, (side, side), mode="bilinear", antialias=True)
