"""Look at simulated edits before training: `python -m e2eve.simulate [edit_simulation=…]`.

The page shows a sheet of simulated edits, and how regions and drivers spread.
"""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from omegaconf import DictConfig, OmegaConf
from PIL import Image

from e2eve.checks import check_writable
from e2eve.commands import command
from e2eve.config import about, instantiate, plain, read_settings
from e2eve.limits import Positive, Samples, Seed, Text
from e2eve.reporting.outputs import check_replaceable
from e2eve.reporting.page import PALETTE, Highlight, Page

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from e2eve.edit_simulation import SimulatedEdit

MAP_SIDE = 64  # places per side of the coverage map
HEADINGS = ("image, with region and driver", "region", "masked source", "driver", "target")


@dataclass(frozen=True)
class SimulateSettings:
    """Keys of conf/simulate.yaml beside the groups."""

    run_dir: Text
    seed: Seed
    split: Literal["train", "val"]
    num_shown: Samples
    num_measured: Positive


def simulate(config: DictConfig) -> Path:
    """Writes simulate.html and simulate.png into `run_dir`; the path of the page."""
    # Heavy imports wait until here, so that --help and a typo answer at once.
    from rich.progress import track

    from e2eve.data.keyed import generator_for
    from e2eve.data.splits import build_splits

    names = [one.name for one in fields(SimulateSettings)]
    settings = read_settings({name: config[name] for name in names}, SimulateSettings)
    images = getattr(build_splits(config.dataset), settings.split)
    simulation = instantiate(config.edit_simulation, "edit_simulation")
    folder, edits = Path(settings.run_dir), SimulatedEdits()
    with about("run_dir"):
        check_replaceable(folder / "simulate.html", ["simulate.png"])
    check_writable(folder, "run_dir")
    indices = _spread(len(images), settings.num_measured)
    shown = {indices[i] for i in _spread(len(indices), settings.num_shown)}
    for index in track(indices, "simulating edits"):
        edit = simulation(images[index], generator_for(settings.seed, (0, index)))
        edits.add(images.name(index), edit, show=index in shown)
    folder.mkdir(parents=True, exist_ok=True)
    sheet = edit_sheet(edits)
    sheet.save(folder / "simulate.png")
    return simulation_page(edits, sheet, _settings(config)).write(folder / "simulate.html")


# `count` indices spread evenly over `length` items; all of them where there are fewer.
def _spread(length: int, count: int) -> list[int]:
    count = min(length, count)
    return [i * length // count for i in range(count)]


# The part of the configuration that makes the edits, as YAML.
def _settings(config: DictConfig) -> str:
    names = ("image_size", "driver_size", "seed", "split", "dataset", "edit_simulation")
    settings = plain(config)
    return OmegaConf.to_yaml(OmegaConf.create({name: settings[name] for name in names}))


class Spread(NamedTuple):
    """Percentages of an edit: region of image area, centre of image side, driver of region side."""

    area: float
    centre_x: float
    centre_y: float
    driver: float


@dataclass
class SimulatedEdits:
    """Keeps a few named edits to show, and how all of them spread."""

    shown: list[tuple[str, "SimulatedEdit"]] = field(default_factory=list)
    spread: list[Spread] = field(default_factory=list)
    coverage_sum: np.ndarray = field(default_factory=lambda: np.zeros((MAP_SIDE, MAP_SIDE)))

    def add(self, name: str, edit: "SimulatedEdit", show: bool) -> None:
        if show:
            self.shown.append((name, edit))
        self.spread.append(spread_of(edit))
        import cv2

        mask, size = edit.region.mask.astype(np.float32), (MAP_SIDE, MAP_SIDE)
        self.coverage_sum += cv2.resize(mask, size, interpolation=cv2.INTER_AREA)

    @property
    def coverage(self) -> Float[np.ndarray, "rows columns"]:
        """How often each place of the image lies in the region, in percent."""
        return 100 * self.coverage_sum / len(self.spread)


def spread_of(edit: "SimulatedEdit") -> Spread:
    (mask, box), side = edit.region, len(edit.target)
    x, y = box.centre
    driver = edit.driver_box.square.width / min(box.width, box.height)
    return Spread(100 * float(mask.mean()), 100 * x / side, 100 * y / side, 100 * driver)


def edit_sheet(edits: SimulatedEdits, cell: int = 150) -> Image.Image:
    """One row per edit: where it is, region, masked source, driver, target."""
    from e2eve.reporting.grid import image_grid

    rows, captions = [], []
    for _, edit in edits.shown:
        mask = edit.region.mask
        masked = edit.target * ~mask[..., None]  # as the editor sees it: the region is black
        rows.append([located(edit, cell), mask, masked, edit.driver, edit.target])
        sizes = f"{edit.driver_box.square.width} px to {len(edit.driver)} px"
        captions.append([None, f"{100 * mask.mean():.0f} % of the area", None, sizes, None])
    return image_grid(rows, HEADINGS, [name for name, _ in edits.shown], cell, captions)


def located(edit: "SimulatedEdit", side: int) -> UInt8[np.ndarray, "height width 3"]:
    """The target with region and driver crop outlined, enlarged to about twice `side` pixels."""
    import cv2

    from e2eve.reporting.grid import DRIVER, outlined

    factor = max(1, round(2 * side / len(edit.target)))
    size = (factor * len(edit.target),) * 2
    image = cv2.resize(edit.target, size, interpolation=cv2.INTER_CUBIC)
    region = cv2.resize(edit.region.mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    driver = edit.driver_box.scaled(float(factor), float(factor))
    return outlined(outlined(image, region.astype(bool)), driver.mask(*size), DRIVER)


def simulation_page(edits: SimulatedEdits, sheet: Image.Image, settings: str) -> Page:
    """The page around the sheet: key figures, charts, and the settings as they are given."""
    _, first = edits.shown[0]
    page = Page(
        "Simulated edits",
        f"What an editor learns from: {len(edits.spread)} plain images made into edits of "
        f"{len(first.target)} px with drivers of {len(first.driver)} px.",
    )
    page.section("Edits").text(
        "The editor is shown the **masked source** and the **driver**, and learns to paint the "
        "**target**. Pink is the region that it has to fill, blue the driver's place in it: "
        "at the time of use the driver comes from another image."
    )
    page.image(sheet, "From images spread evenly over the data set; none is picked by hand.")
    page.section("Spread").highlights(_key_figures(edits))
    for figure, caption in _charts(edits):
        page.chart(figure, caption)
    return page.section("Settings").details("Data set and edit simulation", settings)


def _key_figures(edits: SimulatedEdits) -> list[Highlight]:
    found = []
    for column, label in ((0, "of the image is edited"), (3, "driver side of region side")):
        low, middle, high = np.quantile(edits.spread, [0.05, 0.5, 0.95], axis=0)[:, column]
        note = f"median; 9 of 10 lie between {low:.0f} and {high:.0f} %"
        found.append(Highlight(f"{middle:.0f} %", label, note))
    covered = f"{edits.coverage.min():.0f} to {edits.coverage.max():.0f} %"
    note = "least and most edited place of the image"
    return [*found, Highlight(covered, "how often a place is edited", note)]


def _charts(edits: SimulatedEdits) -> list[tuple["go.Figure", str]]:
    area, x, y, driver = zip(*edits.spread, strict=True)
    centres = {"x, from the left": x, "y, from the top": y}
    side = "share of the shorter side of the region's box, percent"
    return [
        (_histogram({"": area}, "Region area", "share of the image, percent"), ""),
        (
            _histogram(centres, "Region centre", "place along the image's side, percent"),
            "Centre of the region's box after clipping at the border of the image.",
        ),
        (_histogram({"": driver}, "Driver side", side), ""),
        (_coverage_map(edits), "How often each place of the image lies in the region."),
    ]


# Bars around the multiples of 4 percent; side by side where there are several columns.
def _histogram(columns: dict[str, Any], title: str, x_title: str) -> "go.Figure":
    import plotly.express as px

    figure = px.histogram(
        columns, x=list(columns), title=title, height=300, barmode="group", histnorm="percent",
        color_discrete_sequence=PALETTE,
    )  # fmt: skip
    figure.update_traces(xbins={"start": -2, "end": 102, "size": 4})
    return figure.update_layout(
        bargap=0.15,
        legend_title_text="",
        showlegend=len(columns) > 1,
        xaxis={"title": x_title, "range": [-2, 102]},
        yaxis_title="edits, percent",
    )


def _coverage_map(edits: SimulatedEdits) -> "go.Figure":
    import plotly.express as px

    places = (np.arange(MAP_SIDE) + 0.5) * 100 / MAP_SIDE
    return px.imshow(
        edits.coverage.round(1), x=places, y=places, zmin=0, title="Coverage", height=420,
        color_continuous_scale="Cividis",
        labels={"x": "x, percent", "y": "y, percent", "color": "percent"},
    )  # fmt: skip


main = command("simulate")(simulate)

if __name__ == "__main__":
    main()
