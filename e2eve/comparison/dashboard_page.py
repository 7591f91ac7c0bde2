"""The dashboard: one HTML file of a comparison with its tables beside it, or served from here.

The served one follows the runs as they are trained, and answers on this machine's own address.
"""

import hashlib
import os
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import pandas as pd
from markupsafe import Markup
from pydantic import Field

from e2eve.checks import check_writable, is_inside
from e2eve.comparison import plots
from e2eve.comparison.comparison import (
    ASPECTS,
    ENDINGS,
    Comparison,
    compare,
    files,
    highlights,
    leading,
    protocols,
    seeds_text,
    written_p,
)
from e2eve.comparison.runs import Configuration, differences, find_runs, natural
from e2eve.comparison.samples import SideBySide, side_by_side
from e2eve.comparison.votes import preferences, read_votes
from e2eve.config import about, listed
from e2eve.evaluation.results import METRICS, SAMPLES_FOLDER
from e2eve.limits import Port, PositiveFloat, Text
from e2eve.reporting import serving
from e2eve.reporting.outputs import check_replaceable
from e2eve.reporting.page import (
    PALETTE,
    environment,
    figure_dict,
    plotly_script,
    script_safe,
)
from e2eve.reporting.progress import Report, silent
from e2eve.reporting.serving import HTML, TEXT, is_local

RESULTS = METRICS, SAMPLES_FOLDER  # the folder changes with each sample written into it
WATCHED = "status.json", "config.yaml", "metrics.csv", *RESULTS
TYPES = {".png": "image/png", ".html": HTML}  # of the files that the page leads to

SECTIONS = {
    "results": "Results",
    "images": "Side by side",
    "bars": "Means",
    "front": "Naturalness and faithfulness",
    "parallel": "All metrics",
    "curves": "Training",
    "differences": "Configurations",
    "votes": "What people preferred",
    "measured": "What was measured",
    "runs": "Runs",
}


@dataclass(frozen=True)
class DashboardSettings:
    """What conf/dashboard.yaml says."""

    runs: Text | list[Text]
    out: Text = "runs/dashboard.html"
    title: str | None = None
    evaluated_on: Text | None = None
    votes: Text | None = None
    inputs: Annotated[int, Field(ge=1, le=200)] = 12
    thumbnail: Annotated[int, Field(ge=16, le=512)] = 128
    live: bool = False
    host: Text = "127.0.0.1"
    port: Port = 8050
    refresh: PositiveFloat = 10

    @property
    def places(self) -> list[str]:
        """The folders that were given, one or several."""
        return listed(self.runs)

    def read_votes(self) -> list[dict[str, Any]]:
        """Raises ValueError when there is no such file, or one of something else."""
        if self.votes is None:
            return []
        if not Path(self.votes).is_file():
            raise ValueError(f"votes is {self.votes}, which is no file: give one of e2eve.app.")
        return read_votes(Path(self.votes))

    @property
    def heading(self) -> str:
        """The title that was given, or the names of the folders."""
        return self.title or ", ".join(Path(place).name or place for place in self.places)


def write_dashboard(settings: DashboardSettings, progress: Report = silent) -> Path:
    """Writes the page and the tables beside it, `.csv`, `_runs.csv` and `.tex`; its path.

    Raises ValueError if there is no run, or something else in the place of the page.
    """
    out = Path(settings.out)
    if out.is_dir():
        raise ValueError(f"out={out} is a folder: give the name of a file, such as {out}.html.")
    with about("out"):
        check_replaceable(out, [f"{out.stem}{ending}" for ending in ENDINGS])
    check_writable(out.parent, "out")
    comparison = compare(settings.places, settings.evaluated_on)
    out.parent.mkdir(parents=True, exist_ok=True)
    start = out.parent.resolve()

    def link(path: Path) -> str:
        return quote(Path(os.path.relpath(path.resolve(), start)).as_posix())

    html = dashboard_html(comparison, settings, link, progress=progress)
    for name, text in {out.name: html, **files(comparison, out.stem)}.items():
        (out.parent / name).write_text(text, encoding="utf-8")
    return out


def dashboard_html(
    comparison: Comparison,
    settings: DashboardSettings,
    link: Callable[[Path], str],
    state: str | None = None,
    progress: Report = silent,
) -> str:
    """The page as text.

    Args:
        link: gives the address of a file in a run folder, as seen from the page.
        state: what changes when the runs do, for a page that is served and follows them.
    """
    runs = [run for one in comparison.configurations for run in one.runs]
    preferred = _plain_table(preferences(settings.read_votes()))
    images = side_by_side(runs, link, settings.thumbnail, settings.inputs, progress)
    figures = figures_of(comparison)
    live = {"state": state, "seconds": settings.refresh} if state else None
    shown = {
        "title": settings.heading,
        "live": live,
        "sections": [
            {"anchor": anchor, "heading": heading}
            for anchor, heading in SECTIONS.items()
            if {**figures, "votes": preferred}.get(anchor, "drawn elsewhere")
        ],
        "preferred": preferred,
        "files": files(comparison, Path(settings.out).stem),
        "images": images,
        "seeds": sorted({str(r.seed) for r in runs if images.strips.get(r.folder)}, key=natural),
        "figures": figures,
        "link": link,
        "figures_json": script_safe(figures),
        "data": script_safe(script_data(comparison, images, live)),
        "plotly": plotly_script(),
        **_tables(comparison),
    }
    return environment("e2eve.comparison").get_template("dashboard.html.j2").render(shown)


# What the template writes tables of, with functions that it uses.
def _tables(comparison: Comparison) -> dict[str, Any]:
    found, order = comparison.configurations, {"failed": 0, "running": 1}
    return {
        "comparison": comparison,
        "states": Counter(run.state for run in comparison.runs),
        "failed": [run for run in comparison.runs if run.state == "failed"],
        "highlights": highlights(comparison),
        "numbers": comparison.summary.to_dict("index"),
        "finished": [(n, one) for n, one in enumerate(found) if one.finished],
        "differences": _differences(found),
        "protocol": _plain_table(protocols(comparison).reset_index(), header=False),
        "runs": sorted(comparison.runs, key=lambda run: order.get(run.state, 2)),
        "labels": {run.folder: one.short_label for one in found for run in one.runs},
        "colours": list(plots.by_place(comparison, PALETTE).values()),
        "seeds_text": seeds_text,
        "written_p": written_p,
        "leading": leading,
    }


def figures_of(comparison: Comparison) -> dict[str, Any]:
    """Charts as Plotly's script takes them, and the numbers of all that can be chosen in them.

    A chart is None where there is nothing to draw.
    """
    metrics, curves = comparison.metrics, plots.curve_series(comparison)
    across, up = comparison.of_aspect(ASPECTS[1]), comparison.of_aspect(ASPECTS[0])
    figures = {
        "bars": plots.bar_chart(comparison, leading(up or metrics)) if metrics else None,
        "front": plots.front_chart(comparison, leading(across), leading(up))
        if across and up
        else None,
        "parallel": plots.parallel_chart(comparison, [m for m in metrics if m.shown]),
        "curves": plots.curve_chart(comparison, curves) if curves else None,
    }
    return {
        **{name: figure and figure_dict(figure) for name, figure in figures.items()},
        "heads": [plots.described(one) for one in comparison.configurations],
        "numbers": {m.key: plots.metric_numbers(comparison, m) for m in metrics},
        "fronts": {f"{x.key} {y.key}": comparison.front(x, y) for x in across for y in up},
        "references": plots.reference_systems(comparison),
        "series": curves,
        "titles": {name: plots.curve_title(comparison, name) for name in curves},
    }


def script_data(
    comparison: Comparison, images: SideBySide, live: dict[str, Any] | None
) -> dict[str, Any]:
    """What dashboard.js works on beside the charts."""
    shown = [metric for metric in comparison.metrics if metric.shown]
    text = comparison.summary["text"]
    places = [n for n, one in enumerate(comparison.configurations) if one.finished]
    return {
        "configurations": [
            {
                "label": comparison.configurations[n].label,
                "short": comparison.configurations[n].short_label,
                "colour": PALETTE[n % len(PALETTE)],
                "runs": _runs(comparison.configurations[n], images),
                "numbers": {metric.key: text[n, metric.key] for metric in shown},
            }
            for n in places
        ],
        "inputs": [item._asdict() for item in images.inputs],
        "live": live,
        "metrics": [{"key": metric.key, "label": metric.label} for metric in shown],
        "pairs": {metric.key: _pairs(comparison, metric.key, places) for metric in shown},
    }


def _runs(one: Configuration, images: SideBySide) -> list[dict[str, Any]]:
    return [
        {
            "seed": str(run.seed),
            "missing": images.missing.get(run.folder, ""),
            "strips": {
                id: strip._asdict() for id, strip in images.strips.get(run.folder, {}).items()
            },
        }
        for run in one.finished
    ]


# Adjusted p of the configurations with results, empty where a pair is not compared.
def _pairs(comparison: Comparison, metric: str, places: Sequence[int]) -> list[list[str]] | None:
    if metric not in comparison.pairs:
        return None
    table = comparison.pairs[metric].map(written_p)
    for place in table.index:
        table.loc[place, place] = ""
    return table.reindex(index=places, columns=places).fillna("").to_numpy().tolist()


def _differences(found: Sequence[Configuration]) -> Markup:
    names = [one.label for one in found]
    table = differences([one.runs[0] for one in found]).set_axis(names, axis="columns")
    return _plain_table(table.rename_axis("Setting").reset_index())


# Text as an HTML table; empty without rows.
def _plain_table(table: pd.DataFrame, header: bool = True) -> Markup:
    with pd.option_context("display.max_colwidth", None):
        html = table.to_html(index=False, header=header, border=0, justify="left")
    return Markup("" if table.empty else html)


class LiveDashboard:
    """The page of some runs as they are now, as a WSGI application; made anew when they change.

    Only files that the page leads to are handed out: its addresses are names in a table, not paths.
    """

    def __init__(self, settings: DashboardSettings) -> None:
        find_runs(settings.places)  # says at once what is wrong with them …
        settings.read_votes()  # … or with votes
        self.settings = settings
        self.files: dict[str, Path] = {}
        self._page, self._state = b"", ""
        self._lock = threading.Lock()

    def state(self) -> str:
        """A text that changes when a run does."""
        later = [f"evaluation/{self.settings.evaluated_on or '*'}/{name}" for name in RESULTS]
        runs = find_runs(self.settings.places)
        paths = [path for run in runs for name in (*WATCHED, *later) for path in run.glob(name)]
        paths += [Path(self.settings.votes)] if self.settings.votes else []
        found = [(str(p), p.stat().st_mtime_ns, p.stat().st_size) for p in paths]
        return hashlib.sha256(repr(found).encode()).hexdigest()[:16]

    def page(self) -> bytes:
        with self._lock:
            state = self.state()
            if state != self._state:
                comparison = compare(self.settings.places, self.settings.evaluated_on)
                html = dashboard_html(comparison, self.settings, self.link, state)
                self._page, self._state = html.encode(), state
            return self._page

    def is_of_a_run(self, path: Path) -> bool:
        """Whether it lies in a run, and is no link that leads out of it."""
        return any(is_inside(path, run) for run in find_runs(self.settings.places))

    def link(self, path: Path) -> str:
        name = f"files/{hashlib.sha256(str(path.parent).encode()).hexdigest()[:12]}/{path.name}"
        self.files[name] = path
        return quote(name)

    def __call__(self, request: Mapping[str, Any], start: Callable[..., Any]) -> list[bytes]:
        # A web page that has its own name point here (DNS rebinding) sends that name.
        if is_local(request.get("HTTP_HOST", "")):
            status, kind, body = self.answer(request["PATH_INFO"].encode("latin-1").decode())
        else:
            status, kind = HTTPStatus.FORBIDDEN, TEXT
            body = b"This page answers to localhost only."
        headers = {"Content-Type": kind, "Content-Length": str(len(body))}
        headers |= {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
        start(f"{status.value} {status.phrase}", list(headers.items()))
        return [body]

    def answer(self, address: str) -> tuple[HTTPStatus, str, bytes]:
        """What is sent for this path, and of which type it is."""
        name = address.removeprefix("/")
        path = self.files.get(name)
        try:
            if name == "":
                return HTTPStatus.OK, HTML, self.page()
            if name == "state":
                return HTTPStatus.OK, TEXT, self.state().encode()
        except ValueError as error:  # the runs have gone since
            return HTTPStatus.SERVICE_UNAVAILABLE, TEXT, str(error).encode()
        if path is None or not path.is_file() or not self.is_of_a_run(path):
            return HTTPStatus.NOT_FOUND, TEXT, b"no such page"
        return HTTPStatus.OK, TYPES[path.suffix], path.read_bytes()


def serve(settings: DashboardSettings) -> None:
    """Answers on this machine until it is interrupted."""
    serving.serve(LiveDashboard(settings), settings.host, settings.port)
