"""Training curves of a metrics.csv: one row a step, one column a metric."""

import csv
from pathlib import Path
from typing import TYPE_CHECKING

from e2eve.reporting import charts
from e2eve.reporting.charts import Curve

if TYPE_CHECKING:
    import plotly.graph_objects as go


def read_curves(path: str | Path) -> dict[str, Curve]:
    """Steps and values of each column; empty cells are left out."""
    curves: dict[str, Curve] = {}
    with Path(path).open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            step = float(row.pop("step"))
            for name, value in row.items():
                if value:
                    steps, values = curves.setdefault(name, ([], []))
                    steps.append(step)
                    values.append(float(value))
    return curves


def curve_charts(path: str | Path) -> list["go.Figure"]:
    """One chart for each metric, with a line for each of its parts: `train/loss`, `val/loss`."""
    return charts.curve_charts(read_curves(path))
