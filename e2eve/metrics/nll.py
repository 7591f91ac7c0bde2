"""Fit: how well the editor predicts the source itself, and what its driver is worth."""

from typing import Literal

from jaxtyping import Float
from torch import Tensor

from e2eve.metrics.base import EditMetric
from e2eve.metrics.batch import EvaluatedBatch
from e2eve.metrics.info import MetricInfo

UNIT = "nats per token"
TOKENIZER = "tokenizer.source"


class NLL(EditMetric):
    """Mean negative log-likelihood of the source's tokens inside or outside the region.

    The editor is given the driver cut out of the source; the editor given mismatched drivers, the
    one cut out of another input's source. Other systems have no likelihood.

    Args:
        part: inside are the tokens whose cells the region touches.
    """

    per = "input"

    def __init__(self, part: Literal["inside", "outside"] = "inside") -> None:
        if part not in ("inside", "outside"):
            raise ValueError(f'part is "{part}": give "inside" or "outside".')
        inside = part == "inside"
        super().__init__(
            MetricInfo(
                key=f"nll_{part}",
                label="NLL" if inside else "NLL, outside",
                unit=UNIT,
                best="low",
                aspect="fit",
                note=f"NLL {part} the region, given the driver cut out of the source",
                needs=TOKENIZER,
                shown=inside,
            )
        )
        self.part = part

    def measure(self, batch: EvaluatedBatch) -> Float[Tensor, " batch"] | None:
        if batch.drivers is None:
            return None
        return getattr(batch.likelihood(), f"{batch.drivers}_{self.part}")


class NLLGap(EditMetric):
    """NLL inside the region that the matched driver saves, compared with a mismatched one."""

    per = "input"
    info = MetricInfo(
        key="nll_gap",
        label="NLL gap",
        unit=UNIT,
        best="high",
        aspect="fit",
        note="NLL that the matched driver saves in the region, compared with a mismatched one",
        needs=TOKENIZER,
        shown=True,
    )

    def measure(self, batch: EvaluatedBatch) -> Float[Tensor, " batch"] | None:
        if batch.drivers != "matched":
            return None
        nll = batch.likelihood()
        return nll.mismatched_inside - nll.matched_inside
