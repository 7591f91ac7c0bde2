"""Measures the pictures of one system, batch by batch, and sums them up."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from einops import rearrange, repeat
from jaxtyping import Bool, Float, Int
from torch import Tensor

from e2eve.evaluation.feature_batches import AT_ONCE, region_features
from e2eve.evaluation.systems import Edits, InputBatch
from e2eve.evaluation.validation_set import ReferenceFeatures
from e2eve.features import FeatureExtractor, PerceptualDistance
from e2eve.metrics import (
    diversity,
    driver_ranks,
    frechet_distance,
    kernel_distance,
    l1_outside,
    recall_at,
    sweep_distances,
    sweep_features,
)

KS = (1, 5, 10, 20)


class Instruments(NamedTuple):
    extractor: FeatureExtractor  # for distances of sets of pictures
    retrieval: FeatureExtractor  # for finding drivers
    perceptual: PerceptualDistance | None  # for diversity


class Measurements(NamedTuple):
    """Of the pictures of one system; not a number where something is not defined."""

    whole: Float[Tensor, "inputs dim"]  # features of each input's first sample
    region: Float[Tensor, "inputs dim"]  # features of its region
    ranks: Int[Tensor, "inputs samples"]  # of the driver among distractors, 1 is best
    distances: Float[Tensor, "inputs samples"]  # of the region to the driver, in feature space
    l1_real: Float[Tensor, "inputs samples"]  # to the source outside the region, [-1, 1] scale
    l1_rec: Float[Tensor, "inputs samples"]  # to the source's reconstruction there
    diversity: Float[Tensor, " inputs"]
    diversity_region: Float[Tensor, " inputs"]


def measure(
    edits: Edits,
    inputs: InputBatch,
    reconstructions: Float[Tensor, "batch 3 side side"],
    instruments: Instruments,
) -> Measurements:
    """Everything about one batch, on the CPU."""
    first, samples = edits[:, 0], edits.shape[1]
    extractor, retrieval, perceptual = instruments
    ranks, distances = _retrieval(edits, inputs, retrieval)
    differs = torch.full((len(edits), 2), torch.nan)
    if perceptual is not None and samples > 1:
        differs = torch.stack(diversity(perceptual, edits, inputs.regions), 1)
    found = Measurements(
        whole=extractor(first),
        region=region_features(extractor, first, inputs.boxes),
        ranks=ranks,
        distances=distances,
        l1_real=_outside(edits, inputs.sources, inputs.regions),
        l1_rec=_outside(edits, reconstructions, inputs.regions),
        diversity=differs[:, 0],
        diversity_region=differs[:, 1],
    )
    return Measurements(*(values.cpu() for values in found))


def joined(batches: Sequence[Measurements]) -> Measurements:
    return Measurements(*(torch.cat(column) for column in zip(*batches, strict=True)))


def summary(found: Measurements, reference: ReferenceFeatures) -> dict[str, float]:
    """Means over inputs and samples; distances of sets take one sample of each input.

    R@k is the mean over all samples, "kept" that of the sample nearest to the driver.
    """
    best = found.ranks.gather(1, found.distances.argmin(1, keepdim=True))[:, 0]
    ks = [k for k in KS if k <= reference.distractors.shape[1]]
    means = {
        name: getattr(found, name).double().nanmean().item()
        for name in ("l1_real", "l1_rec", "diversity", "diversity_region")
    }
    return {
        "n": len(found.whole),
        "samples": found.ranks.shape[1],
        "frechet": frechet_distance(found.whole, reference.whole),
        "frechet_region": frechet_distance(found.region, reference.regions),
        "kernel": kernel_distance(found.whole, reference.whole),
        "kernel_region": kernel_distance(found.region, reference.regions),
        **{f"recall_{k}": recall_at(found.ranks.flatten(), k) for k in ks},
        **{f"recall_{k}_kept": recall_at(best, k) for k in ks},
        **means,
    }


def _retrieval(
    edits: Edits, inputs: InputBatch, retrieval: FeatureExtractor
) -> tuple[Int[Tensor, "batch samples"], Float[Tensor, "batch samples"]]:
    """Rank of the driver for each sample, and the distance of the sample's region to it."""
    samples = edits.shape[1]
    queries = sweep_features(
        retrieval,
        rearrange(edits, "b n c h w -> (b n) c h w"),
        [box for box in inputs.boxes for _ in range(samples)],
        inputs.drivers.shape[-1],
        AT_ONCE,
    )
    drivers = repeat(inputs.driver_features, "b d -> (b n) d", n=samples)
    distractors = repeat(inputs.distractor_features, "b k d -> (b n) k d", n=samples)
    ranks = driver_ranks(queries, drivers, distractors)
    distances = sweep_distances(queries, drivers[:, None])[:, 0]
    return ranks.view(-1, samples), distances.view(-1, samples)


def _outside(
    edits: Edits,
    images: Float[Tensor, "batch 3 side side"],
    regions: Bool[Tensor, "batch 1 side side"],
) -> Float[Tensor, "batch samples"]:
    """Not a number for a region that covers its picture: nothing is outside."""
    samples = edits.shape[1]
    values = l1_outside(
        rearrange(edits, "b n c h w -> (b n) c h w"),
        repeat(images, "b c h w -> (b n) c h w", n=samples),
        repeat(regions, "b 1 h w -> (b n) 1 h w", n=samples),
    )
    covered = repeat(regions.flatten(1).all(1), "b -> (b n)", n=samples)
    return values.masked_fill(covered, torch.nan).view(-1, samples)
