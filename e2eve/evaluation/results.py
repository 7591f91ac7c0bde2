"""What an evaluation leaves in its folder, and its one reader: imports no PyTorch.

metrics.json        format 2: what was measured with what, what each metric is, each system's values
samples.png         samples of the first inputs
samples.csv         values of each system, input and sample
inputs.csv          values of each system and input
groups.csv          means with their intervals, of each kind of inputs where there are several
samples/inputs/     ID.png: an input's samples side by side, as they were drawn
samples/shown/      the same put back into the source, as a person gets them
"""

import json
import math
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas

from e2eve.metrics.info import MetricInfo
from e2eve.reporting.outputs import check_replaceable

FORMAT = 2
METRICS, PICTURE, SAMPLES, INPUTS = "metrics.json", "samples.png", "samples.csv", "inputs.csv"
GROUPS = "groups.csv"
SAMPLES_FOLDER, SHOWN_FOLDER = "samples/inputs", "samples/shown"

Values = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Results:
    """The numbers of an evaluation.

    Args:
        about: what was measured with what.
        infos: of each metric, in the order in which pages show them.
        systems: values by system and metric; what is not defined is missing.
        margins: half the width of a value's 95 % interval over inputs, where it has one.
        tables: samples.csv and inputs.csv, read from the folder when they are asked for.
    """

    folder: Path
    about: dict[str, Any]
    infos: tuple[MetricInfo, ...]
    systems: Values
    margins: Values
    tables: dict[str, pandas.DataFrame] = field(default_factory=dict, repr=False)

    @property
    def means(self) -> dict[str, float]:
        """The editor's values."""
        return self.systems["editor"]

    def numbers(self) -> dict[str, float]:
        """`system/metric` → value, the names of logs and of objectives of sweeps."""
        return {f"{s}/{key}": v for s, row in self.systems.items() for key, v in row.items()}

    def table(self, name: str) -> pandas.DataFrame:
        """The table of that file name, with today's names; empty where there is no file."""
        if name not in self.tables:
            path = self.folder / name
            text = {"system": str, "input": str, "source": str, "driver": str}
            found = pandas.read_csv(path, dtype=text) if path.exists() else pandas.DataFrame()
            self.tables[name] = _renamed(found)
        return self.tables[name]

    @cached_property
    def samples(self) -> dict[str, list[dict[str, float]]]:
        """Values of the editor's samples of each input, in drawing order."""
        found = defaultdict(list)
        for name, row in _records(self.table(SAMPLES)):
            found[name].append(row)
        return dict(found)

    @cached_property
    def per_input(self) -> dict[str, dict[str, float]]:
        """The editor's values of each input: their means over inputs are its means."""
        found = dict(_records(self.table(INPUTS)))
        if self.about.get("format") == 1:
            tables = {name: pandas.DataFrame(rows) for name, rows in self.samples.items()}
            means = {name: _means_of_samples(rows, self.means) for name, rows in tables.items()}
            found = {name: {**row, **means.get(name, {})} for name, row in found.items()}
        return found

    def with_tables(self) -> "Results":
        """With the tables read that are otherwise read when they are asked for.

        Raises:
            ValueError: when one is damaged.
        """
        for name in (SAMPLES, INPUTS):
            try:
                _records(self.table(name))
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(
                    f"{self.folder / name} is damaged ({error}): evaluate the run again."
                ) from error
        return self

    def column(self, key: str) -> dict[str, float]:
        """The metric of each input, where it is defined; empty for a metric of sets."""
        known = {name: row[key] for name, row in self.per_input.items() if key in row}
        return {name: value for name, value in known.items() if math.isfinite(value)}


def read_results(folder: str | Path) -> Results:
    """Reads metrics.json of format 1 or 2; old names are given as today's.

    Raises:
        ValueError: when it is damaged, half written, or of a newer format.
    """
    path = Path(folder) / METRICS
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        number = found.get("format", 1)
        if number > FORMAT:
            raise ValueError(f"{path} has the format {number}, 1 to {FORMAT} are read: update.")
        found = _upgraded(found) if number == 1 else found
        infos = tuple(MetricInfo(**info) for info in found["metrics"])
        values, margins = (
            {row["key"]: _defined(row[part]) for row in found["systems"]}
            for part in ("values", "margins")
        )
        return Results(path.parent, found["about"], infos, values, margins)
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} cannot be read ({type(error).__name__}: {error}), evaluate the run again."
        ) from error


def check_place(folder: Path) -> None:
    """Raises ValueError if an evaluation there would replace what no evaluation has left."""
    if (folder / "status.json").exists():
        raise ValueError(f"{folder} is the folder of a run: give out=<a folder of its own>.")
    if (folder / METRICS).exists():
        read_results(folder)  # raises where it is another's
    else:
        check_replaceable(
            folder / "report.html", (PICTURE, SAMPLES, INPUTS, GROUPS, SAMPLES_FOLDER, SHOWN_FOLDER)
        )


def current_name(name: str) -> str:
    """Today's name of a number in logs and sweeps: `nll/gap` → `editor/nll_gap`."""
    *before, metric = name.split("/")
    old, system = _old(), before[-1] if before else ""
    if system == "nll" and metric in old["nll"]:
        return "/".join([*before[:-1], *old["nll"][metric]])
    before[-1:] = [old["systems"].get(part, part) for part in before[-1:]]
    return "/".join([*before, old["metrics"].get(metric, metric)])


# Today's names of what format 1 holds, and its metrics' infos, which it does not hold.
@cache
def _old() -> dict[str, Any]:
    return json.loads((files("e2eve.evaluation") / "format1.json").read_text(encoding="utf-8"))


# Format 1 as format 2. There likelihoods stand apart, and nothing says what a metric is.
def _upgraded(found: dict[str, Any]) -> dict[str, Any]:
    old = _old()
    about = {old["about"].get(name, name): value for name, value in found["about"].items()}
    infos = old["infos"]
    if about["frechet_name"] == "FID":
        infos = [{**info, "label": info["label"].replace("Fréchet", "FID")} for info in infos]
    systems = {}
    for row in found["systems"]:
        values = {old["metrics"].get(key, key): value for key, value in row.items()}
        known = {info["key"]: values.get(info["key"]) for info in infos}
        key = old["systems"].get(row["key"], row["key"])
        systems[key] = {"key": key, "values": known, "margins": {}}
    for name, value in found["nll"].items():
        system, key = old["nll"][name]
        if value is not None:
            systems[system]["values"][key] = value["mean"]
            systems[system]["margins"][key] = value["margin"]
    measured = {key for row in systems.values() for key in _defined(row["values"])}
    infos = [info for info in infos if info["key"] in measured]
    return {"about": {"format": 1, **about}, "metrics": infos, "systems": [*systems.values()]}


def _defined(row: dict[str, float | None]) -> dict[str, float]:
    return {key: value for key, value in row.items() if value is not None}


# With today's names of columns and systems; inputs.csv of format 1 is of the editor alone.
def _renamed(table: pandas.DataFrame) -> pandas.DataFrame:
    if "nll_swapped_inside" in table:
        table["system"] = "editor"
        table["nll_gap"] = table["nll_swapped_inside"] - table["nll_right_inside"]
        table = table.drop(columns=["nll_swapped_inside", "nll_swapped_outside"])
    return table.rename(columns=_old()["metrics"]).replace({"system": _old()["systems"]})


# Inputs and values of the editor's rows. One conversion for all: a group an input takes a
# hundred times as long, which a page of two hundred runs would wait for.
def _records(table: pandas.DataFrame) -> list[tuple[str, dict[str, float]]]:
    if table.empty:
        return []
    rows = table[table["system"] == "editor"]
    values = rows.drop(columns="sample", errors="ignore").select_dtypes("number")
    return list(zip(rows["input"], values.to_dict("records"), strict=True))


# What format 1 leaves to be computed from an input's samples.
def _means_of_samples(rows: pandas.DataFrame, known: dict[str, float]) -> dict[str, float]:
    ranks = rows["driver_rank"]
    best = ranks.loc[rows["driver_distance"].idxmin()]
    values = {name: float(rows[name].mean()) for name in ("l1_real", "l1_rec")}
    for name in known:
        k = name.removeprefix("recall_").removesuffix("_best_of_n")
        if k.isdecimal():
            found = pandas.Series(best) if name.endswith("_best_of_n") else ranks
            values[name] = float((found <= int(k)).mean())
    return values
