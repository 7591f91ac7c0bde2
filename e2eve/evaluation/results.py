"""What an evaluation leaves in its folder, and its one reader: imports nothing heavy.

metrics.json        format 2: what was measured with what, what each metric is, each system's values
samples.png         samples of the first inputs
samples.csv         values of each system, input and sample
inputs.csv          values of each system and input
samples/inputs/     ID.png: an input's samples side by side, as they were drawn
"""

import csv
import json
import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from e2eve.metrics.info import MetricInfo

FORMAT = 2
METRICS = "metrics.json"
PICTURE = "samples.png"
SAMPLES = "samples.csv"
INPUTS = "inputs.csv"
SAMPLES_FOLDER = "samples/inputs"

NAMES = ("system", "input", "sample", "source", "driver")
"""Columns of the tables that hold no values."""


@dataclass(frozen=True)
class Results:
    """An evaluation as it was saved.

    Args:
        about: what was measured with what.
        infos: of each metric, in the order in which pages show them.
        systems: values by system and metric; what is not defined is missing.
        margins: half the width of a value's 95 % interval over inputs, where it has one.
    """

    folder: Path
    about: dict[str, Any]
    infos: tuple[MetricInfo, ...]
    systems: dict[str, dict[str, float]]
    margins: dict[str, dict[str, float]]

    @property
    def means(self) -> dict[str, float]:
        """The editor's values."""
        return self.systems["editor"]

    def numbers(self) -> dict[str, float]:
        """`system/metric` → value, the names of logs and of objectives of sweeps."""
        return {
            f"{system}/{key}": value
            for system, values in self.systems.items()
            for key, value in values.items()
        }

    @cached_property
    def samples(self) -> dict[str, list[dict[str, float]]]:
        """Values of the editor's samples of each input, in drawing order."""
        rows = defaultdict(list)
        for row in _rows(self.folder / SAMPLES):
            if row["system"] == "editor":
                rows[row["input"]].append(_values(row))
        return dict(rows)

    @cached_property
    def per_input(self) -> dict[str, dict[str, float]]:
        """The editor's values of each input: their means over inputs are its means."""
        rows = _rows(self.folder / INPUTS)
        if rows and "system" not in rows[0]:
            return _per_input_1(rows, self.samples, self.means)
        return {row["input"]: _values(row) for row in rows if row["system"] == "editor"}

    def column(self, key: str) -> dict[str, float]:
        """The metric of each input, where it is defined; empty for a metric of sets."""
        values = {name: row.get(key, math.nan) for name, row in self.per_input.items()}
        return {name: value for name, value in values.items() if math.isfinite(value)}


def read_results(folder: str | Path) -> Results:
    """Reads metrics.json of format 1 or 2; the larger files are read when they are asked for.

    Old names are given as the new ones.

    Raises:
        ValueError: when it is damaged, half written, or of a newer format.
    """
    path = Path(folder) / METRICS
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        number = found.get("format", 1)
        if number == FORMAT:
            return _read_2(path.parent, found)
        if number == 1:
            return _read_1(path.parent, found)
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} cannot be read ({type(error).__name__}: {error}), evaluate the run again."
        ) from error
    raise ValueError(f"{path} has the format {number} and 1 to {FORMAT} are read: update e2eve.")


def current_name(name: str) -> str:
    """Today's name of a number in logs and sweeps: `nll/gap` → `editor/nll_gap`."""
    *before, metric = name.split("/")
    old, system = old_names(), before[-1] if before else ""
    if system == "nll" and metric in old["nll"]:
        return "/".join([*before[:-1], *old["nll"][metric]])
    before[-1:] = [old["systems"].get(part, part) for part in before[-1:]]
    return "/".join([*before, old["metrics"].get(metric, metric)])


@cache
def old_names() -> dict[str, Any]:
    """New names of what format 1 holds, and its metrics' infos, which it does not hold."""
    return json.loads((files("e2eve.evaluation") / "format1.json").read_text(encoding="utf-8"))


def _read_2(folder: Path, found: dict[str, Any]) -> Results:
    systems = {row["key"]: _defined(row["values"]) for row in found["systems"]}
    margins = {row["key"]: _defined(row["margins"]) for row in found["systems"]}
    infos = tuple(MetricInfo(**info) for info in found["metrics"])
    return Results(folder, found["about"], infos, systems, margins)


def _read_1(folder: Path, found: dict[str, Any]) -> Results:
    """Likelihoods stand in a node of their own, and nothing says what a metric is."""
    old = old_names()
    systems: dict[str, dict[str, float]] = {}
    margins: dict[str, dict[str, float]] = defaultdict(dict)
    for row in found["systems"]:
        values = {old["metrics"].get(key, key): value for key, value in row.items()}
        known = {info["key"] for info in old["infos"]}
        systems[old["systems"].get(row["key"], row["key"])] = _defined(
            {key: value for key, value in values.items() if key in known}
        )
    for name, value in found["nll"].items():
        if value is not None:
            system, key = old["nll"][name]
            systems[system][key], margins[system][key] = value["mean"], value["margin"]
    about = {old["about"].get(name, name): value for name, value in found["about"].items()}
    infos = [MetricInfo(**info) for info in old["infos"]]
    if about["frechet_name"] == "FID":
        infos = [replace(info, label=info.label.replace("Fréchet", "FID")) for info in infos]
    measured = {key for values in systems.values() for key in values}
    shown = tuple(info for info in infos if info.key in measured)
    return Results(folder, about, shown, systems, dict(margins))


def _per_input_1(
    rows: list[dict[str, str]],
    samples: Mapping[str, list[dict[str, float]]],
    known: Mapping[str, float],
) -> dict[str, dict[str, float]]:
    """Recalls and L1 follow from the samples, as metrics.json defines them."""
    new, found = old_names()["metrics"], {}
    for row in rows:
        values = {new.get(key, key): value for key, value in _values(row).items()}
        values["nll_gap"] = values.pop("nll_swapped_inside") - values["nll_inside"]
        values.pop("nll_swapped_outside")
        found[row["input"]] = values | _of_samples_1(samples.get(row["input"], []), known)
    return found


def _of_samples_1(rows: list[dict[str, float]], known: Mapping[str, float]) -> dict[str, float]:
    if not rows:
        return {}
    ranks = np.array([row["driver_rank"] for row in rows])
    best = ranks[np.argmin([row["driver_distance"] for row in rows])]
    values = {name: float(np.mean([row[name] for row in rows])) for name in ("l1_real", "l1_rec")}
    for name in known:
        k = name.removeprefix("recall_").removesuffix("_best_of_n")
        if name.startswith("recall_"):
            values[name] = float(np.mean((best if name.endswith("_n") else ranks) <= int(k)))
    return values


def _defined(values: Mapping[str, float | None]) -> dict[str, float]:
    return {key: value for key, value in values.items() if value is not None}


def _values(row: Mapping[str, str]) -> dict[str, float]:
    """An empty cell stands for a value that is not defined."""
    return {k: float(v) if v else math.nan for k, v in row.items() if k not in NAMES}


def _rows(path: Path) -> list[dict[str, str]]:
    """Empty where there is no such file."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
