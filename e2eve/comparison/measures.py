"""What runs are compared by: names, directions and units of the numbers in metrics.json."""

import math
import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal

from e2eve.reporting.tables import MISSING, Column

Aspect = Literal["fit", "faithfulness", "locality", "diversity", "naturalness"]

SAMPLES = "num_samples"
TOKENIZER = "tokenizer.source"


@dataclass(frozen=True)
class Measure(Column):
    """A number of a run.

    `shown` says whether its column is open from the start, and `needs` what has to be the same
    in two runs for the number to be comparable, beside the validation set.
    """

    aspect: Aspect = "fit"
    shown: bool = False
    needs: str | None = None


def _recall(k: int) -> tuple[Measure, Measure]:
    note = f"how often the driver is among the {k} crops nearest to the edited region"
    kept = f"{note}, of the sample nearest to the driver"
    return (
        Measure(f"recall_{k}", f"R@{k}", ".1%", "high", note, "faithfulness", shown=k in (5, 20)),
        Measure(
            f"recall_{k}_kept", f"R@{k} kept", ".1%", "high", kept, "faithfulness", needs=SAMPLES
        ),
    )


_NLL = "nat a token in the region, given the driver cut out of the source"
_GAP = "nat a token that the right driver saves in the region, compared with a swapped one"
_RATIO = "L1 to the source outside the region, in units of the tokenizer's own error"
_L1 = "mean absolute difference outside the region, pixels in [-1, 1]"
_DIVERSITY = "mean perceptual distance between samples of one input; more is not better by itself"
_FRECHET = "distance of the features of edits to those of real pictures"

BEFORE = (
    Measure("nll_right_inside", "NLL", ".3f", "low", _NLL, "fit", shown=True, needs=TOKENIZER),
    Measure("nll_gap", "NLL gap", ".3f", "high", _GAP, "fit", shown=True, needs=TOKENIZER),
)
AFTER = (
    Measure("outside_ratio", "L1 ratio", ".3f", "low", _RATIO, "locality", True, TOKENIZER),
    Measure("l1_real", "L1 outside", ".4f", "low", f"{_L1}, to the source", "locality"),
    Measure(
        "l1_rec", "L1 to tokenized", ".4f", "low",
        f"{_L1}, to the source through the tokenizer", "locality", needs=TOKENIZER,
    ),
    Measure("diversity", "Diversity", ".3f", None, _DIVERSITY, "diversity"),
    Measure(
        "diversity_region", "Diversity, region", ".3f", None, _DIVERSITY, "diversity", shown=True
    ),
    Measure("frechet", "Fréchet", ".4g", "low", _FRECHET, "naturalness"),
    Measure(
        "frechet_region", "Fréchet, region", ".4g", "low", f"{_FRECHET}, of regions",
        "naturalness", shown=True,
    ),
    Measure("kernel", "Kernel", ".4g", "low", "kernel distance, likewise", "naturalness"),
    Measure(
        "kernel_region", "Kernel, region", ".4g", "low", "kernel distance of regions", "naturalness"
    ),
)  # fmt: skip


def measures_among(found: Collection[str], frechet_name: str) -> list[Measure]:
    """The measures of these names, in the order of columns.

    The Fréchet distance is called FID where it is one.
    """
    recalls = (re.fullmatch(r"recall_(\d+)", name) for name in found)
    ks = sorted(int(match[1]) for match in recalls if match)
    plain, kept = zip(*map(_recall, ks), strict=True) if ks else ((), ())
    known = (*BEFORE, *plain, *kept, *AFTER)
    if frechet_name == "FID":
        known = tuple(replace(m, heading=m.heading.replace("Fréchet", "FID")) for m in known)
    return [measure for measure in known if measure.key in found]


def with_deviation(mean: float | None, deviation: float | None, spec: str) -> str:
    """`mean ± deviation`, both to the same decimals; a dash where there is no mean.

    `.4g` stands for four digits of the mean, before or after the point.
    """
    if mean is None or not math.isfinite(mean):
        return MISSING
    if spec.endswith("g"):
        digits = int(spec[1:-1])
        magnitude = math.floor(math.log10(abs(mean))) if mean else 0
        spec = f".{max(0, digits - 1 - magnitude)}f"
    text = format(mean, f"z{spec}")  # no minus before nothing but zeros
    if deviation is None or not math.isfinite(deviation):
        return text
    return f"{text.removesuffix('%')} ± {format(deviation, spec)}"
