"""Faithfulness by retrieval: is the driver found in the sample's region?

A query is the region in a sweep of sub-crops: an object counts wherever in the region it stands,
and at which of three sizes. The candidates are the driver and distractors of other images.
"""

from collections.abc import Sequence

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from e2eve.features import FEATURES_AT_ONCE, FeatureExtractor, crop_and_resize
from e2eve.geometry import Box

# (scale of the sub-crops, positions along each axis): 1 + 4 + 9 = 14 sub-crops.
SWEEP = ((1.0, 1), (0.75, 2), (0.5, 3))

# Equal features are then 0 apart, which they are not by way of a matrix product.
EXACT = "donot_use_mm_for_euclid_dist"


def sweep_boxes(box: Box) -> list[Box]:
    """14 sub-crops of the box: scales 1, 0.75, 0.5 on 1, 2 x 2, 3 x 3 evenly spaced positions."""
    return [
        Box(left, top, right, bottom)
        for scale, positions in SWEEP
        for top, bottom in _spans(box.top, box.height, scale, positions)
        for left, right in _spans(box.left, box.width, scale, positions)
    ]


# First and one-past-last pixel of windows that start at `start` and end with the length.
def _spans(start: int, length: int, scale: float, positions: int) -> list[tuple[int, int]]:
    window = max(1, round(length * scale))
    steps = max(1, positions - 1)
    starts = [start + round((length - window) * i / steps) for i in range(positions)]
    return [(first, first + window) for first in starts]


def sweep_features(
    extractor: FeatureExtractor,
    images: Float[Tensor, "batch 3 height width"],
    boxes: Sequence[Box],
    side: int,
    batch_size: int = FEATURES_AT_ONCE,
) -> Float[Tensor, "batch 14 dim"]:
    """Features of the sweep of each image's box.

    Args:
        side: pixels that crops are resized to; the drivers' side treats both alike.
        batch_size: crops the extractor reads at once; a CPU slows down with more than 16.
    """
    crops = crop_and_resize(images, [sweep_boxes(box) for box in boxes], side)
    features = [
        extractor(part) for part in rearrange(crops, "b n c h w -> (b n) c h w").split(batch_size)
    ]
    return rearrange(torch.cat(features), "(b n) d -> b n d", b=len(images))


def sweep_distances(
    queries: Float[Tensor, "batch crops dim"], candidates: Float[Tensor, "batch candidates dim"]
) -> Float[Tensor, "batch candidates"]:
    """Euclidean distance of each candidate to the sub-crop nearest to it."""
    return torch.cdist(queries, candidates, compute_mode=EXACT).amin(1)


def driver_ranks(
    queries: Float[Tensor, "batch crops dim"],
    drivers: Float[Tensor, "batch dim"],
    distractors: Float[Tensor, "batch distractors dim"],
) -> Int[Tensor, " batch"]:
    """1 for a driver nearer than every distractor; a distractor as near as the driver wins."""
    candidates = torch.cat([drivers[:, None], distractors], 1)
    distances = sweep_distances(queries, candidates)
    return 1 + (distances[:, 1:] <= distances[:, :1]).sum(1)
