"""Charts in the colours of all pages: plotly figures and the JSON a page embeds."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from markupsafe import Markup

from e2eve.runs import Curve

# Okabe and Ito's palette, told apart by colour-blind readers, on white and on black.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
FONT = "Inter, system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
GRID = "rgba(128,134,150,0.22)"

CURVES = {
    "loss": ("Loss", ""),
    "nll_inside": ("Negative log-likelihood inside the region", "nats per token"),
    "nll_outside": ("Negative log-likelihood outside the region", "nats per token"),
    "l1_real": ("L1 to the source outside the region", "pixels in [-1, 1]"),
}
"""Title and unit of a chart of a training curve; others are called what the metric is called."""

SHOWN_EVALUATIONS = ("frechet_region", "recall_5", "l1_real", "diversity_region", "nll_gap", "gap")
"""Metrics of evaluations during a training run that get a chart."""


def house_template() -> "go.layout.Template":
    """Fonts, colours and margins of every chart; the page gives the text colour, light or dark."""
    axis = {
        "gridcolor": GRID,
        "linecolor": GRID,
        "zerolinecolor": GRID,
        "ticks": "",
        "automargin": True,
        "title": {"standoff": 12, "font": {"size": 13}},
    }
    layout = go.Layout(
        font={"family": FONT, "size": 13},
        title={"font": {"size": 15}, "x": 0, "xanchor": "left", "xref": "paper"},
        colorway=PALETTE,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        margin={"l": 56, "r": 16, "t": 48, "b": 48},
        xaxis=axis,
        yaxis=axis,
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "xanchor": "right", "x": 1},
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": GRID, "remove": ["select2d", "lasso2d"]},
        hoverlabel={"font": {"family": FONT}},
    )
    return go.layout.Template(layout=layout)


def line_chart(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    title: str,
    x_title: str,
    y_title: str,
    height: int = 340,
) -> "go.Figure":
    """One line for each name of `curves`, given as (x values, y values); `height` in pixels."""
    import pandas as pd
    import plotly.express as px

    tables = [pd.DataFrame({"x": x, "y": y, "name": name}) for name, (x, y) in curves.items()]
    figure = px.line(
        pd.concat(tables), x="x", y="y", color="name", markers=True, title=title, height=height,
        labels={"x": x_title, "y": y_title, "name": ""}, color_discrete_sequence=PALETTE,
    )  # fmt: skip
    figure.update_traces(hovertemplate=None, marker={"size": 5})
    figure.for_each_trace(lambda line: line.update(mode="lines") if len(line.x) > 40 else None)
    return figure.update_layout(showlegend=len(curves) > 1, hovermode="x unified")


def curve_charts(curves: Mapping[str, Curve]) -> list["go.Figure"]:
    """One chart for each metric, with a line for each of its parts: `train/loss`, `val/loss`."""
    groups: dict[str, dict[str, Curve]] = {}
    for name, curve in sorted(curves.items()):
        part, _, metric = name.rpartition("/")
        if not part.startswith("evaluation/") or metric in SHOWN_EVALUATIONS:
            groups.setdefault(metric, {})[part or "all"] = curve
    first = ("loss", "nll_inside", "nll_outside")
    order = sorted(groups, key=lambda m: ((*first, m).index(m), m == "learning_rate", m))
    titles = (CURVES.get(m, (m.replace("_", " ").capitalize(), "")) for m in order)
    lines = zip(order, titles, strict=True)
    return [line_chart(groups[m], title, "step", unit) for m, (title, unit) in lines]


def figure_dict(figure: "go.Figure") -> dict[str, Any]:
    """The figure in the house template, as Plotly's script takes it."""
    return json.loads(figure.update_layout(template=house_template()).to_json())


def script_safe(data: object) -> Markup:
    """Data as JSON that cannot end the `<script>` element that it stands in."""
    text = json.dumps(data, allow_nan=False, ensure_ascii=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))
