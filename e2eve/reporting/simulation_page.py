"""What an edit simulation does: a sheet of simulated edits, and how regions and drivers spread."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from e2eve.edit_simulation import SimulatedEdit
from e2eve.reporting.grid import DRIVER, picture_grid
from e2eve.reporting.grid import outlined as with_outline
from e2eve.reporting.page import Highlight, Page

if TYPE_CHECKING:
    import plotly.graph_objects as go

_MAP_SIDE = 64  # cells a side of the coverage map


class Measures(NamedTuple):
    """Of one edit, as shares: area of the image area, centres of the side, driver of the region."""

    area: float
    centre_x: float
    centre_y: float
    ratio: float


@dataclass
class SimulatedEdits:
    """Keeps a few named edits to show, and what is measured of all of them."""

    shown: list[tuple[str, SimulatedEdit]] = field(default_factory=list)
    measures: list[Measures] = field(default_factory=list)
    coverage_sum: np.ndarray = field(default_factory=lambda: np.zeros((_MAP_SIDE, _MAP_SIDE)))

    def add(self, name: str, edit: SimulatedEdit, show: bool) -> None:
        if show:
            self.shown.append((name, edit))
        self.measures.append(measured(edit))
        mask = edit.region.mask.astype(np.float32)
        size = (_MAP_SIDE, _MAP_SIDE)
        self.coverage_sum += cv2.resize(mask, size, interpolation=cv2.INTER_AREA)

    def column(self, name: str) -> Float[np.ndarray, " edits"]:
        """One measure of all edits, in percent."""
        return 100 * np.array([getattr(measures, name) for measures in self.measures])

    @property
    def coverage(self) -> Float[np.ndarray, "rows columns"]:
        """How often each place of the image lies in the region, in percent."""
        return 100 * self.coverage_sum / len(self.measures)


def measured(edit: SimulatedEdit) -> Measures:
    (mask, box), side = edit.region, len(edit.target)
    x, y = box.centre
    ratio = edit.driver_box.width / min(box.width, box.height)
    return Measures(float(mask.mean()), x / side, y / side, ratio)


def edit_sheet(edits: SimulatedEdits, cell: int = 150) -> Image.Image:
    """One row an edit: where it is, region, masked source, driver, target."""
    headings = (
        "picture, with region and driver", "region", "masked source", "driver", "target",
    )  # fmt: skip
    rows = [
        [located(edit, cell), edit.region.mask, masked(edit), edit.driver, edit.target]
        for _, edit in edits.shown
    ]
    captions = [
        [
            None,
            f"{100 * edit.region.mask.mean():.0f} % of the area",
            None,
            f"{edit.driver_box.width} px to {len(edit.driver)} px",
            None,
        ]
        for _, edit in edits.shown
    ]
    labels = [name for name, _ in edits.shown]
    return picture_grid(rows, headings, labels, cell, captions)


def masked(edit: SimulatedEdit) -> UInt8[np.ndarray, "side side 3"]:
    """The source as the editor sees it: the region is black."""
    return edit.target * ~edit.region.mask[..., None]


def located(edit: SimulatedEdit, side: int) -> UInt8[np.ndarray, "height width 3"]:
    """The target with region and driver crop outlined, enlarged to about twice `side` pixels."""
    factor = max(1, round(2 * side / len(edit.target)))
    size = (factor * len(edit.target),) * 2
    image = cv2.resize(edit.target, size, interpolation=cv2.INTER_CUBIC)
    region = cv2.resize(edit.region.mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    driver = edit.driver_box.scaled(float(factor), float(factor))
    return with_outline(with_outline(image, region.astype(bool)), driver.mask(*size), DRIVER)


def simulation_page(edits: SimulatedEdits, sheet: Image.Image, settings: str) -> Page:
    """The page around the sheet: key figures, charts, and the settings as they are given."""
    _, first = edits.shown[0]
    page = Page(
        "Simulated edits",
        f"What an editor learns from: {len(edits.measures)} plain pictures made into edits of "
        f"{len(first.target)} px with drivers of {len(first.driver)} px.",
    )
    page.section("Edits").text(
        "The editor is shown the **masked source** and the **driver**, and learns to paint the "
        "**target**. Pink is the region that it has to fill, blue the driver's place in it: "
        "at the time of use the driver comes from another picture."
    )
    page.picture(sheet, "From pictures spread evenly over the data set; none is picked by hand.")
    page.section("Spread").highlights(_key_figures(edits))
    for figure, caption in _charts(edits):
        page.chart(figure, caption)
    return page.section("Settings").details("Data set and edit simulation", settings)


def _key_figures(edits: SimulatedEdits) -> list[Highlight]:
    area, ratio = edits.column("area"), edits.column("ratio")
    return [
        Highlight(f"{np.median(area):.0f} %", "of the picture is edited", _range_note(area)),
        Highlight(f"{np.median(ratio):.0f} %", "driver side of region side", _range_note(ratio)),
        Highlight(
            f"{edits.coverage.min():.0f} to {edits.coverage.max():.0f} %",
            "how often a place is edited",
            "least and most edited place of the picture",
        ),
    ]


def _range_note(values: Float[np.ndarray, " edits"]) -> str:
    low, high = np.quantile(values, [0.05, 0.95])
    return f"median; 9 of 10 lie between {low:.0f} and {high:.0f} %"


def _charts(edits: SimulatedEdits) -> list[tuple["go.Figure", str]]:
    area = {"area": edits.column("area")}
    centres = {
        "x, from the left": edits.column("centre_x"),
        "y, from the top": edits.column("centre_y"),
    }
    ratio = {"ratio": edits.column("ratio")}
    return [
        (_histogram(area, "Region area", "share of the picture, percent"), ""),
        (
            _histogram(centres, "Region centre", "place along the picture's side, percent"),
            "Centre of the region's box after clipping at the border of the picture.",
        ),
        (
            _histogram(
                ratio, "Driver side", "share of the shorter side of the region's box, percent"
            ),
            "",
        ),
        (_coverage_map(edits), "How often each place of the picture lies in the region."),
    ]


def _histogram(
    columns: dict[str, Float[np.ndarray, " edits"]], title: str, x_title: str
) -> "go.Figure":
    """Bars around the multiples of 4 percent; side by side where there are several columns."""
    import plotly.graph_objects as go

    figure = go.Figure()
    edges = np.arange(-2, 103, 4)
    for name, values in columns.items():
        counts, _ = np.histogram(values, bins=edges)
        figure.add_bar(x=edges[:-1] + 2, y=100 * counts / len(values), name=name)
    figure.update_layout(
        title_text=title,
        height=300,
        bargap=0.15,
        xaxis={"title_text": x_title, "range": [-2, 102]},
        yaxis_title="edits, percent",
        showlegend=len(columns) > 1,
    )
    return figure


def _coverage_map(edits: SimulatedEdits) -> "go.Figure":
    import plotly.graph_objects as go

    places = (np.arange(_MAP_SIDE) + 0.5) * 100 / _MAP_SIDE
    figure = go.Figure()
    figure.add_heatmap(
        x=places, y=places, z=edits.coverage.round(1), colorscale="Cividis",
        zmin=0, colorbar={"title": {"text": "percent"}},
    )  # fmt: skip
    figure.update_layout(
        title_text="Coverage",
        height=420,
        xaxis={"range": [0, 100], "constrain": "domain", "title_text": "x, percent"},
        yaxis={
            "range": [100, 0],
            "scaleanchor": "x",
            "constrain": "domain",
            "title_text": "y, percent",
        },
    )
    return figure
