"""The parts of the dashboard as the template takes them: tables, captions, choices."""

import base64
from collections.abc import Sequence
from typing import Any

from e2eve.comparison import charts
from e2eve.comparison.cells import differences
from e2eve.comparison.comparison import Comparison
from e2eve.comparison.findings import protocols, remarks
from e2eve.comparison.measures import Measure
from e2eve.comparison.pictures import Link, SideBySide
from e2eve.comparison.script_data import pictured
from e2eve.comparison.tables import cell_rows, cells_csv, cells_latex, runs_csv
from e2eve.reporting.markup import inline
from e2eve.reporting.tables import Column, table_cells

SPREAD = "Means of the cells; bars show one standard deviation over seeds."
FRONT = (
    "Better is up and to the right; bars show one standard deviation over seeds. The dotted line "
    "joins the cells that no other beats in both. Edits that need no editor can be switched on in "
    "the legend."
)
NO_FRONT = "Better is up and to the right. No front is drawn, since the cells are not ranked."


def tables(comparison: Comparison, stem: str) -> dict[str, str]:
    """Names and texts of the files beside the page."""
    ranking, measures = comparison.ranking, comparison.measures
    return {
        f"{stem}.csv": cells_csv(ranking, measures),
        f"{stem}_runs.csv": runs_csv(comparison.cells, measures),
        f"{stem}.tex": cells_latex(ranking, [m for m in measures if m.shown]),
    }


def table_section(comparison: Comparison, stem: str) -> dict[str, Any]:
    ranking, measures = comparison.ranking, comparison.measures
    files = tables(comparison, stem)
    labels = ("Cells as CSV", "Runs as CSV", "LaTeX")
    types = ("text/csv", "text/csv", "application/x-tex")
    downloads = [
        {"name": name, "label": label, "address": _address(text, kind)}
        for (name, text), label, kind in zip(files.items(), labels, types, strict=True)
    ]
    return {
        "rows": cell_rows(ranking, measures) if any(cell.results for cell in ranking.cells) else [],
        "measures": measures,
        "refusals": {measure.key: ranking.refusal(measure) for measure in measures},
        "colours": [charts.colour(n) for n in range(len(ranking.cells))],
        "downloads": downloads,
        "caption": inline(_table_caption(comparison)),
    }


def _table_caption(comparison: Comparison) -> str:
    ranking = comparison.ranking
    parts = ["Mean ± standard deviation over seeds."]
    if len(ranking.ranked) > 1:
        parts.append(f"**Bold** is best of its column, * differs from it at 5 %: {ranking.test}.")
    refused = [m.heading for m in comparison.measures if ranking.refusal(m)]
    if refused:
        parts.append(
            f"Not ranked, since what they are measured with differs: {', '.join(refused)}."
        )
    return " ".join(parts)


def picture_section(comparison: Comparison, pictures: SideBySide) -> dict[str, Any]:
    cells = pictured(comparison)
    runs = [run for cell in cells for run in cell.finished if pictures.strips.get(run.folder)]
    seeds = sorted({str(run.seed) for run in runs}, key=lambda seed: (len(seed), seed))
    strips = [strip for strips in pictures.strips.values() for strip in strips.values()]
    samples = max((len(strip.samples) for strip in strips), default=0)
    reasons = "; ".join(sorted(set(pictures.missing.values()))) or "none is done"
    return {
        "inputs": pictures.inputs,
        "seeds": [(seed, seed) for seed in seeds],
        "pictured": [(n, cell.label) for n, cell in enumerate(cells)],
        "sample_numbers": [(n, str(n + 1)) for n in range(samples)],
        "pairs_caption": _pairs_caption(comparison),
        "pictures_caption": _pictures_caption(pictures),
        "no_pictures": f"No run has pictures of single inputs: {reasons}.",
    }


def _pairs_caption(comparison: Comparison) -> str:
    test = comparison.ranking.test
    return f"Means over seeds, and the adjusted p of the difference: {test or 'not compared'}."


def _pictures_caption(pictures: SideBySide) -> str:
    text = (
        "The first inputs of the validation set, none chosen; samples in the order in which they "
        "were drawn. Under each stands the driver's rank among the distractors, 1 is best. A click "
        "opens all samples in full size from the run's folder."
    )
    if pictures.left_out:
        text += f" {pictures.left_out} more inputs are left out to keep the page small."
    if pictures.inputs and pictures.inputs[0].source is None:
        text += " Sources and drivers are not shown: the validation set is not in the run folders."
    return text


def chart_section(comparison: Comparison, figures: charts.Charts) -> dict[str, Any]:
    faithful = [m for m in comparison.measures if m.aspect == "faithfulness"]
    natural = [m for m in comparison.measures if m.aspect == "naturalness"]
    ranked = len(comparison.ranking.ranked) == sum(bool(c.results) for c in comparison.cells)
    return {
        "measure_options": [(m.key, m.heading) for m in comparison.measures],
        "first_measure": _first(comparison.measures, "recall_5"),
        "bars_caption": f"{SPREAD}{'' if ranked else ' Paler ones are not ranked.'}",
        "across": [(m.key, m.heading) for m in natural],
        "across_first": _first(natural, "frechet_region"),
        "up": [(m.key, m.heading) for m in faithful],
        "up_first": _first(faithful, "recall_5"),
        "front_caption": FRONT if comparison.ranking.ranked else NO_FRONT,
        "has_parallel": bool(figures["parallel"]),
        "curve_options": [(name, name) for name in figures["curves"]],
    }


def _first(measures: Sequence[Measure], wanted: str) -> str:
    keys = [measure.key for measure in measures]
    return wanted if wanted in keys else next(iter(keys), "")


def config_section(comparison: Comparison) -> dict[str, Any]:
    cells = list(comparison.cells)
    columns = [Column("name", "Setting"), *(Column(f"c{n}", c.label) for n, c in enumerate(cells))]
    rows = [
        {"name": name, **{f"c{n}": value for n, value in enumerate(values)}}
        for name, values in differences(cells).items()
    ]
    facts = protocols(comparison.cells)
    names = [name for name in facts[0] if name != "fact"] if facts else []
    ways = [Column("fact", ""), *(Column(name, "") for name in names)]
    return {
        "differences": {"columns": columns, "rows": table_cells(rows, columns)},
        "protocol": {"columns": ways, "rows": table_cells(facts, ways)},
    }


def run_rows(comparison: Comparison, link: Link) -> list[dict[str, Any]]:
    """Failed ones first, then those that are still going on."""
    labels = {run.folder: cell.short_label for cell in comparison.cells for run in cell.runs}
    order = {"failed": 0, "running": 1}
    rows = []
    for run in sorted(comparison.runs, key=lambda run: order.get(run.state, 2)):
        step, planned = run.steps
        report = run.folder / "report.html"
        rows.append({
            "name": run.folder.name,
            "link": link(report) if report.exists() else "",
            "cell": labels.get(run.folder, "–"),
            "seed": "–" if run.seed is None else run.seed,
            "state": run.state,
            "step": f"{step} of {planned}" if planned else str(step or "–"),
            "time": run.time[:16].replace("T", " "),
            "remark": remarks(run, comparison.cells.doubles),
        })  # fmt: skip
    return rows


def _address(text: str, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(text.encode()).decode()}"
