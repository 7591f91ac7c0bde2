"""A metric."""

from torch import Tensor

from e2eve.metrics.base import EditMetric, EvaluatedBatch, MetricInfo


class Brightness(EditMetric):
    """How bright edits are inside the region, one number a sample."""

    info = MetricInfo("brightness", "Brightness", "pixels in [-1, 1]", aspect="style", shown=True)

    def measure(self, batch: EvaluatedBatch) -> Tensor:
        region = batch.inputs.regions[
            :, None
        ]  # batch 1 1 side side; edits: batch samples 3 side side
        return (batch.edits * region).sum((2, 3, 4)) / (3 * region.sum((2, 3, 4)))
