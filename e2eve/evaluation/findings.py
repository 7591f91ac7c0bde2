"""What an evaluation says, in sentences with figures."""

from e2eve.evaluation.evaluation import Estimate, Evaluation, estimate
from e2eve.reporting.page import Highlight


def findings(evaluation: Evaluation) -> list[Highlight]:
    """Does the driver matter, is it shown, is the rest kept, does it look natural?"""
    return [
        driver_matters(evaluation),
        driver_shown(evaluation),
        rest_kept(evaluation),
        looks_natural(evaluation),
    ]


def driver_matters(evaluation: Evaluation) -> Highlight:
    gap = estimate(evaluation.nll.gap)
    right = estimate(evaluation.nll.right_inside).mean
    swapped = estimate(evaluation.nll.swapped_inside).mean
    verdict = _verdict(gap, "The driver matters", "The right driver misleads")
    return Highlight(
        f"{gap.mean:+.2f} nat",
        "per token, given another driver",
        f"{verdict}. In the region a token of the source costs {right:.2f} nat given its own "
        f"driver, {swapped:.2f} nat given another input's.",
    )


def driver_shown(evaluation: Evaluation) -> Highlight:
    editor, swapped = evaluation["editor"], evaluation["editor_swapped"]
    k = 5 if "recall_5" in editor else 1
    candidates = evaluation.validation.features.distractors.shape[1] + 1
    difference = evaluation.recall_difference(k)
    verdict = _verdict(difference, "Samples show their driver", "Samples avoid their driver", ".0%")
    return Highlight(
        f"{editor[f'recall_{k}']:.0%} / {swapped[f'recall_{k}']:.0%}",
        f"R@{k}, given the driver / another one",
        f"{verdict}. How often the driver is among the {k} crops nearest to a sample's region, out "
        f"of {candidates}; chance is {k / candidates:.0%}, the pasted driver through the "
        f"tokenizer reaches {evaluation['paste_tokenized'][f'recall_{k}']:.0%}.",
    )


def rest_kept(evaluation: Evaluation) -> Highlight:
    row = next(row for row in evaluation.rows() if row["key"] == "editor")
    if row["l1_real"] is None or row["outside_ratio"] is None:
        return Highlight("–", "change outside the region", "Nothing lies outside the regions.")
    own = evaluation["reconstruction"]["l1_real"]
    return Highlight(
        f"{row['outside_ratio']:.2f} ×",
        "the tokenizer's error outside the region",
        f"Samples differ from their source by {row['l1_real']:.3f} there, the source that only "
        f"went through the tokenizer by {own:.3f} (mean absolute difference, pixels in [-1, 1]).",
    )


def looks_natural(evaluation: Evaluation) -> Highlight:
    editor, paste = evaluation["editor"], evaluation["paste"]
    return Highlight(
        f"{_short(editor['frechet_region'])} / {_short(paste['frechet_region'])}",
        f"{evaluation.frechet_name} of regions, editor / paste",
        "Less is nearer to real pictures. Whole pictures: "
        f"{_short(editor['frechet'])} / {_short(paste['frechet'])}.",
    )


def _verdict(difference: Estimate, positive: str, negative: str, spec: str = ".2f") -> str:
    low, high = difference.mean - difference.margin, difference.mean + difference.margin
    interval = f"(95 % interval of the difference: {low:{spec}} to {high:{spec}})"
    if low > 0:
        return f"{positive} {interval}"
    if high < 0:
        return f"{negative} {interval}"
    return f"No difference shown {interval}"


def _short(distance: float) -> str:
    return f"{distance:.0f}" if distance >= 100 else f"{distance:.3g}"
