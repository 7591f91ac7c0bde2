"""One path from images to what a token model reads: the hole, the region's cells, typed batches."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor

from e2eve.data.images import to_tensor
from e2eve.edit_simulation import SimulatedEdit
from e2eve.geometry import Box

MASK_FILL = -1.0
"""What the source tokenizer sees in the region: black, as published weights expect."""


def apply_mask(
    images: Float[Tensor, "batch 3 height width"], regions: Bool[Tensor, "batch 1 height width"]
) -> Float[Tensor, "batch 3 height width"]:
    """Masked sources: the images with their regions filled with `MASK_FILL`."""
    return images.masked_fill(regions, MASK_FILL)


def region_cells(
    regions: Bool[Tensor, "batch 1 height width"], grid: int
) -> Bool[Tensor, "batch cells"]:
    """Cells of a `grid` × `grid` division that the region touches, in raster order.

    Raises:
        ValueError: when the grid does not divide the image.
    """
    height, width = regions.shape[-2:]
    if height % grid or width % grid:
        raise ValueError(
            f"A grid of {grid} × {grid} tokens does not divide a mask of {width} × {height} "
            "pixels: resize the mask to the image size of the tokenizer."
        )
    split = "b 1 (rows y) (columns x) -> b (rows columns) (y x)"
    return rearrange(regions, split, rows=grid, columns=grid).any(-1)


class EditInputs(NamedTuple):
    """What an editor is asked: images in [-1, 1], and regions that are True where to edit."""

    sources: Float[Tensor, "batch 3 side side"]
    regions: Bool[Tensor, "batch 1 side side"]
    drivers: Float[Tensor, "batch 3 driver_side driver_side"]


class EditBatch(NamedTuple):
    """Simulated edits; images in [-1, 1], boxes as left, top, right, bottom in pixels."""

    targets: Float[Tensor, "batch 3 side side"]
    regions: Bool[Tensor, "batch 1 side side"]
    drivers: Float[Tensor, "batch 3 driver_side driver_side"]
    region_boxes: Int[Tensor, "batch 4"]
    driver_boxes: Int[Tensor, "batch 4"]

    @classmethod
    def collate(cls, edits: Sequence[SimulatedEdit]) -> "EditBatch":
        """A batch of simulated edits of one size."""
        return cls(
            targets=to_tensor(np.stack([edit.target for edit in edits])),
            regions=torch.from_numpy(np.stack([edit.region.mask for edit in edits]))[:, None],
            drivers=to_tensor(np.stack([edit.driver for edit in edits])),
            region_boxes=_edges([edit.region.box for edit in edits]),
            driver_boxes=_edges([edit.driver_box for edit in edits]),
        )

    @property
    def inputs(self) -> EditInputs:
        """The edits as questions: the source is the target itself, whose region is masked."""
        return EditInputs(self.targets, self.regions, self.drivers)


def _edges(boxes: Sequence[Box]) -> Int[Tensor, "batch 4"]:
    return torch.tensor([[box.left, box.top, box.right, box.bottom] for box in boxes])
