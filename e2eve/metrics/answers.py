"""Answers: how near edits come to the right one, where the inputs of a validation set have one."""

from abc import abstractmethod
from dataclasses import replace
from typing import Literal

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from e2eve.metrics.base import AnswerBatch, EditMetric, EvaluatedBatch, MetricInfo
from e2eve.metrics.locality import l1_outside
from e2eve.metrics.recall import retrieval

MATCH = 10.0
"""CIE ΔE76 below which a pixel counts as right."""

Graded = Literal["changed", "kept"]
PIXELS = {
    "changed": "pixels of the region where the answer differs from the source",
    "kept": "pixels of the region where the answer is as the source",
}

# From linear sRGB to XYZ, IEC 61966-2-1, each row divided by the white point D65's.
_TO_XYZ = (
    (0.4124564 / 0.95047, 0.3575761 / 0.95047, 0.1804375 / 0.95047),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339 / 1.08883, 0.1191920 / 1.08883, 0.9503041 / 1.08883),
)


def lab(images: Float[Tensor, "*batch 3 height width"]) -> Float[Tensor, "*batch 3 height width"]:
    """CIE 1976 L*a*b* of sRGB images in [-1, 1]: L* from 0 to 100, white point D65."""
    encoded = (images.float() / 2 + 0.5).clamp(0, 1)
    linear = torch.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055).pow(2.4))
    xyz = torch.einsum("xc,...chw->...xhw", linear.new_tensor(_TO_XYZ), linear)
    root = torch.where(xyz > (6 / 29) ** 3, xyz.pow(1 / 3), xyz * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = root.unbind(-3)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -3)


def match_share(
    edits: Float[Tensor, "batch samples 3 side side"],
    answers: Float[Tensor, "batch 3 side side"],
    pixels: Bool[Tensor, "batch 1 side side"],
) -> Float[Tensor, "batch samples"]:
    """Share of these pixels within CIE ΔE76 < 10 of the answer; NaN where there are none.

    ΔE76 is the Euclidean distance in L*a*b*; about 2.3 is just noticeable.
    """
    right = (lab(edits) - lab(answers)[:, None]).norm(dim=2) < MATCH
    return (right & pixels).sum((2, 3)) / pixels.sum((2, 3))


class AnswerMetric(EditMetric):
    """A number that compares each sample with its answer; nothing for inputs without answers.

    Args:
        info: of the metric of all samples.
        best_of_n: only of the sample nearest to the driver, of the n of each input.
    """

    def __init__(self, info: MetricInfo, best_of_n: bool = False) -> None:
        if best_of_n:
            info = replace(
                info,
                key=f"{info.key}_best_of_n",
                label=f"best-of-n {info.label}",
                note=f"{info.note}, of the sample nearest to the driver",
                needs="num_samples",
                shown=False,
            )
        super().__init__(info)
        self.per = "input" if best_of_n else "sample"

    @abstractmethod
    def compare(
        self, batch: EvaluatedBatch, answers: AnswerBatch
    ) -> Shaped[Tensor, "batch samples"]:
        """Values of each input's samples."""

    def measure(self, batch: EvaluatedBatch) -> Shaped[Tensor, "batch *samples"] | None:
        if batch.inputs.answers is None:
            return None
        values = self.compare(batch, batch.inputs.answers)
        if self.per == "sample":
            return values
        best = batch.once(retrieval).distances.argmin(1, keepdim=True)
        return values.gather(1, best)[:, 0]


class AnswerMatch(AnswerMetric):
    """Share of graded pixels that are within CIE ΔE76 < 10 of the answer's.

    Args:
        pixels: those that the answer changes, or the others.
    """

    def __init__(self, pixels: Graded = "changed", best_of_n: bool = False) -> None:
        info = MetricInfo(
            f"answer_match_{pixels}",
            f"Match, {pixels}",
            best="high",
            spec=".1%",
            aspect="answer",
            note=f"share of {PIXELS[pixels]} that are within ΔE76 < {MATCH:.0f} of the answer",
            shown=True,
        )
        super().__init__(info, best_of_n)
        self.pixels = pixels

    def compare(self, batch: EvaluatedBatch, answers: AnswerBatch) -> Float[Tensor, "batch n"]:
        return match_share(batch.edits, answers.images, getattr(answers, self.pixels))


class AnswerL1(AnswerMetric):
    """Mean absolute difference to the answer over graded pixels.

    Args:
        pixels: those that the answer changes, or the others.
    """

    def __init__(self, pixels: Graded = "changed", best_of_n: bool = False) -> None:
        info = MetricInfo(
            f"answer_l1_{pixels}",
            f"L1 to answer, {pixels}",
            unit="pixels in [-1, 1]",
            best="low",
            aspect="answer",
            note=f"mean absolute difference to the answer, over {PIXELS[pixels]}",
        )
        super().__init__(info, best_of_n)
        self.pixels = pixels

    def compare(self, batch: EvaluatedBatch, answers: AnswerBatch) -> Float[Tensor, "batch n"]:
        return l1_outside(batch.edits, answers.images, ~getattr(answers, self.pixels))


class NearerToAnswer(AnswerMetric):
    """Share of inputs whose edit is nearer to the answer than another one, by the L1 of all graded
    pixels.

    Args:
        than: the tokenized Poisson blend, or the source.
    """

    def __init__(
        self, than: Literal["poisson", "source"] = "poisson", best_of_n: bool = False
    ) -> None:
        other = {"poisson": "Poisson blend through the tokenizer", "source": "source"}[than]
        info = MetricInfo(
            f"nearer_than_{than}",
            f"Nearer than {'Poisson' if than == 'poisson' else than}",
            best="high",
            spec=".1%",
            aspect="answer",
            note=f"share of edits that are nearer to the answer than the {other}",
            shown=True,
        )
        super().__init__(info, best_of_n)
        self.than = than

    def compare(self, batch: EvaluatedBatch, answers: AnswerBatch) -> Bool[Tensor, "batch n"]:
        other = batch.tokenized_blends if self.than == "poisson" else batch.inputs.sources
        assert other is not None  # as there are answers
        ungraded = ~(answers.changed | answers.kept)
        edits, others = (
            l1_outside(images, answers.images, ungraded) for images in (batch.edits, other[:, None])
        )
        return edits < others
