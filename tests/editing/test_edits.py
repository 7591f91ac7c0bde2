"""Requests and edits: what an editor is shown, what becomes of what it draws, what is saved."""

import io
import json

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from e2eve.data.images import read_image, square
from e2eve.editing import Driver, EditRequest, Edits, Picture
from e2eve.editing.inputs import as_region
from e2eve.features import FeatureExtractor
from e2eve.geometry import Box

SIDE, DRIVER_SIDE = 32, 16


class Thumbnail(FeatureExtractor):
    """The image shrunk to 3 by 3 pixels."""

    name, dim, frechet_name = "thumbnail", 27, "Fréchet distance (thumbnail)"
    scale: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(()))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.scale * functional.adaptive_avg_pool2d(images, 3).flatten(1)


def noise(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def asked(source, driver, region, image_size=SIDE, driver_size=DRIVER_SIDE, feather=None):
    """The request of an edit of arrays."""
    picture = Picture.of(source, "source")
    mask = as_region(region, *picture.size)
    return EditRequest.of(picture, Driver(driver), mask, image_size, driver_size, feather)


def random_region(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """A disc with its middle in the image, or speckles."""
    rows, columns = np.mgrid[:height, :width]
    middle = rng.integers(0, height), rng.integers(0, width)
    radius = rng.uniform(0.6, max(width, height))
    disc = (rows - middle[0]) ** 2 + (columns - middle[1]) ** 2 < radius**2
    speckles = disc & (rng.random(disc.shape) < 0.1)
    return speckles if speckles.any() and rng.random() < 0.3 else disc


def test_only_the_region_changes_whatever_its_shape_and_the_images():
    for seed in range(30):
        rng = np.random.default_rng(seed)
        width, height = (int(n) for n in rng.integers(1, 120, 2))
        source, region = noise(rng, width, height), random_region(rng, width, height)
        request = asked(source, noise(rng, 20, 30), region, SIDE, DRIVER_SIDE)
        painted = [noise(rng, SIDE, SIDE) for _ in range(2)]
        edits = request.ranked(painted, 0, Thumbnail())
        for image in edits.images:
            assert image.size == (width, height)
            assert np.array_equal(np.asarray(image)[~region], source[~region])
        assert np.array_equal(edits.region, region)


def test_what_the_region_holds_is_not_shown_to_the_editor():
    for seed in range(40):
        rng = np.random.default_rng(seed)
        width, height = (int(n) for n in rng.integers(2, 120, 2))
        source, region = noise(rng, width, height), random_region(rng, width, height)
        other = np.where(region[..., None], noise(rng, width, height), source)
        requests = [asked(image, source, region, SIDE, DRIVER_SIDE) for image in (source, other)]
        one, two = (np.where(r.window_region[..., None], 0, r.window_image) for r in requests)
        assert np.array_equal(one, two)


def test_a_box_is_its_mask():
    source, box = noise(np.random.default_rng(0), 50, 40), Box(3, 4, 30, 20)
    requests = [
        asked(source, source, region, SIDE, DRIVER_SIDE) for region in (box, box.mask(50, 40))
    ]
    for name in ("region", "window", "window_image", "window_region", "driver"):
        first, second = (getattr(request, name) for request in requests)
        assert np.array_equal(first, second), name


def test_a_source_of_the_editors_size_is_shown_as_it_is():
    source = noise(np.random.default_rng(0), SIDE, SIDE)
    region = random_region(np.random.default_rng(1), SIDE, SIDE)
    request = asked(source, source, region, SIDE, DRIVER_SIDE)
    assert np.array_equal(request.window_image, source)
    assert np.array_equal(request.window_region, region)


def test_the_middle_of_a_driver_is_used():
    driver = noise(np.random.default_rng(0), 60, 30)
    request = asked(driver, driver, Box(1, 1, 9, 9), SIDE, DRIVER_SIDE)
    assert np.array_equal(request.driver, square(driver, DRIVER_SIDE))
    assert np.array_equal(request.driver, square(driver[:, 15:45], DRIVER_SIDE))


def test_tensors_are_a_batch_of_one_in_the_editors_precision():
    source = noise(np.random.default_rng(0), 50, 40)
    request = asked(source, source, Box(1, 1, 9, 9), SIDE, DRIVER_SIDE)
    sources, regions, drivers = request.inputs(torch.device("cpu"), torch.bfloat16)
    blends = request.blends(torch.device("cpu"), torch.bfloat16)
    assert (sources.shape, sources.dtype) == ((1, 3, SIDE, SIDE), torch.bfloat16)
    assert (regions.shape, regions.dtype) == ((1, 1, SIDE, SIDE), torch.bool)
    assert (drivers.shape, drivers.dtype) == ((1, 3, DRIVER_SIDE, DRIVER_SIDE), torch.bfloat16)
    assert (blends.shape, blends.dtype) == ((1, 3, SIDE, SIDE), torch.bfloat16)


def test_the_blend_keeps_the_drivers_proportions_and_takes_the_sources_colours():
    """A driver cut out of the square around the region, and brightened, gives the source again."""
    source = cv2.GaussianBlur(noise(np.random.default_rng(0), SIDE, SIDE), (0, 0), 2)
    for box in (Box(4, 10, 24, 20), Box(11, 6, 19, 26)):
        driver = box.square.crop(source)
        assert driver.shape == (20, 20, 3)
        request = asked(source, driver + np.uint8(30), box, SIDE, 20)
        inputs = request.inputs(torch.device("cpu"), torch.float32)
        blends = request.blends(torch.device("cpu"), torch.float32)
        outside = ~inputs.regions.expand(1, 3, SIDE, SIDE)
        assert torch.equal(blends[outside], inputs.sources[outside])
        assert (blends - inputs.sources).abs().max() < 5 / 127.5


def test_edits_that_show_the_driver_come_first_wherever_it_stands():
    rng = np.random.default_rng(0)
    source = np.full((SIDE, SIDE, 3), 90, np.uint8)
    driver = np.kron(noise(rng, 2, 2), np.ones((8, 8, 1), np.uint8))
    region = Box(0, 0, SIDE, SIDE)
    blank, whole, corner = (source.copy() for _ in range(3))
    whole[:] = square(driver, SIDE)
    corner[16:, 16:] = driver  # one of the nine sub-crops of half the side
    half = (corner // 2 + source // 2).astype(np.uint8)
    request = asked(source, driver, region, SIDE, DRIVER_SIDE)
    edits = request.ranked([blank, half, whole, corner], 5, Thumbnail())
    assert edits.numbers == [3, 2, 1, 0] or edits.numbers == [2, 3, 1, 0]
    assert edits.scores == sorted(edits.scores, reverse=True)
    assert edits.scores[0] > -0.1 > edits.scores[2]
    assert edits.seed == 5
    assert np.array_equal(np.asarray(edits.images[-1]), blank)


def test_equal_edits_keep_the_order_they_were_drawn_in():
    source = noise(np.random.default_rng(0), SIDE, SIDE)
    request = asked(source, source, Box(4, 4, 20, 20), SIDE, DRIVER_SIDE)
    assert request.ranked([source] * 3, 0, Thumbnail()).numbers == [0, 1, 2]


def test_wrong_inputs_are_named():
    source = noise(np.random.default_rng(0), 50, 40)
    with pytest.raises(ValueError, match="The driver is a float64 array"):
        asked(source, source / 255, Box(1, 1, 9, 9), SIDE, DRIVER_SIDE)


def edits(count: int, width: int = 30, height: int = 20) -> Edits:
    rng = np.random.default_rng(count)
    images = rng.integers(0, 256, (count + 1, height, width, 3), dtype=np.uint8)
    return Edits(
        images=[Image.fromarray(image) for image in images[1:]],
        scores=[-1.5 * n for n in range(count)],
        numbers=list(range(count))[::-1],
        seed=7,
        region=Box(1, 2, 5, 6).mask(width, height),
        source=Picture.of(images[0], "source"),
        drivers=[rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)],
    )


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
    assert {path.name for path in saved.iterdir()} == set(facts["files"])
    assert np.array_equal(read_image(saved / "region.png")[..., 0] == 255, made.region)


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["edit_02.png", "region.png", "grid.png", "edit.json"])
def test_no_file_is_replaced_or_removed_whoever_wrote_it(tmp_path, name):
    out = tmp_path / "edits"
    out.mkdir()
    (out / name).write_bytes(b"mine")
    (out / "edit_2025_holiday.png").write_bytes(b"mine too")
    before = contents(tmp_path)
    assert edits(3).save(out) == tmp_path / "edits_2"
    assert edits(3).save(out) == tmp_path / "edits_3"
    assert contents(tmp_path).items() >= before.items()
    assert len(contents(tmp_path)) == 2 + 2 * 6


def test_links_are_not_written_through(tmp_path):
    out = tmp_path / "edits"
    out.mkdir()
    (out / "grid.png").symlink_to(tmp_path / "nowhere.png")
    assert edits(1).save(out) == tmp_path / "edits_2"
    assert not (tmp_path / "nowhere.png").exists()


def test_edits_go_into_a_folder_of_other_files(tmp_path):
    (tmp_path / "edit_notes.png").touch()
    assert edits(1).save(tmp_path) == tmp_path
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
    png = made._repr_png_()
    assert png
    with Image.open(io.BytesIO(png)) as shown:
        assert np.array_equal(np.asarray(shown), np.asarray(made.grid()))
