"""The number that a search is after, read from what a run left."""

import csv
import json

from e2eve.config import choose
from e2eve.runs import RunFolder


def read_metric(run: RunFolder, name: str) -> float:
    """`system/metric` or `nll/…` of metrics.json, or the last value in a column of metrics.csv.

    Raises:
        ValueError: when the run has no such number.
    """
    return choose(name, {**last_values(run), **final_values(run)}, "sweep.metric")


def final_values(run: RunFolder) -> dict[str, float]:
    """What the evaluation at the end has found."""
    path = run / "metrics.json"
    if not path.exists():
        return {}
    found = json.loads(path.read_text(encoding="utf-8"))
    values = {
        f"{row['key']}/{name}": value
        for row in found["systems"]
        for name, value in row.items()
        if isinstance(value, int | float)
    }
    means = {f"nll/{name}": value["mean"] for name, value in found["nll"].items() if value}
    return values | means


def last_values(run: RunFolder) -> dict[str, float]:
    """What the training has logged last."""
    path = run / "metrics.csv"
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {name: float(v) for row in rows for name, v in row.items() if name != "step" and v}
