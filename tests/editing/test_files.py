"""Which files make an edit, and what an edit leaves behind."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from e2eve.data.images import read_image
from e2eve.editing import Edits
from e2eve.editing.files import EditInput, find_inputs, region_of
from e2eve.geometry import Box

BOX = Box(1, 2, 5, 6)
OUT = Path("nowhere")


def folder(path: Path, *names: str) -> Path:
    for name in names:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (90, 20, 20)).save(path / name)
    return path


def edits(count: int, width: int = 30, height: int = 20) -> Edits:
    rng = np.random.default_rng(count)
    pictures = rng.integers(0, 256, (count + 1, height, width, 3), dtype=np.uint8)
    return Edits(
        images=[Image.fromarray(picture) for picture in pictures[1:]],
        scores=[-1.5 * n for n in range(count)],
        numbers=list(range(count))[::-1],
        seed=7,
        region=BOX.mask(width, height),
        source=pictures[0],
        driver=rng.integers(0, 256, (8, 8, 3), dtype=np.uint8),
    )


def test_single_files_are_one_input(tmp_path):
    folder(tmp_path, "a.jpg", "b.png")
    source, driver = tmp_path / "a.jpg", tmp_path / "b.png"
    assert find_inputs(source, driver, BOX, OUT) == [EditInput("", source, driver, BOX)]
    assert find_inputs(source, driver, driver, OUT) == [EditInput("", source, driver, driver)]


def test_files_of_folders_are_matched_by_name(tmp_path):
    sources = folder(tmp_path / "sources", "a.jpg", "deep/b.png", "c.d.webp")
    drivers = folder(tmp_path / "drivers", "a.png", "deep/b.jpg", "c.d.jpg", "unused.jpg")
    masks = folder(tmp_path / "masks", "a.png", "deep/b.png", "c.d.png")
    assert find_inputs(sources, drivers, masks, OUT) == [
        EditInput("a", sources / "a.jpg", drivers / "a.png", masks / "a.png"),
        EditInput("c.d", sources / "c.d.webp", drivers / "c.d.jpg", masks / "c.d.png"),
        EditInput("deep/b", sources / "deep/b.png", drivers / "deep/b.jpg", masks / "deep/b.png"),
    ]


def test_one_driver_and_one_region_serve_a_folder(tmp_path):
    sources = folder(tmp_path / "sources", "a.jpg", "b.png")
    (driver,) = (folder(tmp_path, "driver.png") / "driver.png",)
    for region in (BOX, driver):
        inputs = find_inputs(sources, driver, region, OUT)
        assert [item.name for item in inputs] == ["a", "b"]
        assert {(item.driver, item.region) for item in inputs} == {(driver, region)}


def test_files_that_are_not_there_are_named(tmp_path):
    sources = folder(tmp_path / "sources", "a.jpg", "b.png")
    drivers = folder(tmp_path / "drivers", "a.jpg")
    with pytest.raises(ValueError, match=r"no picture for 1 of 2 sources.*b.png: add one named b"):
        find_inputs(sources, drivers, BOX, OUT)
    with pytest.raises(ValueError, match=r"nowhere.png is not a file: give the path of a picture"):
        find_inputs(sources, tmp_path / "nowhere.png", BOX, OUT)
    with pytest.raises(ValueError, match="drivers is not a file"):
        find_inputs(sources / "a.jpg", drivers, BOX, OUT)


def test_two_sources_of_one_name_are_refused(tmp_path):
    sources = folder(tmp_path / "sources", "a.jpg", "a.png")
    with pytest.raises(ValueError, match=r"a.jpg and .*a.png differ in their suffix only"):
        find_inputs(sources, sources, BOX, OUT)


def test_a_region_is_a_box_or_a_mask():
    assert region_of([1, 2, 5, 6], None) == BOX
    assert region_of(None, "mask.png") == Path("mask.png")


@pytest.mark.parametrize(
    ("box", "mask", "message"),
    [
        (None, None, "Neither box nor mask is given: give the region as"),
        ([1, 2, 5, 6], "mask.png", "Both box and mask are given"),
        ([1, 2, 5], None, r"box is \[1, 2, 5\]: give \[left,top,right,bottom\]"),
        ([1, 2, 5, 6.5], None, "four whole pixels"),
        ("1,2,5,6", None, "box is 1,2,5,6: give"),
        ([5, 2, 1, 6], None, "is empty: right must exceed left"),
    ],
)
def test_other_regions_are_refused(box, mask, message):
    with pytest.raises(ValueError, match=message):
        region_of(box, mask)


def test_saved_edits_are_the_edits(tmp_path):
    made = edits(3)
    made.save(tmp_path / "new" / "folder", model="runs/a", num_samples=3)
    saved = tmp_path / "new" / "folder"
    facts = json.loads((saved / "edit.json").read_text())
    assert (facts["model"], facts["num_samples"], facts["seed"]) == ("runs/a", 3, 7)
    assert [sample["score"] for sample in facts["samples"]] == made.scores
    assert [sample["number"] for sample in facts["samples"]] == made.numbers
    for sample, image in zip(facts["samples"], made.images, strict=True):
        assert np.array_equal(read_image(saved / sample["file"]), np.asarray(image))
    assert np.array_equal(read_image(saved / "region.png")[..., 0] == 255, made.region)


def test_edits_of_an_earlier_call_and_only_those_are_removed(tmp_path):
    edits(3).save(tmp_path)
    (tmp_path / "edit_notes.png").touch()
    edits(1).save(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"edit_01.png", "edit_notes.png", "edit.json", "grid.png", "region.png"}


@pytest.mark.parametrize("count", [1, 4, 5, 12])
def test_the_grid_holds_source_driver_and_edits(count):
    grid = edits(count).grid()
    rows = -(-(count + 2) // 6)
    assert grid.height > rows * 150
    assert grid.width > min(6, count + 2) * 224


def test_a_notebook_shows_the_grid():
    made = edits(2)
    with Image.open(io.BytesIO(made._repr_png_())) as shown:
        assert np.array_equal(np.asarray(shown), np.asarray(made.grid()))


def test_what_earlier_edits_have_left_is_no_source(tmp_path):
    folder(tmp_path, "a.jpg", "edits/a/grid.png", "edits/region.png")
    found = find_inputs(tmp_path, tmp_path / "a.jpg", BOX, tmp_path / "edits")
    assert [item.name for item in found] == ["a"]
