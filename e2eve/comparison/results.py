"""What an evaluation left in a folder: means, and the numbers of single inputs and samples."""

import csv
import json
import math
import re
from collections import defaultdict
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from e2eve.evaluation.files import INPUTS, METRICS, SAMPLES

NOT_MEASURES = ("key", "system", "n", "samples")


@dataclass(frozen=True)
class MetricInfo:
    key: str
    label: str
    unit: str = ""
    best: Literal["low", "high"] | None = None
    spec: str = ".3f"
    aspect: str = "other"
    note: str = ""
    needs: str | None = None
    shown: bool = False


@dataclass(frozen=True)
class Results:
    """`systems` holds the means of the editor and of what it is read against."""

    folder: Path
    about: dict[str, Any]
    systems: dict[str, dict[str, float]]
    metrics: tuple[MetricInfo, ...]

    @property
    def means(self) -> dict[str, float]:
        return self.systems["editor"]

    @cached_property
    def samples(self) -> dict[str, list[dict[str, float]]]:
        rows = defaultdict(list)
        for row in _rows(self.folder / SAMPLES):
            if row.pop("system") == "editor":
                name = row.pop("input")
                rows[name].append({key: float(value) for key, value in row.items()})
        return dict(rows)

    @cached_property
    def per_input(self) -> dict[str, dict[str, float]]:
        found = {name: _of_samples(rows, self.means) for name, rows in self.samples.items()}
        for row in _rows(self.folder / INPUTS):
            values = {k: float(row[k]) for k in row if k not in ("input", "source", "driver")}
            values["nll_gap"] = values["nll_swapped_inside"] - values["nll_right_inside"]
            found.setdefault(row["input"], {}).update(values)
        return found

    def column(self, measure: str) -> dict[str, float]:
        values = {name: row.get(measure, math.nan) for name, row in self.per_input.items()}
        return {name: value for name, value in values.items() if math.isfinite(value)}


def read_results(folder: Path) -> Results:
    try:
        found = json.loads((folder / METRICS).read_text(encoding="utf-8"))
        systems = {row["key"]: _numbers(row) for row in found["systems"]}
        for name, value in found["nll"].items():
            if value is not None:
                systems["editor"][f"nll_{name}"] = value["mean"]
        infos = measures_among(systems["editor"], found["about"]["frechet_name"])
        return Results(folder, found["about"], systems, tuple(infos))
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{folder / METRICS} cannot be read ({type(error).__name__}: {error}), evaluate the "
            "run again."
        ) from error


def _numbers(row: dict[str, Any]) -> dict[str, float]:
    return {k: v for k, v in row.items() if k not in NOT_MEASURES and v is not None}


def _of_samples(rows: list[dict[str, float]], known: dict[str, float]) -> dict[str, float]:
    ranks = np.array([row["driver_rank"] for row in rows])
    kept = ranks[np.argmin([row["driver_distance"] for row in rows])]
    values = {name: float(np.mean([row[name] for row in rows])) for name in ("l1_real", "l1_rec")}
    for name in known:
        k = name.removeprefix("recall_").removesuffix("_kept")
        if name.startswith("recall_"):
            values[name] = float(np.mean((kept if name.endswith("_kept") else ranks) <= int(k)))
    return values


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _recall(k: int) -> tuple[MetricInfo, MetricInfo]:
    note = f"how often the driver is among the {k} crops nearest to the edited region"
    kept = f"{note}, of the sample nearest to the driver"
    return (
        MetricInfo(f"recall_{k}", f"R@{k}", "", "high", ".1%", "faithfulness", note, None, k in (5, 20)),
        MetricInfo(
            f"recall_{k}_kept", f"best-of-n R@{k}", "", "high", ".1%", "faithfulness", kept, "num_samples"
        ),
    )


_NLL = "nats per token in the region, given the driver cut out of the source"
_GAP = "nats per token that the matched driver saves in the region, compared with a mismatched one"
_RATIO = "L1 to the source outside the region, in units of the tokenizer's own error"
_L1 = "mean absolute difference outside the region, pixels in [-1, 1]"
_DIVERSITY = "mean perceptual distance between samples of one input; more is not better by itself"
_FRECHET = "distance of the features of edits to those of real images"
T = "tokenizer.source"
BEFORE = (
    MetricInfo("nll_right_inside", "NLL", "nats per token", "low", ".3f", "fit", _NLL, T, True),
    MetricInfo("nll_gap", "NLL gap", "nats per token", "high", ".3f", "fit", _GAP, T, True),
)
N = "naturalness"
AFTER = (
    MetricInfo("outside_ratio", "L1 ratio", "", "low", ".3f", "locality", _RATIO, T, True),
    MetricInfo("l1_real", "L1 outside", "", "low", ".4f", "locality", f"{_L1}, to the source"),
    MetricInfo("l1_rec", "L1 to tokenized", "", "low", ".4f", "locality", f"{_L1}, to the source through the tokenizer", T),
    MetricInfo("diversity", "Diversity", "", None, ".3f", "diversity", _DIVERSITY),
    MetricInfo("diversity_region", "Diversity, region", "", None, ".3f", "diversity", _DIVERSITY, None, True),
    MetricInfo("frechet", "Fréchet", "", "low", ".4g", N, _FRECHET),
    MetricInfo("frechet_region", "Fréchet, region", "", "low", ".4g", N, f"{_FRECHET}, of regions", None, True),
    MetricInfo("kernel", "Kernel", "", "low", ".4g", N, "kernel distance, likewise"),
    MetricInfo("kernel_region", "Kernel, region", "", "low", ".4g", N, "kernel distance of regions"),
)


def measures_among(found, frechet_name: str) -> list[MetricInfo]:
    recalls = (re.fullmatch(r"recall_(\d+)", name) for name in found)
    ks = sorted(int(match[1]) for match in recalls if match)
    plain, kept = zip(*map(_recall, ks), strict=True) if ks else ((), ())
    known = (*BEFORE, *plain, *kept, *AFTER)
    if frechet_name == "FID":
        known = tuple(replace(m, label=m.label.replace("Fréchet", "FID")) for m in known)
    return [measure for measure in known if measure.key in found]
