"""metrics.csv: one row per step that logged something, one column per metric."""

import csv
from collections.abc import Mapping
from pathlib import Path

Curve = tuple[list[float], list[float]]  # steps, values


def read_curves(path: str | Path) -> dict[str, Curve]:
    """Steps and values of each column, those without values left out; empty without a file."""
    curves: dict[str, Curve] = {}
    for step, row in Curves(path).rows.items():
        for name, value in row.items():
            steps, values = curves.setdefault(name, ([], []))
            steps.append(float(step))
            values.append(value)
    return curves


class Curves:
    """The rows of a metrics.csv; those that an interrupted run repeats are written over."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.rows: dict[int, dict[str, float]] = {}
        if self.path.exists():
            with self.path.open(newline="", encoding="utf-8") as file:
                for row in csv.DictReader(file):
                    step = int(float(row.pop("step")))
                    self.rows[step] = {name: float(v) for name, v in row.items() if v}

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Keep the values of a step, in the place of earlier ones of the same names."""
        self.rows.setdefault(step, {}).update(values)

    def save(self) -> None:
        """Write the file in one piece: nobody reads half of it."""
        names = sorted({name for row in self.rows.values() for name in row})
        partial = self.path.with_suffix(".partial")
        with partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["step", *names], restval="")
            writer.writeheader()
            writer.writerows({"step": step, **row} for step, row in sorted(self.rows.items()))
        partial.replace(self.path)
