"""Diversity: how much the samples of one input differ, to a perceptual distance."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from e2eve.features import PerceptualDistance
from e2eve.metrics.base import EditMetric, EvaluatedBatch, MetricInfo, Part


@torch.no_grad()
def diversity(
    perceptual: PerceptualDistance,
    samples: Float[Tensor, "batch samples 3 height width"],
    regions: Bool[Tensor, "batch 1 height width"],
) -> Float[Tensor, "batch 2"]:
    """Mean over pairs of samples of their distance, over the image and over the region.

    No pair is looked at: the distance is a sum of squared differences of maps, and the mean
    squared difference of n values over pairs is 2 / (n - 1) Σ (x - mean)², twice their variance:
    O(n). For the region, positions of each map are averaged with the share of their area that lies
    in the region as weights; so no crop is resized, and free-form regions count no pixel outside.

    Raises:
        ValueError: for fewer than 2 samples.
    """
    if samples.shape[1] < 2:
        raise ValueError(
            f"Diversity needs 2 samples or more of each input, these are {samples.shape[1]}: "
            "raise the number of samples."
        )
    rows = [
        _diversity_of_input(perceptual.maps(images), region)
        for images, region in zip(samples, regions.float(), strict=True)
    ]
    return torch.stack(rows)


# Twice the variance, averaged over the positions of each map and summed over maps.
def _diversity_of_input(
    maps: list[Float[Tensor, "samples _channels _height _width"]],
    region: Float[Tensor, "1 height width"],
) -> Float[Tensor, "2"]:
    total = torch.zeros(2, device=region.device)
    for values in maps:
        shifted = values - values[0]  # so that equal samples differ by exactly nothing
        centred = shifted - shifted.mean(0)
        variance = 2 / (len(values) - 1) * centred.square_().sum((0, 1))
        height, width = variance.shape
        share = functional.adaptive_avg_pool2d(region, (height, width))[0]
        total[0] += variance.mean()
        total[1] += (variance * share).sum() / share.sum()
    return total


def diversity_of(batch: EvaluatedBatch) -> Float[Tensor, "batch 2"] | None:
    """None for a single sample, or without a perceptual distance."""
    perceptual = batch.networks.perceptual
    if perceptual is None or batch.edits.shape[1] < 2:
        return None
    return diversity(perceptual, batch.edits, batch.inputs.regions)


class SampleDiversity(EditMetric):
    """Mean perceptual distance between the samples of an input; of several samples only.

    Args:
        part: of the image that is compared.
    """

    per = "input"
    info = MetricInfo(
        "diversity",
        "Diversity",
        aspect="diversity",
        note="mean perceptual distance between samples of one input; more is not better by itself",
    )

    def __init__(self, part: Part = "image") -> None:
        super().__init__(self.info.of_region() if part == "region" else None)
        self.column = int(part == "region")

    def measure(self, batch: EvaluatedBatch) -> Float[Tensor, " batch"] | None:
        found = batch.once(diversity_of)
        return None if found is None else found[:, self.column]
