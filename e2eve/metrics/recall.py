"""Recall at k, for all samples and for the best of n: METHOD's measure of faithfulness."""

from dataclasses import replace
from typing import NamedTuple

from einops import rearrange, repeat
from jaxtyping import Bool, Float, Int
from torch import Tensor

from e2eve.limits import Positive
from e2eve.metrics.base import EditMetric, EvaluatedBatch, MetricInfo
from e2eve.metrics.retrieval import driver_ranks, sweep_distances, sweep_features


class Retrieval(NamedTuple):
    """How each sample's region finds its driver."""

    ranks: Int[Tensor, "batch samples"]  # of the driver among distractors, 1 is best
    distances: Float[Tensor, "batch samples"]  # of the region to the driver, in feature space


def retrieval(batch: EvaluatedBatch) -> Retrieval:
    """Rank of the driver for each sample, and the distance of the sample's region to it."""
    inputs, samples = batch.inputs, batch.edits.shape[1]
    queries = sweep_features(
        batch.networks.retrieval,
        rearrange(batch.edits, "b n c h w -> (b n) c h w"),
        [box for box in inputs.boxes for _ in range(samples)],
        inputs.drivers.shape[-1],
    )
    drivers = repeat(inputs.driver_features, "b d -> (b n) d", n=samples)
    distractors = repeat(inputs.distractor_features, "b k d -> (b n) k d", n=samples)
    ranks = driver_ranks(queries, drivers, distractors)
    distances = sweep_distances(queries, drivers[:, None])[:, 0]
    return Retrieval(ranks.view(-1, samples), distances.view(-1, samples))


class Recall(EditMetric):
    """R@k: share of samples for which the driver is among the k crops nearest to their region.

    Args:
        k: not measured for validation sets with fewer distractors.
        best_of_n: only of the sample nearest to the driver, of the n of each input: flattered by
            being chosen with the features that it is judged by.
    """

    def __init__(self, k: Positive = 5, best_of_n: bool = False) -> None:
        info = MetricInfo(
            f"recall_{k}",
            f"R@{k}",
            best="high",
            spec=".1%",
            aspect="faithfulness",
            note=f"how often the driver is among the {k} crops nearest to the edited region",
            shown=k in (5, 20),
        )
        if best_of_n:
            key, label = f"recall_{k}_best_of_n", f"best-of-n R@{k}"
            note, needs = f"R@{k} of the sample nearest to the driver", "num_samples"
            info = replace(info, key=key, label=label, note=note, needs=needs, shown=False)
        super().__init__(info)
        self.k, self.per = k, "input" if best_of_n else "sample"

    def measure(self, batch: EvaluatedBatch) -> Bool[Tensor, "batch *samples"] | None:
        if self.k > batch.inputs.distractor_features.shape[1]:
            return None
        ranks, distances = batch.once(retrieval)
        best = distances.argmin(1, keepdim=True)
        return (ranks.gather(1, best)[:, 0] if self.per == "input" else ranks) <= self.k


class DriverRank(EditMetric):
    """Rank of the driver among its distractors, 1 for a driver nearer than all of them."""

    info = MetricInfo(
        "driver_rank",
        "Driver's rank",
        best="low",
        spec=".1f",
        aspect="faithfulness",
        note="mean place of the driver among the crops nearest to the edited region",
    )

    def measure(self, batch: EvaluatedBatch) -> Int[Tensor, "batch samples"]:
        return batch.once(retrieval).ranks


class DriverDistance(EditMetric):
    """Distance of the region to the driver in feature space, by which samples are ordered."""

    info = MetricInfo(
        "driver_distance",
        "Distance to the driver",
        best="low",
        aspect="faithfulness",
        note="distance of the edited region to the driver in feature space",
    )

    def measure(self, batch: EvaluatedBatch) -> Float[Tensor, "batch samples"]:
        return batch.once(retrieval).distances
