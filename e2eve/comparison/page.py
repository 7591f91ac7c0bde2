"""The dashboard: one HTML file of a comparison, and its tables beside it."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from e2eve.comparison.comparison import Comparison
from e2eve.comparison.findings import highlights
from e2eve.comparison.pictures import Link, side_by_side
from e2eve.comparison.script_data import (
    LiveState,
    figures_json,
    figures_of,
    page_data,
)
from e2eve.comparison.sections import (
    chart_section,
    config_section,
    picture_section,
    run_rows,
    table_section,
    tables,
)
from e2eve.reporting.markup import inline
from e2eve.reporting.page import environment, plotly_script
from e2eve.reporting.progress import Report, silent

PACKAGE = "e2eve.comparison"

SECTIONS = {
    "cells": "Cells",
    "pictures": "Side by side",
    "bars": "Means",
    "front": "Naturalness and faithfulness",
    "parallel": "All measures",
    "training": "Training",
    "differences": "Configurations",
    "measured": "What was measured",
    "runs": "Runs",
}


@dataclass(frozen=True)
class PageSettings:
    """`thumbnail` is the longest edge of pictures in pixels, `inputs` the most that are shown."""

    title: str
    thumbnail: int = 128
    inputs: int = 12

    def __post_init__(self) -> None:
        for name, low, high in (("thumbnail", 16, 512), ("inputs", 1, 200)):
            if not low <= getattr(self, name) <= high:
                raise ValueError(
                    f"{name} is {getattr(self, name)}, set it between {low} and {high}."
                )


def write_dashboard(
    path: Path, comparison: Comparison, settings: PageSettings, progress: Report = silent
) -> Path:
    """Writes the page and the tables beside it, `.csv`, `_runs.csv` and `.tex`; its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    link = relative_to(path.parent)
    html = dashboard_html(comparison, settings, link, path.stem, progress=progress)
    path.write_text(html, encoding="utf-8")
    for name, text in tables(comparison, path.stem).items():
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
    runs = [run for cell in comparison.cells for run in cell.runs]
    pictures = side_by_side(runs, link, settings.thumbnail, settings.inputs, progress)
    figures = figures_of(comparison)
    shown = {
        "title": settings.title,
        "factors": list(comparison.cells.factors),
        "subtitle": _subtitle(comparison),
        "live": live is not None,
        "notes": _notes(comparison),
        "highlights": highlights(comparison.ranking, comparison.measures),
        "plotly": plotly_script(),
        "figures": Markup(figures_json(figures)),
        "data": Markup(page_data(comparison, pictures, live)),
        "runs": run_rows(comparison, link),
        **table_section(comparison, stem),
        **picture_section(comparison, pictures),
        **chart_section(comparison, figures),
        **config_section(comparison),
    }
    shown["sections"] = _sections(shown)
    return environment(PACKAGE).get_template("dashboard.html.j2").render(shown)


def _subtitle(comparison: Comparison) -> Markup:
    states = dict.fromkeys(run.state for run in comparison.runs)
    counts = ", ".join(f"{comparison.count(state)} {state}" for state in states)
    return inline(
        f"{_count(len(comparison.cells), 'cell')}, {_count(len(comparison.runs), 'run')}: {counts}"
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _notes(comparison: Comparison) -> Markup:
    """What must not be missed: what is not ranked, and which runs failed."""
    failed = [run for run in comparison.runs if run.state == "failed"]
    notes = list(comparison.ranking.refusals)
    if failed:
        told = [f"`{run.folder.name}` ({run.error or 'no message'})" for run in failed[:5]]
        more = f"; and {len(failed) - 5} more" if len(failed) > 5 else ""
        notes.append(f"**{_count(len(failed), 'run')} failed**: {'; '.join(told)}{more}.")
    return Markup("").join(Markup("<p>{}</p>").format(inline(note)) for note in notes)


def _sections(shown: dict[str, Any]) -> list[dict[str, str]]:
    absent = set() if shown["rows"] else {"bars", "front", "parallel"}
    if not (shown["across"] and shown["up"]):
        absent.add("front")
    return [{"anchor": a, "heading": h} for a, h in SECTIONS.items() if a not in absent]
