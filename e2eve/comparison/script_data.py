"""What the page's script works on: charts, and pictures by cell, seed and input, as JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from e2eve.comparison import charts
from e2eve.comparison.cells import Cell
from e2eve.comparison.comparison import Comparison
from e2eve.comparison.measures import Measure
from e2eve.comparison.pictures import SideBySide, Strip
from e2eve.comparison.tables import CellRow, cell_rows, written_p
from e2eve.reporting.charts import house_template, script_safe


@dataclass(frozen=True)
class LiveState:
    """A text that changes when the runs do, and how often to ask for it, in seconds."""

    state: str
    seconds: float


def figures_of(comparison: Comparison) -> charts.Charts:
    ranking, measures = comparison.ranking, comparison.measures
    natural = [m for m in measures if m.aspect == "naturalness"]
    faithful = [m for m in measures if m.aspect == "faithfulness"]
    parallel = charts.parallel_chart(ranking, [m for m in measures if m.shown])
    names = dict.fromkeys(n for cell in ranking.cells for run in cell.runs for n in run.curves)
    curves = sorted((name for name in names if "learning_rate" not in name), key=_curve_order)
    return {
        "bars": {m.key: charts.bar_chart(ranking, m) for m in measures},
        "front": {
            f"{x.key} {y.key}": charts.front_chart(ranking, x, y) for x in natural for y in faithful
        },
        "parallel": {} if parallel is None else {"all": parallel},
        "curves": {name: charts.curve_chart(list(ranking.cells), name) for name in curves},
    }


def figures_json(figures: charts.Charts) -> str:
    """With the template of all of them."""
    everything = {"template": house_template().to_plotly_json(), **figures}
    return script_safe(json.dumps(everything, allow_nan=False, ensure_ascii=False))


def _curve_order(name: str) -> tuple[bool, bool, str]:
    return not name.startswith("val/"), not name.startswith("train/"), name


def page_data(comparison: Comparison, pictures: SideBySide, live: LiveState | None) -> str:
    """What dashboard.js works on."""
    shown = [measure for measure in comparison.measures if measure.shown]
    rows = cell_rows(comparison.ranking, shown)
    data = {
        "cells": [_cell(row, shown, pictures) for row in rows if row.cell.results],
        "inputs": [vars(item) for item in pictures.inputs],
        "live": vars(live) if live else None,
        "measures": [{"key": measure.key, "heading": measure.heading} for measure in shown],
        "pairs": {measure.key: _pairs(comparison, measure) for measure in shown},
    }
    return script_safe(json.dumps(data, ensure_ascii=False))


def _cell(row: CellRow, measures: Sequence[Measure], pictures: SideBySide) -> dict[str, Any]:
    runs = [
        {
            "seed": str(run.seed),
            "missing": pictures.missing.get(run.folder, ""),
            "strips": _strips(pictures.strips.get(run.folder, {})),
        }
        for run in row.cell.finished
    ]
    texts = {m.key: number.text for m, number in zip(measures, row.numbers, strict=True)}
    colour = charts.colour(row.place)
    names = {"label": row.cell.label, "short": row.cell.short_label}
    return {**names, "colour": colour, "runs": runs, "numbers": texts}


def _strips(strips: Mapping[str, Strip]) -> dict[str, Any]:
    def plain(strip: Strip) -> dict[str, Any]:
        samples = [[sample.picture, sample.note] for sample in strip.samples]
        return {"link": strip.link, "samples": samples}

    return {name: plain(strip) for name, strip in strips.items()}


def _pairs(comparison: Comparison, measure: Measure) -> list[list[str]] | None:
    """Adjusted p of the cells with results, empty where a pair is not compared."""
    ranking = comparison.ranking
    p = ranking.p_values(measure) if ranking.marks(measure) else None
    if p is None:
        return None
    places = [n for n, cell in enumerate(ranking.cells) if cell.results]
    row = {place: n for n, place in enumerate(ranking.ranked)}
    return [
        [written_p(p[row[a], row[b]]) if {a, b} <= row.keys() and a != b else "" for b in places]
        for a in places
    ]


def pictured(comparison: Comparison) -> list[Cell]:
    """In the order of the data that the script works on."""
    return [cell for cell in comparison.cells if cell.results]
