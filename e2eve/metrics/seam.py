"""Seam: what shows of the region's edge once an edit is pasted back into its source."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from e2eve.metrics.base import EditMetric, EvaluatedBatch, MetricInfo


def edge_jumps(
    images: Float[Tensor, "batch samples 3 side side"], regions: Bool[Tensor, "batch 1 side side"]
) -> Float[Tensor, "batch samples"]:
    """Mean |(c - b) - ½ ((b - a) + (d - c))| over edges and channels.

    a, b, c, d are four pixels in a row or column with the region's edge between b and c: how far
    the gradient across the edge is from those beside it. NaN for a region without such an edge.
    """
    total, count = images.new_zeros(images.shape[:2]), images.new_zeros(len(images), 1)
    for axis in (-2, -1):
        length = images.shape[axis] - 3
        a, b, c, d = (images.narrow(axis, start, length) for start in range(4))
        edges = regions.narrow(axis, 1, length) ^ regions.narrow(axis, 2, length)
        jumps = (1.5 * (c - b) - 0.5 * (d - a)).abs().mean(2)
        total = total + (jumps * edges).sum((2, 3))
        count = count + edges.sum((2, 3))
    return total / count.masked_fill(count == 0, torch.nan)


class Seam(EditMetric):
    """Jump of gradients across the region's edge; the source's own says what is natural."""

    info = MetricInfo(
        "seam",
        "Seam",
        unit="pixels in [-1, 1]",
        spec=".4f",
        best="low",
        aspect="naturalness",
        note="jump of gradients across the region's edge after pasting back",
    )

    def measure(self, batch: EvaluatedBatch) -> Float[Tensor, "batch samples"]:
        inputs = batch.inputs
        pasted = torch.where(inputs.regions[:, None], batch.edits, inputs.sources[:, None])
        return edge_jumps(pasted, inputs.regions)
