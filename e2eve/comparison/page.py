"""The dashboard: one HTML file of a comparison, and its tables beside it."""

import base64
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pandas as pd
from markupsafe import Markup

from e2eve.comparison import charts, tables
from e2eve.comparison.comparison import (
    FAITHFUL,
    NATURAL,
    Comparison,
    by_aspect,
    highlights,
    leading,
    written_p,
)
from e2eve.comparison.configurations import differences
from e2eve.comparison.images import Link, SideBySide, Strip, side_by_side
from e2eve.metrics.info import MetricInfo
from e2eve.reporting.charts import figure_dict, script_safe
from e2eve.reporting.page import environment, inline, plotly_script
from e2eve.reporting.progress import Report, silent

SECTIONS = {
    "results": "Results",
    "images": "Side by side",
    "bars": "Means",
    "front": "Naturalness and faithfulness",
    "parallel": "All metrics",
    "curves": "Training",
    "differences": "Configurations",
    "measured": "What was measured",
    "runs": "Runs",
}

FRONT = (
    "Better is up and to the right; bars show one standard deviation over seeds. The dotted line "
    "joins the configurations that no other beats in both. Edits that need no editor can be "
    "switched on in the legend."
)
NO_FRONT = (
    "Better is up and to the right. No front is drawn, since the configurations are not ranked."
)


class PageSettings(NamedTuple):
    """`thumbnail` is the longest edge of images in pixels, `inputs` the most that are shown."""

    title: str
    thumbnail: int = 128
    inputs: int = 12


class LiveState(NamedTuple):
    """A text that changes when the runs do, and how often to ask for it, in seconds."""

    state: str
    seconds: float


def write_dashboard(
    path: Path, comparison: Comparison, settings: PageSettings, progress: Report = silent
) -> Path:
    """Writes the page and the tables beside it, `.csv`, `_runs.csv` and `.tex`; its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    link = relative_to(path.parent)
    html = dashboard_html(comparison, settings, link, path.stem, progress=progress)
    path.write_text(html, encoding="utf-8")
    for name, text in tables.files(comparison, path.stem).items():
        (path.parent / name).write_text(text, encoding="utf-8")
    return path


def relative_to(folder: Path) -> Link:
    """Addresses of files for a page in `folder`."""
    start = folder.resolve()
    return lambda path: quote(Path(os.path.relpath(path.resolve(), start)).as_posix())


def dashboard_html(
    comparison: Comparison,
    settings: PageSettings,
    link: Link,
    stem: str = "dashboard",
    live: LiveState | None = None,
    progress: Report = silent,
) -> str:
    """The page as text.

    Args:
        link: gives the address of a file in a run folder, as seen from the page.
        live: for a page that is served and follows its runs.
    """
    runs = [run for one in comparison.configurations for run in one.runs]
    images = side_by_side(runs, link, settings.thumbnail, settings.inputs, progress)
    figures = figures_of(comparison)
    shown = {
        "title": settings.title,
        "subtitle": _subtitle(comparison),
        "live": live is not None,
        "notes": _notes(comparison),
        "highlights": highlights(comparison),
        "plotly": plotly_script(),
        "figures": script_safe(figures),
        "data": script_safe(script_data(comparison, images, live)),
        "runs": run_rows(comparison, link),
        "differences": _differences(comparison),
        "protocol": plain_table(tables.protocols(comparison).reset_index(), header=False),
        **_results_section(comparison, stem),
        **_image_section(comparison, images),
        **_chart_section(comparison, figures),
    }
    absent = {name for name in ("bars", "front", "parallel") if not shown[f"has_{name}"]}
    shown["sections"] = [
        {"anchor": a, "heading": h} for a, h in SECTIONS.items() if a not in absent
    ]
    return environment("e2eve.comparison").get_template("dashboard.html.j2").render(shown)


def figures_of(comparison: Comparison) -> dict[str, Any]:
    """Charts as Plotly's script takes them, and the numbers of all that can be chosen in them.

    A chart is None where there is nothing to draw.
    """
    metrics, curves = comparison.metrics, charts.curve_series(comparison)
    across, up = by_aspect(metrics, NATURAL), by_aspect(metrics, FAITHFUL)
    figures = {
        "bars": charts.bar_chart(comparison, leading(up or metrics)) if metrics else None,
        "front": charts.front_chart(comparison, leading(across), leading(up))
        if across and up
        else None,
        "parallel": charts.parallel_chart(comparison, [m for m in metrics if m.shown]),
        "curves": charts.curve_chart(comparison, curves) if curves else None,
    }
    return {
        **{name: figure and figure_dict(figure) for name, figure in figures.items()},
        "heads": [charts.described(one) for one in comparison.configurations],
        "numbers": {m.key: charts.metric_numbers(comparison, m) for m in metrics},
        "fronts": {
            f"{x.key} {y.key}": charts.front_places(comparison, x, y) for x in across for y in up
        },
        "references": charts.reference_systems(comparison),
        "series": curves,
        "titles": {name: charts.curve_title(comparison, name) for name in curves},
    }


def script_data(
    comparison: Comparison, images: SideBySide, live: LiveState | None
) -> dict[str, Any]:
    """What dashboard.js works on beside the charts."""
    shown = [metric for metric in comparison.metrics if metric.shown]
    finished = [n for n, one in enumerate(comparison.configurations) if one.finished]
    return {
        "configurations": [_configuration(comparison, n, shown, images) for n in finished],
        "inputs": [item._asdict() for item in images.inputs],
        "live": live._asdict() if live else None,
        "metrics": [{"key": metric.key, "label": metric.label} for metric in shown],
        "pairs": {metric.key: _pairs(comparison, metric.key, finished) for metric in shown},
    }


def _configuration(
    comparison: Comparison, place: int, metrics: Sequence[MetricInfo], images: SideBySide
) -> dict[str, Any]:
    one = comparison.configurations[place]
    strips: Mapping[str, Strip]
    runs = []
    for run in one.finished:
        strips = images.strips.get(run.folder, {})
        found = {id: strip._asdict() for id, strip in strips.items()}
        missing = images.missing.get(run.folder, "")
        runs.append({"seed": str(run.seed), "missing": missing, "strips": found})
    return {
        "label": one.label,
        "short": one.short_label,
        "colour": charts.colour(place),
        "runs": runs,
        "numbers": {m.key: comparison.summary.loc[(place, m.key), "text"] for m in metrics},
    }


def _pairs(comparison: Comparison, metric: str, places: Sequence[int]) -> list[list[str]] | None:
    """Adjusted p of the configurations with results, empty where a pair is not compared."""
    if metric not in comparison.pairs:
        return None
    table = comparison.pairs[metric].map(written_p)
    for place in table.index:
        table.loc[place, place] = ""
    return table.reindex(index=places, columns=places).fillna("").to_numpy().tolist()


def _results_section(comparison: Comparison, stem: str) -> dict[str, Any]:
    """The large table: its rows, columns, files, and what is said under it."""
    files = tables.files(comparison, stem)
    kinds = (("By configuration, CSV", "csv"), ("By run, CSV", "csv"), ("LaTeX", "x-tex"))
    found = comparison.configurations if comparison.metrics else ()
    return {
        "has_bars": bool(comparison.metrics),
        "rows": [_result_row(comparison, n) for n in range(len(found))],
        "factors": list(found[0].factors) if found else [],
        "metrics": comparison.metrics,
        "unranked": comparison.unranked,
        "downloads": [
            {"name": name, "label": label, "address": _address(text, kind)}
            for (name, text), (label, kind) in zip(files.items(), kinds, strict=True)
        ],
        "caption": inline(_results_caption(comparison)),
    }


def _result_row(comparison: Comparison, place: int) -> dict[str, Any]:
    one, numbers = comparison.configurations[place], comparison.summary.loc[place]
    return {
        "place": place,
        "colour": charts.colour(place),
        "ranked": place in comparison.ranked,
        "label": one.label,
        "factors": one.factors,
        "seeds": one.seeds,
        "runs": tables.seeds_text(len(one.finished), len(one.runs)),
        "numbers": {str(key): {**row, "hint": _hint(row)} for key, row in numbers.iterrows()},
    }


def _hint(number: pd.Series) -> str:
    """What is said of a number on a closer look."""
    if number["best"]:
        return "best"
    if pd.isna(number["p"]):
        return ""
    worse = number["worse"]
    verdict = "differs from the best" if worse else "no difference to the best shown"
    return f"{verdict}, adjusted p {written_p(number['p'])}"


def _results_caption(comparison: Comparison) -> str:
    parts = ["Mean ± standard deviation over seeds."]
    if len(comparison.ranked) > 1:
        test = f"{comparison.test}."
        parts.append(f"**Bold** is best of its column, * differs from it at 5 %: {test}")
    refused = [metric.label for metric in comparison.metrics if metric.key in comparison.unranked]
    if refused:
        names = ", ".join(refused)
        parts.append(f"Not ranked, since what they are measured with differs: {names}.")
    return " ".join(parts)


def _image_section(comparison: Comparison, images: SideBySide) -> dict[str, Any]:
    found = [one for one in comparison.configurations if one.finished]
    runs = [run for one in found for run in one.finished if images.strips.get(run.folder)]
    seeds = sorted({str(run.seed) for run in runs}, key=lambda seed: (len(seed), seed))
    strips = [strip for strips in images.strips.values() for strip in strips.values()]
    samples = max((len(strip.samples) for strip in strips), default=0)
    reasons = "; ".join(sorted(set(images.missing.values()))) or "none is done"
    test = comparison.test or "not compared"
    return {
        "inputs": images.inputs,
        "seeds": [(seed, seed) for seed in seeds],
        "finished": [(n, one.label) for n, one in enumerate(found)],
        "sample_numbers": [(n, str(n + 1)) for n in range(samples)],
        "pairs_caption": f"Means over seeds, and the adjusted p of the difference: {test}.",
        "images_caption": _images_caption(images),
        "no_images": f"No run has images of single inputs: {reasons}.",
    }


def _images_caption(images: SideBySide) -> str:
    text = (
        "The first inputs of the validation set, none chosen; samples in the order in which they "
        "were drawn. Under each stands the driver's rank among the distractors, 1 is best. A click "
        "opens all samples in full size from the run's folder."
    )
    if images.left_out:
        text += f" {images.left_out} more inputs are left out to keep the page small."
    if images.inputs and images.inputs[0].source is None:
        text += " Sources and drivers are not shown: the validation set is not in the run folders."
    return text


def _chart_section(comparison: Comparison, figures: Mapping[str, Any]) -> dict[str, Any]:
    metrics = comparison.metrics
    across, up = by_aspect(metrics, NATURAL), by_aspect(metrics, FAITHFUL)
    finished = sum(bool(one.finished) for one in comparison.configurations)
    paler = "" if len(comparison.ranked) == finished else " Paler ones are not ranked."
    return {
        "metric_options": [(metric.key, metric.label) for metric in metrics],
        "first_metric": _key(up or metrics),
        "bars_caption": f"Means; bars show one standard deviation over seeds.{paler}",
        "across": [(metric.key, metric.label) for metric in across],
        "across_first": _key(across),
        "up": [(metric.key, metric.label) for metric in up],
        "up_first": _key(up),
        "front_caption": FRONT if comparison.ranked else NO_FRONT,
        "has_front": bool(figures["front"]),
        "has_parallel": bool(figures["parallel"]),
        "curve_options": [(name, name) for name in figures["series"]],
    }


def _key(metrics: Sequence[MetricInfo]) -> str:
    return leading(metrics).key if metrics else ""


def _differences(comparison: Comparison) -> Markup:
    found = comparison.configurations
    table = differences([one.runs[0] for one in found])
    named = table.set_axis([one.label for one in found], axis="columns")
    return plain_table(named.rename_axis("Setting").reset_index())


def plain_table(table: pd.DataFrame, header: bool = True) -> Markup:
    """Text as an HTML table; empty without rows."""
    if table.empty:
        return Markup("")
    with pd.option_context("display.max_colwidth", None):
        return Markup(table.to_html(index=False, header=header, border=0, justify="left"))


def run_rows(comparison: Comparison, link: Link) -> list[dict[str, Any]]:
    """Failed runs first, then those that are still running."""
    found = comparison.configurations
    labels = {run.folder: one.short_label for one in found for run in one.runs}
    order = {"failed": 0, "running": 1}
    rows = []
    for run in sorted(comparison.runs, key=lambda run: order.get(run.state, 2)):
        step, planned = run.steps
        report = run.folder / "report.html"
        twice = "repeats a configuration and seed of a newer run, left out"
        remarks = (run.remark(), twice if run in comparison.repeated else "")
        rows.append({
            "name": run.folder.name,
            "link": link(report) if report.exists() else "",
            "label": labels.get(run.folder, "–"),
            "seed": "–" if run.seed is None else run.seed,
            "state": run.state,
            "step": f"{step} of {planned}" if planned else str(step or "–"),
            "time": run.time[:16].replace("T", " "),
            "remark": "; ".join(filter(None, remarks)),
        })  # fmt: skip
    return rows


def _subtitle(comparison: Comparison) -> Markup:
    states = pd.Series([run.state for run in comparison.runs]).value_counts(sort=False)
    counts = ", ".join(f"{number} {state}" for state, number in states.items())
    found = _count(len(comparison.configurations), "configuration")
    return inline(f"{found}, {_count(len(comparison.runs), 'run')}: {counts}")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _notes(comparison: Comparison) -> Markup:
    """What must not be missed: what is not ranked, and which runs failed."""
    failed = [run for run in comparison.runs if run.state == "failed"]
    notes = list(comparison.refusals)
    if failed:
        told = [f"`{run.folder.name}` ({run.error or 'no message'})" for run in failed[:5]]
        more = f"; and {len(failed) - 5} more" if len(failed) > 5 else ""
        notes.append(f"**{_count(len(failed), 'run')} failed**: {'; '.join(told)}{more}.")
    return Markup("").join(Markup("<p>{}</p>").format(inline(note)) for note in notes)


def _address(text: str, kind: str) -> str:
    return f"data:text/{kind};base64,{base64.b64encode(text.encode()).decode()}"
