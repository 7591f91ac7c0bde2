"""A metric."""

from torch import Tensor

from e2eve.metrics.base import EditMetric, EvaluatedBatch, MetricInfo


class Brightness(EditMetric):
    """How bright edits are, one number a sample."""

    info = MetricInfo("brightness", "Brightness", "pixels in [-1, 1]", aspect="style", shown=True)

    def measure(self, batch: EvaluatedBatch) -> Tensor:
        return batch.edits.mean((2, 3, 4))
