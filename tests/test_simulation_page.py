"""The page of simulated edits: how they spread, what is drawn, and what the file holds."""

import numpy as np
import pytest

from e2eve.edit_simulation import (
    Block,
    CentreView,
    DriverCrop,
    EditSimulation,
    Region,
    SimulatedEdit,
)
from e2eve.geometry import Box
from e2eve.reporting.grid import DRIVER, EDIT
from e2eve.simulate import SimulatedEdits, edit_sheet, located, simulation_page, spread_of


def edit(box: Box, driver_box: Box) -> SimulatedEdit:
    target = np.full((64, 64, 3), 90, dtype=np.uint8)
    driver = np.full((16, 16, 3), 90, dtype=np.uint8)
    return SimulatedEdit(target, driver, Region(box.mask(64, 64), box), driver_box)


@pytest.fixture
def edits() -> SimulatedEdits:
    collected, rng = SimulatedEdits(), np.random.default_rng(0)
    simulation = EditSimulation(64, 16, CentreView(), Block(), DriverCrop())
    for index in range(12):
        image = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        collected.add(f"<b>{index}", simulation(image, rng), show=index < 3)
    return collected


def test_the_spread_of_a_known_edit():
    area, x, y, ratio = spread_of(edit(Box(0, 16, 32, 32), Box(0, 16, 8, 24)))
    assert (area, x, y, ratio) == (12.5, 25, 37.5, 50)


def test_coverage_is_how_often_a_place_is_edited():
    collected = SimulatedEdits()
    collected.add("left", edit(Box(0, 0, 32, 64), Box(0, 0, 8, 8)), show=True)
    collected.add("all", edit(Box(0, 0, 64, 64), Box(0, 0, 8, 8)), show=False)
    assert (collected.coverage[:, :32] == 100).all() and (collected.coverage[:, 32:] == 50).all()
    assert len(collected.shown) == 1 and len(collected.spread) == 2


def test_both_boxes_are_outlined_and_nothing_else_changes():
    image = located(edit(Box(10, 20, 50, 60), Box(20, 30, 40, 50)), 150)
    factor = len(image) // 64
    assert factor >= 2
    assert tuple(image[20 * factor, 30 * factor]) == EDIT
    assert tuple(image[30 * factor, 30 * factor]) == DRIVER
    assert (image[: 20 * factor] == 90).all()


def test_the_page_holds_everything_and_escapes_names(edits):
    html = simulation_page(edits, edit_sheet(edits), "image_size: 64").html()
    for text in (
        "12 plain images",
        "64 px",
        "16 px",
        "Region area",
        "Coverage",
        "image_size: 64",
    ):
        assert text in html
    assert "<b>0" not in html


def test_the_sheet_has_a_row_for_each_edit_shown(edits):
    one = SimulatedEdits(shown=edits.shown[:1], spread=edits.spread[:1])
    assert edit_sheet(edits).height > 2 * edit_sheet(one).height
