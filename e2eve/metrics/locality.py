"""Locality: how much edits change the pixels outside the region."""

import math
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from e2eve.metrics.base import EditMetric, EvaluatedBatch, MetricInfo

COMMON: dict[str, Any] = {"best": "low", "aspect": "locality"}
PIXELS: dict[str, Any] = {"unit": "pixels in [-1, 1]", "spec": ".4f", **COMMON}
# What two runs must share where the tokenizer's own error counts.
TOKENIZER = "tokenizer.source"


def l1_outside(
    edits: Float[Tensor, "batch samples 3 side side"],
    images: Float[Tensor, "batch 3 side side"],
    regions: Bool[Tensor, "batch 1 side side"],
) -> Float[Tensor, "batch samples"]:
    """Mean |edit - image| over pixels outside the region and channels, on the [-1, 1] scale.

    Twice the figure on a [0, 1] scale. NaN for a region that covers its image.
    """
    differences = (edits - images[:, None]).abs()
    outside = ~regions[:, None].expand_as(differences)
    sums = differences.masked_fill(~outside, 0).flatten(2).sum(2)
    counts = outside.flatten(2).sum(2)
    return (sums / counts.clamp(min=1)).masked_fill(counts == 0, torch.nan)


class L1Outside(EditMetric):
    """L1 outside the region to the source, or to the source through the tokenizer.

    Args:
        to: the image that edits are compared with.
    """

    def __init__(self, to: Literal["source", "tokenized"] = "source") -> None:
        note = "mean absolute difference outside the region, to the source"
        info = MetricInfo("l1_real", "L1 outside", note=note, **PIXELS)
        if to == "tokenized":
            note += " through the tokenizer"
            info = MetricInfo("l1_rec", "L1 to tokenized", note=note, needs=TOKENIZER, **PIXELS)
        super().__init__(info)
        self.compared = to

    def measure(self, batch: EvaluatedBatch) -> Float[Tensor, "batch samples"]:
        images = batch.inputs.sources if self.compared == "source" else batch.reconstructions
        return l1_outside(batch.edits, images, batch.inputs.regions)


class L1Ratio(EditMetric):
    """Mean L1 to the source outside the region, over that of the source through the tokenizer.

    NaN for a tokenizer that changes nothing.
    """

    per = "set"
    info = MetricInfo(
        "outside_ratio",
        "L1 ratio",
        note="L1 to the source outside the region, in units of the tokenizer's own error",
        needs=TOKENIZER,
        shown=True,
        **COMMON,
    )

    def measure(self, batch: EvaluatedBatch) -> Float[Tensor, "batch columns"]:
        """L1 of each sample, and of the reconstruction in the last column."""
        images = torch.cat([batch.edits, batch.reconstructions[:, None]], 1)
        return l1_outside(images, batch.inputs.sources, batch.inputs.regions)

    def summary(self, values: Float[Tensor, "inputs columns"]) -> float:
        values = values.double()
        edits, own = values[:, :-1].nanmean().item(), values[:, -1].nanmean().item()
        return edits / own if own else math.nan
