"""Means over the pixels or tokens inside or outside a region."""

from typing import NamedTuple

from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional


def masked_mean(
    values: Float[Tensor, "batch *rest"], mask: Bool[Tensor, "batch *rest"]
) -> Float[Tensor, " batch"]:
    """Mean of each row's values where the mask is True; 0 where that is nowhere."""
    values = values.masked_fill(~mask, 0).flatten(1).sum(1)
    return values / mask.flatten(1).sum(1).clamp(min=1)


class TokenMasks(NamedTuple):
    """For each token in raster order: does the region reach into its cell, or fill it?"""

    touched: Bool[Tensor, "batch tokens"]
    filled: Bool[Tensor, "batch tokens"]


def tokens_in_region(regions: Bool[Tensor, "batch 1 height width"], grid: int) -> TokenMasks:
    """Cells of a `grid` x `grid` division of the image that the region touches, and fills.

    Raises:
        ValueError: when the grid does not divide the image.
    """
    height, width = regions.shape[-2:]
    if height % grid or width % grid:
        raise ValueError(
            f"A grid of {grid} x {grid} tokens does not divide a mask of {width} x {height} "
            "pixels, resize the mask to the image size of the tokenizer."
        )
    cells = rearrange(
        regions, "b 1 (rows y) (columns x) -> b (rows columns) (y x)", rows=grid, columns=grid
    )
    return TokenMasks(touched=cells.any(-1), filled=cells.all(-1))


def token_losses(
    logits: Float[Tensor, "batch tokens codes"], ids: Int[Tensor, "batch tokens"]
) -> Float[Tensor, "batch tokens"]:
    """-log p(id) in nats, with `masked_mean` the paired negative log-likelihood of a part."""
    classes_second = rearrange(logits.float(), "b n v -> b v n")
    return functional.cross_entropy(classes_second, ids, reduction="none")
