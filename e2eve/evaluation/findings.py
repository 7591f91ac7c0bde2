"""What an evaluation says, in sentences with figures."""

from e2eve.evaluation.evaluation import Estimate, Evaluation, estimate
from e2eve.reporting.page import Highlight


def findings(evaluation: Evaluation) -> list[Highlight]:
    """Does the driver matter, is it shown, is the rest kept, does it look natural, does it vary."""
    found = [
        driver_matters(evaluation),
        driver_shown(evaluation),
        rest_kept(evaluation),
        looks_natural(evaluation),
    ]
    varied = variety(evaluation)
    return [*found, varied] if varied else found


def driver_matters(evaluation: Evaluation) -> Highlight:
    gap = estimate(evaluation.nll.gap)
    right, swapped = (
        estimate(values).mean
        for values in (evaluation.nll.right_inside, evaluation.nll.swapped_inside)
    )
    verdict = _verdict(gap, "the driver matters", "more with the right driver: it misleads")
    return Highlight(
        f"{gap.mean:+.2f} nat",
        "likelihood lost with another driver",
        f"A token of the source inside the region costs {right:.2f} nat given its own driver and "
        f"{swapped:.2f} given another input's: {verdict}.",
    )


def driver_shown(evaluation: Evaluation) -> Highlight:
    editor, swapped = evaluation["editor"], evaluation["editor_swapped"]
    k = 5 if "recall_5" in editor else 1
    distractors = evaluation.validation.features.distractors.shape[1]
    verdict = _verdict(
        evaluation.recall_difference(k), "samples show their driver", "fewer than by mistake"
    )
    return Highlight(
        f"{editor[f'recall_{k}']:.0%} / {swapped[f'recall_{k}']:.0%}",
        f"R@{k}, given the driver / another driver",
        f"How often the driver is among the {k} nearest to a sample's region, out of "
        f"{distractors + 1} crops; {k / (distractors + 1):.0%} is chance: {verdict}.",
    )


def rest_kept(evaluation: Evaluation) -> Highlight:
    row = next(row for row in evaluation.rows() if row["key"] == "editor")
    own, ours = evaluation["reconstruction"]["l1_real"], row["l1_real"]
    if ours is None or row["outside_ratio"] is None:
        return Highlight("none", "change outside the region", "No pixel lies outside the regions.")
    return Highlight(
        f"{row['outside_ratio']:.2f} ×",
        "change outside the region, in units of the tokenizer's own error",
        f"Samples differ from their source by {ours:.3f} there, the source through the tokenizer "
        f"by {own:.3f} (mean absolute difference, pixels in [-1, 1]).",
    )


def looks_natural(evaluation: Evaluation) -> Highlight:
    editor, paste = evaluation["editor"], evaluation["paste"]
    return Highlight(
        f"{editor['frechet_region']:.3g} / {paste['frechet_region']:.3g}",
        f"{evaluation.frechet_name} of the regions, editor / paste",
        f"Distance to regions of real pictures, less is better; whole pictures: "
        f"{editor['frechet']:.3g} / {paste['frechet']:.3g}.",
    )


def variety(evaluation: Evaluation) -> Highlight | None:
    row = next(row for row in evaluation.rows() if row["key"] == "editor")
    if row["diversity_region"] is None:
        return None
    return Highlight(
        f"{row['diversity_region']:.3f}",
        "diversity inside the region",
        f"Mean {evaluation.perceptual} distance between samples of one input; over the whole "
        f"picture {row['diversity']:.3f}.",
    )


def _verdict(difference: Estimate, positive: str, negative: str) -> str:
    low, high = difference.mean - difference.margin, difference.mean + difference.margin
    interval = f"(95 % interval of the difference: {low:.2f} to {high:.2f})"
    if low > 0:
        return f"{positive} {interval}"
    if high < 0:
        return f"{negative} {interval}"
    return f"not shown by these inputs {interval}"
