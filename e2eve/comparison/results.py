"""What an evaluation left in a folder: means, and the numbers of single inputs and samples."""

import csv
import json
import math
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from e2eve.evaluation.files import INPUTS, METRICS, SAMPLES

NOT_MEASURES = ("key", "system", "n", "samples")


@dataclass(frozen=True)
class Results:
    """`systems` holds the means of the editor and of what it is read against."""

    folder: Path
    about: dict[str, Any]
    systems: dict[str, dict[str, float]]

    @property
    def means(self) -> dict[str, float]:
        """Of the editor; the likelihoods are among them."""
        return self.systems["editor"]

    @cached_property
    def samples(self) -> dict[str, list[dict[str, float]]]:
        """Rank, distance and L1 of the editor's samples of each input, in drawing order."""
        rows = defaultdict(list)
        for row in _rows(self.folder / SAMPLES):
            if row.pop("system") == "editor":
                name = row.pop("input")
                rows[name].append({key: float(value) for key, value in row.items()})
        return dict(rows)

    @cached_property
    def per_input(self) -> dict[str, dict[str, float]]:
        """Of each input, what can be measured on a single one; their means are the editor's."""
        found = {name: _of_samples(rows, self.means) for name, rows in self.samples.items()}
        for row in _rows(self.folder / INPUTS):
            values = {k: float(row[k]) for k in row if k not in ("input", "source", "driver")}
            values["nll_gap"] = values["nll_swapped_inside"] - values["nll_right_inside"]
            found.setdefault(row["input"], {}).update(values)
        return found

    def column(self, measure: str) -> dict[str, float]:
        """The measure of each input, where it is defined; empty where it is one of whole sets."""
        values = {name: row.get(measure, math.nan) for name, row in self.per_input.items()}
        return {name: value for name, value in values.items() if math.isfinite(value)}


def read_results(folder: Path) -> Results:
    """Reads metrics.json; the larger files are read when they are asked for.

    Raises:
        ValueError: when it is damaged, or half written.
    """
    try:
        found = json.loads((folder / METRICS).read_text(encoding="utf-8"))
        systems = {row["key"]: _numbers(row) for row in found["systems"]}
        for name, value in found["nll"].items():
            if value is not None:
                systems["editor"][f"nll_{name}"] = value["mean"]
        return Results(folder, found["about"], systems)
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{folder / METRICS} cannot be read ({type(error).__name__}: {error}), evaluate the "
            "run again."
        ) from error


def _numbers(row: dict[str, Any]) -> dict[str, float]:
    return {k: v for k, v in row.items() if k not in NOT_MEASURES and v is not None}


def _of_samples(rows: list[dict[str, float]], known: dict[str, float]) -> dict[str, float]:
    """Means over the samples of one input, as METHOD and metrics.json define them."""
    ranks = np.array([row["driver_rank"] for row in rows])
    kept = ranks[np.argmin([row["driver_distance"] for row in rows])]
    values = {name: float(np.mean([row[name] for row in rows])) for name in ("l1_real", "l1_rec")}
    for name in known:
        k = name.removeprefix("recall_").removesuffix("_kept")
        if name.startswith("recall_"):
            values[name] = float(np.mean((kept if name.endswith("_kept") else ranks) <= int(k)))
    return values


def _rows(path: Path) -> list[dict[str, str]]:
    """Empty where there is no such file."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
