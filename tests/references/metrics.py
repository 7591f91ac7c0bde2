"""Metrics as a straightforward implementation computes them: pair by pair, crop by crop.

Each is a formula written down; the fast ones in `e2eve.metrics` have to give the same numbers.
"""

from itertools import combinations

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.linalg import sqrtm
from torch import Tensor
from torch.nn import functional

from e2eve.features import FeatureExtractor, PerceptualDistance
from e2eve.geometry import Box
from e2eve.metrics.base import EvaluatedBatch
from e2eve.metrics.retrieval import sweep_boxes

KS = (1, 5, 10, 20)


def frechet_distance(a: Float[Tensor, "count_a dim"], b: Float[Tensor, "count_b dim"]) -> float:
    """‖μa - μb‖² + tr(Σa + Σb - 2 (Σa Σb)^½), with the root of a matrix."""
    x, y = a.double().cpu().numpy(), b.double().cpu().numpy()
    spread_x, spread_y = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = sqrtm(spread_x @ spread_y).real
    means = np.square(x.mean(0) - y.mean(0)).sum()
    return float(means + np.trace(spread_x) + np.trace(spread_y) - 2 * np.trace(root))


def kernel_distance(a: Float[Tensor, "count_a dim"], b: Float[Tensor, "count_b dim"]) -> float:
    """Means of (x·y / dim + 1)³ over pairs of distinct features."""
    a, b = a.double(), b.double()

    def kernel(x: Tensor, others: Tensor) -> Tensor:
        return (others @ x / len(x) + 1) ** 3

    def within(features: Tensor) -> float:
        rows = [
            kernel(x, torch.cat([features[:n], features[n + 1 :]])) for n, x in enumerate(features)
        ]
        return torch.cat(rows).mean().item()

    return within(a) + within(b) - 2 * torch.cat([kernel(x, b) for x in a]).mean().item()


def diversity(
    perceptual: PerceptualDistance, samples: Float[Tensor, "samples 3 height width"]
) -> float:
    """Mean distance of two samples, by way of all pairs of them."""
    pairs = combinations(range(len(samples)), 2)
    return (
        torch.cat([perceptual(samples[i : i + 1], samples[j : j + 1]) for i, j in pairs])
        .mean()
        .item()
    )


def region_diversity(
    perceptual: PerceptualDistance,
    samples: Float[Tensor, "samples 3 height width"],
    region: Bool[Tensor, "1 height width"],
) -> float:
    """The same, positions of a map weighted with the share of their area in the region."""
    distances = []
    for i, j in combinations(range(len(samples)), 2):
        total = 0.0
        maps = zip(
            perceptual.maps(samples[i : i + 1]), perceptual.maps(samples[j : j + 1]), strict=True
        )
        for one, other in maps:
            share = functional.adaptive_avg_pool2d(region.float(), (one.shape[2], one.shape[3]))[0]
            squares = (one - other).square()[0].sum(0)
            total += float((squares * share).sum() / share.sum())
        distances.append(total)
    return float(np.mean(distances))


def crop(
    image: Float[Tensor, "3 height width"], box: Box, side: int
) -> Float[Tensor, "1 3 side side"]:
    cut = image[None, :, box.top : box.bottom, box.left : box.right]
    return functional.interpolate(cut, (side, side), mode="bilinear", antialias=True)


def sweep_features(
    extractor: FeatureExtractor, image: Float[Tensor, "3 height width"], box: Box, side: int
) -> Float[Tensor, "14 dim"]:
    return torch.cat([extractor(crop(image, part, side)) for part in sweep_boxes(box)])


def driver_rank(
    queries: Float[Tensor, "crops dim"],
    driver: Float[Tensor, " dim"],
    distractors: Float[Tensor, "distractors dim"],
) -> int:
    """1 and the number of distractors at least as near to their nearest crop as the driver."""
    own = min((query - driver).square().sum().sqrt().item() for query in queries)
    others = [
        min((query - other).square().sum().sqrt().item() for query in queries)
        for other in distractors
    ]
    return 1 + sum(other <= own for other in others)


@torch.no_grad()
def metrics(batch: EvaluatedBatch) -> dict[str, float]:
    """Means over inputs and samples, one image after the other, by the metrics' keys."""
    edits, inputs, reference = batch.edits, batch.inputs, batch.references
    extractor, retrieval, perceptual = batch.networks
    assert perceptual is not None
    whole, regions, ranks, outside, differ, differ_inside = [], [], [], [], [], []
    for n, (samples, box, region) in enumerate(
        zip(edits, inputs.boxes, inputs.regions, strict=True)
    ):
        whole.append(extractor(samples[:1]))
        regions.append(extractor(crop(samples[0], box, samples.shape[-1])))
        differ.append(diversity(perceptual, samples))
        differ_inside.append(region_diversity(perceptual, samples, region))
        for sample in samples:
            queries = sweep_features(retrieval, sample, box, inputs.drivers.shape[-1])
            rank = driver_rank(queries, inputs.driver_features[n], inputs.distractor_features[n])
            ranks.append(rank)
            change = (sample - inputs.sources[n]).abs()
            outside.append(change[:, ~region[0]].mean().item())
    return {
        "frechet": frechet_distance(torch.cat(whole), reference.whole),
        "frechet_region": frechet_distance(torch.cat(regions), reference.regions),
        "kernel": kernel_distance(torch.cat(whole), reference.whole),
        "kernel_region": kernel_distance(torch.cat(regions), reference.regions),
        "l1_real": float(np.mean(outside)),
        "diversity": float(np.mean(differ)),
        "diversity_region": float(np.mean(differ_inside)),
        **{f"recall_{k}": float(np.mean([rank <= k for rank in ranks])) for k in KS},
    }
