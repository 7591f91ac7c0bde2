"""Fit: how well the editor predicts the source itself, and what its driver is worth."""

from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor

from e2eve.metrics.base import EditMetric, EvaluatedBatch, MetricInfo

# Families of token models, and what they predict, differ in what a token is predicted from.
NEEDS = "tokenizer.source transformer._target_ transformer.targets transformer.rim"
COMMON: dict[str, Any] = {"unit": "nats per token", "aspect": "fit", "needs": NEEDS}


class NLL(EditMetric):
    """Mean negative log-likelihood of the source's tokens inside or outside the region.

    The editor is given the driver cut out of the source; the editor given mismatched drivers, the
    one cut out of another input's source. Other systems have no likelihood.

    Args:
        part: inside are the tokens whose cells the region touches.
    """

    per = "input"

    def __init__(self, part: Literal["inside", "outside"] = "inside") -> None:
        note = f"NLL {part} the region, given the driver cut out of the source"
        label = "NLL" if part == "inside" else "NLL, outside"
        super().__init__(
            MetricInfo(
                f"nll_{part}", label, best="low", note=note, shown=part == "inside", **COMMON
            )
        )
        self.part = part

    def measure(self, batch: EvaluatedBatch) -> Float[Tensor, " batch"] | None:
        if batch.nll is None:
            return None
        return getattr(batch.nll()["mismatched" if batch.mismatched else "matched"], self.part)


class NLLGap(EditMetric):
    """NLL inside the region that the matched driver saves, compared with a mismatched one."""

    per = "input"
    info = MetricInfo(
        "nll_gap",
        "NLL gap",
        best="high",
        note="NLL that the matched driver saves in the region, compared with a mismatched one",
        shown=True,
        **COMMON,
    )

    def measure(self, batch: EvaluatedBatch) -> Float[Tensor, " batch"] | None:
        if batch.nll is None or batch.mismatched:
            return None
        return batch.nll()["mismatched"].inside - batch.nll()["matched"].inside
