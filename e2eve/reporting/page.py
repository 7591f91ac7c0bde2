"""A report as one self-contained HTML file: text, tables, pictures, charts, no outside request."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from e2eve.reporting.charts import figure_json
from e2eve.reporting.markup import inline, rendered
from e2eve.reporting.tables import Column, Row, table_cells

if TYPE_CHECKING:
    import plotly.graph_objects as go


class Highlight(NamedTuple):
    """A figure for the top of a report: the number, what it is, and one line on how to read it."""

    value: str
    label: str
    note: str = ""


class Block(NamedTuple):
    """One piece of a page: `kind` names the template's macro, `content` is what it shows."""

    kind: str
    content: dict[str, object]


@dataclass
class Page:
    """Collects blocks in reading order, then writes them.

    All strings are escaped; text and captions know `**bold**` and `` `code` ``, text also lists.
    """

    title: str
    subtitle: str = ""
    blocks: list[Block] = field(default_factory=list)

    def section(self, heading: str) -> "Page":
        """A heading, also listed at the top of the page."""
        number = sum(block.kind == "section" for block in self.blocks) + 1
        return self._add("section", heading=heading, anchor=f"section-{number}")

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
        cells = table_cells(rows, full)
        marked = any(cell.rank for row in cells for cell in row)
        return self._add("table", columns=full, rows=cells, caption=inline(caption), marked=marked)

    def picture(self, image: Image.Image, caption: str = "") -> "Page":
        """A picture as wide as the page at most; a click shows all of its pixels."""
        content = {"uri": data_uri(image), "width": image.width, "height": image.height}
        return self._add("picture", caption=inline(caption), alt=caption, **content)

    def chart(self, figure: "go.Figure", caption: str = "") -> "Page":
        number = sum(block.kind == "chart" for block in self.blocks) + 1
        height = figure.layout.height or 380
        content = {"name": f"chart-{number}", "json": Markup(figure_json(figure))}
        return self._add("chart", caption=inline(caption), height=height, **content)

    def details(self, summary: str, text: str) -> "Page":
        """Text as it is typed (a config, a log), folded away under one line."""
        return self._add("details", summary=summary, text=text)

    def html(self) -> str:
        """The whole file as text."""
        has_chart = any(block.kind == "chart" for block in self.blocks)
        return (
            environment()
            .get_template("page.html.j2")
            .render(
                title=self.title,
                subtitle=inline(self.subtitle),
                sections=[block.content for block in self.blocks if block.kind == "section"],
                blocks=self.blocks,
                plotly=plotly_script() if has_chart else None,
            )
        )

    def write(self, path: str | Path) -> Path:
        """Writes the file, and its folder where there is none; returns the path."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.html(), encoding="utf-8")
        return path

    def _add(self, kind: str, **content: object) -> "Page":
        self.blocks.append(Block(kind, content))
        return self


def data_uri(image: Image.Image, quality: int | None = None) -> str:
    """The picture inside a `data:` address: as PNG, or as WebP of that quality (0–100)."""
    buffer = io.BytesIO()
    if quality is None:
        image.save(buffer, format="PNG", optimize=True)
    else:
        image.save(buffer, format="WEBP", quality=quality, method=4)
    encoded = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f"data:image/{'png' if quality is None else 'webp'};base64,{encoded}"


def environment(*packages: str) -> Environment:
    """Where templates are found: in these packages' `templates`, then in this one's."""
    return Environment(
        loader=ChoiceLoader([PackageLoader(name) for name in (*packages, "e2eve.reporting")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def plotly_script() -> Markup:
    from plotly.offline import get_plotlyjs

    return Markup(get_plotlyjs())
