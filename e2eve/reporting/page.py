"""A report as one self-contained HTML file: text, tables, images, charts, no outside request."""

import base64
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any, Literal, NamedTuple

import plotly.graph_objects as go
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup
from PIL import Image

from e2eve.runs import Curve

MARKUP = MarkdownIt("zero").enable(["emphasis", "backticks", "list"])
MISSING = "\N{EN DASH}"

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

Value = str | int | float | bool | None
Row = Mapping[str, Value]


class Highlight(NamedTuple):
    """A figure for the top of a report: the number, what it is, and one line on how to read it."""

    value: str
    label: str
    note: str = ""


@dataclass(frozen=True)
class Column:
    """One column: its `key` in the rows, what stands above it and how its numbers are written.

    `best` says whether a low or a high number wins; without it nothing is marked. A row with a
    true value at `unranked` is shown and never marked. `note` explains the heading.
    """

    key: str
    heading: str
    spec: str = ".3f"
    best: Literal["low", "high"] | None = None
    note: str = ""


class Entry(NamedTuple):
    """One value in a table as it is written."""

    text: str
    is_number: bool
    rank: int  # 1 best, 2 second, 0 everything else


@dataclass
class Page:
    """Collects parts in reading order, then writes them.

    All strings are escaped; text and captions know `**bold**` and `` `code` ``, text also lists.
    """

    title: str
    subtitle: str = ""
    parts: list[tuple[str, dict[str, object]]] = field(default_factory=list)

    def section(self, heading: str) -> "Page":
        """A heading, also listed at the top of the page."""
        return self._add("section", heading=heading, anchor=f"section-{self._count('section') + 1}")

    def text(self, text: str) -> "Page":
        return self._add("text", html=rendered(text))

    def note(self, text: str) -> "Page":
        """Text set apart, for what a reader must not miss."""
        return self._add("note", html=rendered(text))

    def highlights(self, highlights: Sequence[Highlight]) -> "Page":
        """A row of large figures."""
        return self._add("highlights", highlights=list(highlights))

    def table(
        self, rows: Sequence[Row], columns: Sequence[Column | str], caption: str = ""
    ) -> "Page":
        """Rows as dictionaries; a column given as text is its own key and heading.

        The best number of a column that has a `best` is bold, the second underlined.
        """
        full = [Column(c, c) if isinstance(c, str) else c for c in columns]
        entries = table_entries(rows, full)
        return self._add(
            "table",
            columns=full,
            rows=entries,
            caption=inline(caption),
            marked=any(entry.rank for row in entries for entry in row),
        )

    def image(
        self,
        image: Image.Image,
        caption: str = "",
        behind: tuple[str, Image.Image] | None = None,
    ) -> "Page":
        """An image as wide as the page at most; a click shows all of its pixels.

        Args:
            behind: another one of that size, folded away under a line of text.
        """
        return self._add(
            "image",
            behind=behind and {"summary": behind[0], "uri": data_uri(behind[1])},
            caption=inline(caption),
            alt=caption,
            uri=data_uri(image),
            width=image.width,
            height=image.height,
        )

    def chart(self, figure: "go.Figure", caption: str = "") -> "Page":
        return self._add(
            "chart",
            caption=inline(caption),
            json=script_safe(figure_dict(figure)),
            name=f"chart-{self._count('chart') + 1}",
            height=figure.layout.height or 380,
        )

    def details(self, summary: str, text: str) -> "Page":
        """Text as it is typed (a config, a log), folded away under one line."""
        return self._add("details", summary=summary, text=text)

    def html(self) -> str:
        """The whole file as text."""
        sections = [content for kind, content in self.parts if kind == "section"]
        plotly = plotly_script() if self._count("chart") else None
        head = {"title": self.title, "subtitle": inline(self.subtitle), "sections": sections}
        template = environment().get_template("page.html.j2")
        return template.render(head, parts=self.parts, plotly=plotly)

    def write(self, path: str | Path) -> Path:
        """Writes the file, and its folder where there is none; returns the path."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.html(), encoding="utf-8")
        return path

    def _count(self, kind: str) -> int:
        return sum(kind == other for other, _ in self.parts)

    # `kind` names the template's macro, `content` is what it shows.
    def _add(self, kind: str, **content: object) -> "Page":
        self.parts.append((kind, content))
        return self


def table_entries(rows: Sequence[Row], columns: Sequence[Column]) -> list[list[Entry]]:
    """The written values, row by row; equal numbers share a rank."""
    return [list(row) for row in zip(*(_entries(rows, one) for one in columns), strict=True)]


def written(value: Value, spec: str) -> str:
    """A value as text; a dash where there is none or the number is not finite."""
    if value is None or (isinstance(value, float) and not isfinite(value)):
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace(",", " ")
    return format(value, spec) if isinstance(value, float) else value


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


# One column; the best two distinct numbers as they are written have a rank.
def _entries(rows: Sequence[Row], column: Column) -> list[Entry]:
    import pandas as pd

    values = [row.get(column.key) for row in rows]
    use = [_is_number(v) and not row.get("unranked") for v, row in zip(values, rows, strict=True)]
    numbers = pd.Series(values, dtype=object).where(pd.Series(use), None).astype(float)
    texts = [written(value, column.spec) for value in values]
    alike = numbers.groupby(texts).transform("last").where(use)
    ranks = alike.rank(method="dense", ascending=column.best == "low")
    marked = column.best is not None and alike.nunique() > 1
    places = ranks.where((ranks <= 2) & marked, 0).astype(int)
    right = [_is_number(value) or value is None for value in values]
    return list(map(Entry, texts, right, places))


def rendered(text: str) -> Markup:
    """Paragraphs parted by empty lines, lists of `- ` lines, `**bold**` and `` `code` ``.

    No HTML passes: `<`, `>`, `&` and quotes of the text are shown as they are.
    """
    return Markup(MARKUP.render(text))


def inline(text: str) -> Markup:
    """One line with bold and code."""
    return Markup(MARKUP.renderInline(text))


def data_uri(image: Image.Image, quality: int | None = None) -> str:
    """The image inside a `data:` address: as PNG, or as WebP of that quality (0–100)."""
    buffer, kind = io.BytesIO(), "png" if quality is None else "webp"
    options = {"optimize": True} if quality is None else {"quality": quality, "method": 4}
    image.save(buffer, format=kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def environment(*packages: str) -> Environment:
    """Where templates are found: in these packages' `templates`, then in this one's."""
    found = Environment(
        loader=ChoiceLoader([PackageLoader(name) for name in (*packages, "e2eve.reporting")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["inline"] = inline
    return found


def plotly_script() -> Markup:
    from plotly.offline import get_plotlyjs

    return Markup(get_plotlyjs())


def page_template() -> "go.layout.Template":
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
    """the figure in the template of pages, as Plotly's script takes it."""
    return json.loads(figure.update_layout(template=page_template()).to_json())


def script_safe(data: object) -> Markup:
    """Data as JSON that cannot end the `<script>` element that it stands in."""
    text = json.dumps(data, allow_nan=False, ensure_ascii=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))
