"""Charts of cells: one colour a cell in all of them, paler where it is not ranked.

They are plain dictionaries, which is what Plotly's script takes: its Python classes need seconds
for the dozens of charts of a page. The tests have those classes check them.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from e2eve.comparison.cells import Cell
from e2eve.comparison.measures import Measure, with_deviation
from e2eve.comparison.ranking import Ranking
from e2eve.evaluation.curves import TITLES, Curve
from e2eve.reporting.charts import PALETTE

Chart = dict[str, Any]
"""`data` and `layout` of a Plotly figure, without the template."""

Charts = dict[str, dict[str, Chart]]
"""By the name of the chart and by what may be chosen in it."""

DASHES = ("solid", "dash", "dot", "dashdot")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "star")
REFERENCES = {"paste": "paste", "poisson": "Poisson blend", "source": "source"}
"""Systems that need no editor and are the same for all runs on one validation set."""

POINTS = 200
"""Of a training curve, at most."""


LEGEND_BELOW = {"orientation": "h", "x": 0, "xanchor": "left", "y": -0.2, "yanchor": "top"}


def colour(place: int) -> str:
    return PALETTE[place % len(PALETTE)]


def dash(number: int) -> str:
    return DASHES[number % len(DASHES)]


def bar_chart(ranking: Ranking, measure: Measure) -> Chart:
    """Means with their deviation over seeds; the first factor groups the bars."""
    shown = [(n, cell) for n, cell in enumerate(ranking.cells) if cell.results]
    deviations = [_number(cell.deviation(measure.key)) for _, cell in shown]
    bars = {
        "type": "bar",
        "x": _bar_names([cell for _, cell in shown]),
        "y": [_number(cell.mean(measure.key)) for _, cell in shown],
        "error_y": {"array": deviations, "thickness": 2, "width": 0},
        "marker": {
            "color": [colour(n) for n, _ in shown],
            "opacity": [1 if n in ranking.ranked else 0.4 for n, _ in shown],
        },
        "hovertext": [_told(cell, measure) for _, cell in shown],
        "hoverinfo": "text",
    }
    several = len(ranking.cells.factors) > 1
    names = {"title": {"text": " · ".join(map(_safe, ranking.cells.factors))}}
    layout = {
        "height": 380,
        "margin": {"t": 20},
        "bargap": 0.35,
        "yaxis": _axis(measure),
        "xaxis": {**names, "type": "multicategory" if several else "category"},
    }
    return {"data": [bars], "layout": layout}


def front_chart(ranking: Ranking, across: Measure, up: Measure) -> Chart:
    """Better to the right and upwards; the line joins the cells that no other beats in both."""
    on_front = ranking.front((across, up))
    front = [cell for cell, on in zip(ranking.cells, on_front, strict=True) if on]
    points = sorted((cell.mean(across.key), cell.mean(up.key)) for cell in front)
    points = points[::-1] if across.best == "low" else points
    line = {
        "type": "scatter",
        "x": [x for x, _ in points],
        "y": [y for _, y in points],
        "mode": "lines",
        "line": {"color": "#9AA2B1", "dash": "dot", "shape": "vh"},
        "name": "Pareto front",
    }
    cells = [
        _point(n, cell, across, up, ranking, bool(on_front[n]))
        for n, cell in enumerate(ranking.cells)
        if cell.results
    ]
    layout = {
        "height": 460,
        "margin": {"t": 20},
        "xaxis": {**_axis(across), "autorange": "reversed" if across.best == "low" else True},
        "yaxis": {**_axis(up), "autorange": "reversed" if up.best == "low" else True},
        "legend": LEGEND_BELOW,
    }
    data = [line, *cells] if front else cells
    return {"data": [*data, *_references(ranking, across, up)], "layout": layout}


def parallel_chart(ranking: Ranking, measures: Sequence[Measure]) -> Chart | None:
    """One line a cell through its factors and means, better at the top; None below two cells.

    Made of plain lines: parallel coordinates of Plotly's own kind need WebGL, which many machines
    without a display lack.
    """
    used = [m for m in measures if sum(np.isfinite(c.mean(m.key)) for c in ranking.cells) > 1]
    shown = [
        n for n, c in enumerate(ranking.cells) if all(np.isfinite(c.mean(m.key)) for m in used)
    ]
    if len(shown) < 2 or not used:
        return None
    cells = [ranking.cells[n] for n in shown]
    axes = [_choice_axis(cells, name) for name in ranking.cells.factors]
    axes += [_measure_axis(cells, measure) for measure in used]
    lines = [_parallel_line(n, place, cells[place], axes) for place, n in enumerate(shown)]
    ticks = [_tick(n, *tick) for n, axis in enumerate(axes) for tick in axis.ticks.items()]
    places = list(range(len(axes)))
    layout = {
        "height": 460,
        "dragmode": "select",
        "margin": {"t": 56},
        "annotations": ticks,
        "xaxis": {
            "tickvals": places,
            "ticktext": [axis.heading for axis in axes],
            "side": "top",
            "fixedrange": True,
            "range": [-0.4, len(axes) - 0.6],
        },
        "yaxis": {"visible": False, "fixedrange": True, "range": [-0.1, 1.1]},
        "legend": LEGEND_BELOW,
    }
    return {"data": lines, "layout": layout}


def _parallel_line(place: int, row: int, cell: Cell, axes: Sequence["_Axis"]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "x": list(range(len(axes))),
        "y": [axis.heights[row] for axis in axes],
        "name": _safe(cell.label),
        "mode": "lines+markers",
        "line": {"color": colour(place), "width": 2, "dash": dash(place // len(PALETTE))},
        "hovertext": [f"{axis.heading}: {axis.texts[row]}" for axis in axes],
        "hovertemplate": "%{hovertext}",
    }


def curve_chart(cells: Sequence[Cell], metric: str) -> Chart:
    """One line a run in the colour of its cell, dashes telling seeds apart."""
    title, unit = TITLES.get(metric.rpartition("/")[2], (metric, ""))
    lines: list[dict[str, Any]] = []
    for n, cell in enumerate(cells):
        having = [(place, run) for place, run in enumerate(cell.runs) if metric in run.curves]
        for place, run in having:
            steps, values = thinned(run.curves[metric])
            lines.append({
                "type": "scatter",
                "x": steps,
                "y": values,
                "name": _safe(cell.label),
                "legendgroup": str(n),
                "showlegend": place == having[0][0],
                "mode": "lines+markers" if len(steps) < 3 else "lines",
                "opacity": 0.85,
                "line": {"color": colour(n), "width": 1.6, "dash": dash(place)},
                "hovertemplate": f"%{{y:.4g}} at step %{{x}}<br>{_safe(cell.label)}, "
                f"seed {run.seed}<extra></extra>",
            })  # fmt: skip
    layout = {
        "height": 440,
        "margin": {"t": 20},
        "xaxis": {"title": {"text": "step"}},
        "yaxis": {"title": {"text": unit or title}},
        "legend": LEGEND_BELOW,
    }
    return {"data": lines, "layout": layout}


def thinned(curve: Curve, points: int = POINTS) -> Curve:
    """Means over as many neighbouring steps as it takes to leave at most `points`."""
    width = -(-len(curve[0]) // points)
    groups = [[column[i : i + width] for i in range(0, len(column), width)] for column in curve]
    steps = [float(np.mean(group)) for group in groups[0]]
    return steps, [float(f"{np.mean(group):.5g}") for group in groups[1]]


def _bar_names(cells: Sequence[Cell]) -> list[Any]:
    """Names for an axis, on two levels where there are several factors."""
    factors = [list(cell.factors.values()) for cell in cells]
    if not factors or len(factors[0]) < 2:
        return [" ".join(values) or cell.label for cell, values in zip(cells, factors, strict=True)]
    return [[values[0] for values in factors], [" · ".join(values[1:]) for values in factors]]


def _point(
    place: int, cell: Cell, across: Measure, up: Measure, ranking: Ranking, front: bool
) -> dict[str, Any]:
    bars = {"thickness": 1.2, "width": 0}
    return {
        "type": "scatter",
        "x": [_number(cell.mean(across.key))],
        "y": [_number(cell.mean(up.key))],
        "error_x": {"array": [_number(cell.deviation(across.key))], **bars},
        "error_y": {"array": [_number(cell.deviation(up.key))], **bars},
        "name": _safe(cell.label),
        "mode": "markers",
        "opacity": 1 if place in ranking.ranked else 0.4,
        "marker": {
            "color": colour(place),
            "size": 12,
            "symbol": SYMBOLS[place // len(PALETTE) % len(SYMBOLS)],
            "line": {"width": 2.5 if front else 0, "color": "#9AA2B1"},
        },
        "hovertext": [f"{_told(cell, up)}<br>{_told(cell, across, named=False)}"],
        "hoverinfo": "text",
    }


def _references(ranking: Ranking, across: Measure, up: Measure) -> list[dict[str, Any]]:
    """What needs no editor, hidden until it is asked for in the legend."""
    if not ranking.ranked:
        return []
    systems = ranking.cells[ranking.ranked[0]].results[0].systems
    return [
        {
            "type": "scatter",
            "x": [systems[key][across.key]],
            "y": [systems[key][up.key]],
            "name": name,
            "mode": "markers+text",
            "text": [name],
            "textposition": "top center",
            "visible": "legendonly",
            "marker": {"symbol": "x-thin-open", "color": "#7F7F7F"},
        }
        for key, name in REFERENCES.items()
        if {across.key, up.key} <= systems.get(key, {}).keys()
    ]


class _Axis(NamedTuple):
    """Of parallel coordinates: where each cell stands, 0 to 1, and what is written at heights."""

    heading: str
    heights: list[float]
    texts: list[str]
    ticks: dict[float, str]


def _choice_axis(cells: Sequence[Cell], factor: str) -> _Axis:
    values = [_safe(cell.factors[factor]) for cell in cells]
    kinds = list(dict.fromkeys(values))
    heights = {kind: n / max(1, len(kinds) - 1) for n, kind in enumerate(reversed(kinds))}
    ticks = {height: kind for kind, height in heights.items()}
    return _Axis(_safe(factor), [heights[value] for value in values], values, ticks)


def _measure_axis(cells: Sequence[Cell], measure: Measure) -> _Axis:
    values = np.array([cell.mean(measure.key) for cell in cells])
    texts = [with_deviation(value, None, measure.spec) for value in values]
    low, high = int(values.argmin()), int(values.argmax())
    worst, best = (high, low) if measure.best == "low" else (low, high)
    span = values[best] - values[worst]
    heights = (values - values[worst]) / span if span else np.full(len(values), 0.5)
    ticks = {1.0: texts[best], 0.0: texts[worst]} if span else {0.5: texts[best]}
    return _Axis(measure.heading, heights.tolist(), texts, ticks)


def _tick(position: int, height: float, text: str) -> dict[str, Any]:
    """Above the top of an axis, below its foot, beside it in between."""
    anchor = {1.0: "bottom", 0.0: "top"}.get(height, "middle")
    shift = {1.0: 7, 0.0: -7}.get(height, 0)
    return {
        "x": position, "y": height, "text": text, "showarrow": False, "yanchor": anchor,
        "yshift": shift, "xshift": 0 if shift else -8, "xanchor": "center" if shift else "right",
        "font": {"size": 11},
    }  # fmt: skip


def _axis(measure: Measure) -> dict[str, Any]:
    way = {"low": ", less is better", "high": ", more is better", None: ""}[measure.best]
    return {"title": {"text": f"{measure.heading}{way}"}, "tickformat": _tick_format(measure)}


def _tick_format(measure: Measure) -> str:
    return ".1~%" if measure.spec.endswith("%") else ""


def _told(cell: Cell, measure: Measure, named: bool = True) -> str:
    number = with_deviation(cell.mean(measure.key), cell.deviation(measure.key), measure.spec)
    line = f"{measure.heading}: {number}"
    if not named:
        return line
    seeds = "1 seed" if len(cell.seeds) == 1 else f"{len(cell.seeds)} seeds"
    return f"<b>{_safe(cell.label)}</b><br>{seeds}<br>{line}"


def _safe(text: str) -> str:
    """Plotly reads some HTML in hover texts."""
    return text.replace("&", "&amp;").replace("<", "&lt;")


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None
