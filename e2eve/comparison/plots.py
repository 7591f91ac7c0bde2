"""Charts of configurations, each in one colour throughout, paler where it is not ranked.

Plotly express draws each kind of chart once, for the metric or curve that is shown at first. The
page's script replaces its numbers by those of another: a figure for every choice would take many
times as long to make and as much room.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.express as px
import plotly.graph_objects as go

from e2eve.comparison.comparison import Comparison, with_deviation
from e2eve.comparison.runs import Configuration
from e2eve.metrics.info import MetricInfo
from e2eve.reporting.page import CURVES, PALETTE

DASHES = ("solid", "dash", "dot", "dashdot")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "star")
# Systems that need no editor and are the same for all runs on one validation set.
REFERENCES = {"paste": "paste", "poisson": "Poisson blend", "source": "source"}
POINTS = 200  # of a training curve, at most
QUIET = "#9AA2B1"
LEGEND_BELOW = {
    "orientation": "h", "x": 0, "xanchor": "left", "y": -0.2, "yanchor": "top",
    "title": {"text": ""},
}  # fmt: skip

# Steps and values of one curve, by place of the configuration and number of the run in it.
Series = dict[str, list[list[float]]]


def metric_numbers(comparison: Comparison, metric: MetricInfo) -> dict[str, Any]:
    """What the page's script puts into bars and points: lists over all configurations."""
    rows = comparison.of(metric.key)
    numbers = rows[["mean", "deviation"]].astype(object)
    texts = [f"{metric.label}: {text}" for text in rows["text"]]
    known = numbers.where(numbers.notna(), None).to_dict("list")
    return {**known, "text": texts, "axis": _axis(metric)}


def bar_chart(comparison: Comparison, metric: MetricInfo) -> go.Figure:
    """Means with their deviation over seeds; the first factor groups the bars."""
    figure = px.bar(
        _shown(comparison, y=metric), x="place", y="y", error_y="y_deviation", color="place",
        color_discrete_map=by_place(comparison, PALETTE), custom_data=["head", "y_text"],
    )  # fmt: skip
    figure.update_traces(error_y={"thickness": 2, "width": 0})
    for place, trace in _named(figure, comparison):
        first, *rest = map(_safe, comparison.configurations[place].factors.values() or [trace.name])
        trace.update(x=[[first], [" · ".join(rest)]] if rest else [first])
    factors = comparison.configurations[0].factors
    names = {"text": " · ".join(map(_safe, factors))}
    return figure.update_layout(
        height=380,
        margin={"t": 20},
        bargap=0.35,
        showlegend=False,
        yaxis={**_axis(metric), "autorange": True},
        xaxis={"title": names, "type": "multicategory" if len(factors) > 1 else "category"},
    )


def front_chart(comparison: Comparison, across: MetricInfo, up: MetricInfo) -> go.Figure:
    """Better to the right and upwards; the line joins the configurations that no other beats."""
    figure = px.scatter(
        _shown(comparison, x=across, y=up), x="x", y="y", color="place", symbol="place",
        error_x="x_deviation", error_y="y_deviation", custom_data=["head", "y_text", "x_text"],
        color_discrete_map=by_place(comparison, PALETTE),
        symbol_map=by_place(comparison, SYMBOLS, len(PALETTE)),
    )  # fmt: skip
    front = comparison.front(across, up)
    bars = {"thickness": 1.2, "width": 0}
    for place, trace in _named(figure, comparison):
        outline = {"width": 2.5 if place in front else 0, "color": QUIET}
        trace.update(marker={"size": 12, "line": outline}, error_x=bars, error_y=bars)
    line = go.Scatter(
        x=comparison.of(across.key)["mean"][front],
        y=comparison.of(up.key)["mean"][front],
        mode="lines",
        line={"color": QUIET, "dash": "dot", "shape": "vh"},
        name="Pareto front",
        meta="front",
        visible=bool(front),
    )
    points = _reference_points(comparison, across, up)
    figure.update_layout(
        height=460,
        margin={"t": 20},
        legend=LEGEND_BELOW,
        xaxis=_axis(across),
        yaxis=_axis(up),
    )
    return go.Figure([line, *figure.data, *points], figure.layout)


def reference_systems(comparison: Comparison) -> dict[str, dict[str, float]]:
    """Numbers of systems that need no editor, on the inputs of the ranked configurations."""
    if not comparison.ranked:
        return {}
    systems = comparison.configurations[comparison.ranked[0]].results[0].systems
    return {key: systems[key] for key in REFERENCES if key in systems}


def parallel_chart(comparison: Comparison, metrics: Sequence[MetricInfo]) -> go.Figure | None:
    """One line per configuration through its factors and means, better at the top.

    None for fewer than two. Made of plain lines: parallel coordinates of Plotly's own kind need
    WebGL, which many machines without a display lack.
    """
    means = comparison.means["mean"].unstack("metric")
    used = [metric for metric in metrics if means[metric.key].notna().sum() > 1]
    means = means.dropna(subset=[metric.key for metric in used])
    if len(means) < 2 or not used:
        return None
    table = pd.concat(dict(enumerate(_parallel_axes(comparison, means, used))), names=["axis"])
    figure = px.line(
        table.reset_index("axis"), x="axis", y="height", color="place", line_dash="place",
        markers=True, custom_data=["heading", "text"],
        color_discrete_map=by_place(comparison, PALETTE),
        line_dash_map=by_place(comparison, DASHES, len(PALETTE)),
    )  # fmt: skip
    for _, trace in _named(figure, comparison):
        trace.update(hovertemplate="%{customdata[0]}: %{customdata[1]}", opacity=1)
    ticks = table[table["tick"]].reset_index("axis")[["axis", "height", "text"]]
    headings = table["heading"].groupby("axis").first()
    return figure.update_layout(
        height=460,
        dragmode="select",
        margin={"t": 56},
        annotations=[_tick(*tick) for tick in ticks.itertuples(index=False)],
        xaxis={"tickvals": headings.index, "ticktext": headings, "side": "top", "fixedrange": True},
        xaxis_range=[-0.4, len(headings) - 0.6],
        xaxis_title=None,
        yaxis={"visible": False, "fixedrange": True, "range": [-0.1, 1.1]},
        legend=LEGEND_BELOW,
    )


# An axis for each factor, with all choices written on it, and for each metric, with its ends.
#
# Each is a table by configuration: `heading`, `height` of its line, 0 to 1, `text` of what is
# there, and whether a `tick` says so.
def _parallel_axes(
    comparison: Comparison, means: pd.DataFrame, metrics: Sequence[MetricInfo]
) -> Iterator[pd.DataFrame]:
    place = means.index.astype(str)
    for name in comparison.configurations[0].factors:
        texts = [_safe(comparison.configurations[n].factors[name]) for n in means.index]
        kinds = pd.Series(pd.factorize(pd.Series(texts))[0], means.index)
        height = 1 - kinds / max(1, kinds.max())
        table = pd.DataFrame({"height": height, "text": texts, "place": place})
        yield table.assign(heading=_safe(name), tick=~height.duplicated())
    for metric in metrics:
        values = means[metric.key]
        span = values.max() - values.min()
        height = (values - values.min()) / span if span else values * 0 + 0.5
        height = 1 - height if metric.best == "low" else height
        texts = [with_deviation(mean, math.nan, metric.spec) for mean in values]
        table = pd.DataFrame({"height": height, "text": texts, "place": place})
        ends = height.isin([0, 1] if span else [0.5])
        yield table.assign(heading=_safe(metric.label), tick=ends & ~height.duplicated())


def curve_series(comparison: Comparison) -> dict[str, Series]:
    """Training curves of all runs by name, validation before training before the rest."""
    found: dict[str, Series] = {}
    for place, one in enumerate(comparison.configurations):
        for number, run in enumerate(one.runs):
            for name in (name for name in run.curves if "learning_rate" not in name):
                found.setdefault(name, {})[f"{place}, {number}"] = thinned(*run.curves[name])
    parts = ("val/", "train/")
    order = sorted(found, key=lambda name: (*(not name.startswith(p) for p in parts), name))
    return {name: found[name] for name in order}


def thinned(
    steps: Sequence[float], values: Sequence[float], points: int = POINTS
) -> list[list[float]]:
    """Means over as many neighbouring steps as it takes to leave at most `points`."""
    starts = np.arange(0, len(steps), -(-len(steps) // points))
    sums = np.add.reduceat(np.array([steps, values], dtype=np.float64), starts, axis=1)
    means = sums / np.diff([*starts, len(steps)])
    return [means[0].tolist(), [float(f"{value:.5g}") for value in means[1]]]


def curve_chart(comparison: Comparison, curves: dict[str, Series]) -> go.Figure:
    """One line per run in the colour of its configuration, dashes tell seeds apart.

    The lines are those of the first curve; runs that have other curves only have an empty one.
    """
    first = next(iter(curves.values()))
    tables = []
    for run in dict.fromkeys(run for series in curves.values() for run in series):
        steps, values = first.get(run, ([math.nan], [math.nan]))
        names = dict(zip(("place", "number"), run.split(", "), strict=True))
        tables.append(pd.DataFrame({"x": steps, "y": values, **names}))
    figure = px.line(
        pd.concat(tables), x="x", y="y", color="place", line_dash="number",
        color_discrete_map=by_place(comparison, PALETTE),
        line_dash_map={str(n): DASHES[n % len(DASHES)] for n in range(len(comparison.runs))},
    )  # fmt: skip
    for trace in figure.data:
        place, number = map(int, trace.name.split(", "))
        label = _safe(comparison.configurations[place].label)
        seed = comparison.configurations[place].runs[number].seed
        trace.update(
            meta=trace.name,
            name=label,
            legendgroup=str(place),
            opacity=0.85,
            line={"width": 1.6},
            hovertemplate=f"%{{y:.4g}} at step %{{x}}<br>{label}, seed {seed}<extra></extra>",
        )
    return figure.update_layout(
        height=440, margin={"t": 20}, legend=LEGEND_BELOW, xaxis_title="step"
    )


def curve_title(comparison: Comparison, name: str) -> str:
    """The unit of a curve, or what it is called where it has none."""
    last = name.rpartition("/")[2]
    metrics = {metric.key: (metric.label, metric.unit) for metric in comparison.metrics}
    title, unit = CURVES.get(last) or metrics.get(last) or (name, "")
    return unit or title


# Configurations with results; of each metric the mean, its deviation, and both as text.
def _shown(comparison: Comparison, **metrics: MetricInfo) -> pd.DataFrame:
    found = comparison.configurations
    table = pd.DataFrame(index=[n for n, one in enumerate(found) if one.finished])
    table["place"] = table.index.astype(str)
    table["head"] = [described(found[place]) for place in table.index]
    for name, metric in metrics.items():
        rows = comparison.of(metric.key)
        table[name], table[f"{name}_deviation"] = rows["mean"], rows["deviation"]
        table[f"{name}_text"] = f"{metric.label}: " + rows["text"]
    return table


def described(one: Configuration) -> str:
    """The first lines of what is said of a bar or point."""
    seeds = "1 seed" if len(one.seeds) == 1 else f"{len(one.seeds)} seeds"
    return f"<b>{_safe(one.label)}</b><br>{seeds}"


def by_place(comparison: Comparison, kinds: Sequence[str], each: int = 1) -> dict[str, str]:
    """Kinds in turn, each for so many configurations, by the name that express gives a trace."""
    return {str(n): kinds[n // each % len(kinds)] for n in range(len(comparison.configurations))}


# Traces, drawn by the place of their configuration and now called as it is, with the place.
def _named(figure: go.Figure, comparison: Comparison) -> Iterator[tuple[int, Any]]:
    for trace in figure.data:
        place = int(trace.name.split(",")[0])
        lines = "<br>".join(f"%{{customdata[{n}]}}" for n in range(len(trace.customdata[0])))
        trace.update(
            name=_safe(comparison.configurations[place].label),
            meta=place,
            opacity=1 if place in comparison.ranked else 0.4,
            hovertemplate=f"{lines}<extra></extra>",
        )
        yield place, trace


# What needs no editor, hidden until it is asked for in the legend.
def _reference_points(
    comparison: Comparison, across: MetricInfo, up: MetricInfo
) -> list[go.Scatter]:
    return [
        go.Scatter(
            x=[numbers.get(across.key)],
            y=[numbers.get(up.key)],
            name=REFERENCES[key],
            meta=key,
            mode="markers+text",
            text=[REFERENCES[key]],
            textposition="top center",
            visible="legendonly",
            marker={"symbol": "x-thin-open", "color": "#7F7F7F"},
            hoverinfo="name",
        )
        for key, numbers in reference_systems(comparison).items()
    ]


# Above the top of an axis, below its foot, beside it in between.
def _tick(position: int, height: float, text: str) -> dict[str, Any]:
    anchor = {1.0: "bottom", 0.0: "top"}.get(height, "middle")
    shift = {1.0: 7, 0.0: -7}.get(height, 0)
    return {
        "x": position, "y": height, "text": text, "showarrow": False, "yanchor": anchor,
        "yshift": shift, "xshift": 0 if shift else -8, "xanchor": "center" if shift else "right",
        "font": {"size": 11},
    }  # fmt: skip


def _axis(metric: MetricInfo) -> dict[str, Any]:
    way = {"low": ", less is better", "high": ", more is better", None: ""}[metric.best]
    return {
        "title": {"text": f"{_safe(metric.label)}{way}"},
        "tickformat": ".1~%" if metric.spec.endswith("%") else "",
        "autorange": "reversed" if metric.best == "low" else True,
    }


# Plotly reads some HTML in texts.
def _safe(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")
