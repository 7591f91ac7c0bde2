"""Training curves of a metrics.csv: one row a step, one column a metric."""

from pathlib import Path
from typing import TYPE_CHECKING

from e2eve.reporting.charts import line_chart
from e2eve.runs import Curve, read_curves

if TYPE_CHECKING:
    import plotly.graph_objects as go

SHOWN_EVALUATIONS = ("frechet_region", "recall_5", "l1_real", "diversity_region", "gap")
"""Of the metrics of evaluations during a training, those that get a chart."""

TITLES = {
    "loss": ("Loss", ""),
    "nll_inside": ("Negative log-likelihood inside the region", "nat per token"),
    "nll_outside": ("Negative log-likelihood outside the region", "nat per token"),
    "l1_real": ("L1 to the source outside the region", "pixels in [-1, 1]"),
}
"""Title and unit of a chart; others are called what the metric is called."""


def curve_charts(path: str | Path) -> list["go.Figure"]:
    """One chart for each metric, with a line for each of its parts: `train/loss`, `val/loss`."""
    groups: dict[str, dict[str, Curve]] = {}
    for name, curve in read_curves(path).items():
        part, _, metric = name.rpartition("/")
        if part.startswith("evaluation/") and metric not in SHOWN_EVALUATIONS:
            continue
        groups.setdefault(metric, {})[part or "all"] = curve
    charts = []
    for metric in sorted(groups, key=_order):
        title, unit = TITLES.get(metric, (metric.replace("_", " ").capitalize(), ""))
        parts = groups[metric]
        charts.append(
            line_chart({part: parts[part] for part in sorted(parts)}, title, "step", unit)
        )
    return charts


def _order(metric: str) -> tuple[int, str]:
    """Losses first, the learning rate last."""
    first = ("loss", "nll_inside", "nll_outside")
    if metric in first:
        return first.index(metric), metric
    return (len(first) + (metric == "learning_rate"), metric)
