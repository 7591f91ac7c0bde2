"""Making training examples, against doing it slowly."""

import functools
import itertools
import tempfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from torch.utils.data import DataLoader

from e2eve.benchmarks import reference_edits as plain
from e2eve.benchmarks.floors import Floor, matrix_numbers, tokenizer_work
from e2eve.benchmarks.parts import Part
from e2eve.benchmarks.setting import Setting
from e2eve.benchmarks.timing import Case
from e2eve.data.images import read_image
from e2eve.data.keyed import generator_for
from e2eve.data.toyfaces import ToyFaces
from e2eve.edit_simulation import Block, DriverCrop, EditSimulation, FreeForm, RandomView
from e2eve.training.building import as_edit
from e2eve.training.data_module import Simulated

PICTURES = 32
"""Different ones among which a measurement goes round."""

H100 = 400e12
"""Floating-point operations a second that a training makes an H100 do, in bf16: 40 % of its peak
of 989e12."""


def mask_part(setting: Setting) -> Part:
    """A free-form region and the driver's box; the batch is their number."""
    simulation = _simulation(setting, free_form=True)
    ours, slowly = (np.random.default_rng(setting.seed) for _ in range(2))

    def draw() -> None:
        for _ in range(setting.batch):
            simulation.place(ours)

    def draw_slowly() -> None:
        for _ in range(setting.batch):
            plain.place(simulation, slowly)

    floor = _mask_floor(setting)
    return Part("mask", setting.batch, Case("plain", draw_slowly), Case("ours", draw), floor=floor)


def block_item_part(setting: Setting) -> Part:
    return _item_part("block_item", setting, free_form=False)


def free_form_item_part(setting: Setting) -> Part:
    return _item_part("free_form_item", setting, free_form=True)


def _item_part(name: str, setting: Setting, free_form: bool) -> Part:
    """From a JPEG file of twice the side to tensors; the batch is the number of examples."""
    simulation, files = _simulation(setting, free_form), jpegs(setting)
    edits = Simulated(files, functools.partial(as_edit, simulation), setting.seed)
    count = [0, 0]

    def make() -> None:
        for _ in range(setting.batch):
            edits[count[0], count[0] % PICTURES]
            count[0] += 1

    def make_slowly() -> None:
        for _ in range(setting.batch):
            rng = generator_for(setting.seed, (count[1], count[1] % PICTURES))
            plain.item(files.paths[count[1] % PICTURES], simulation, rng)
            count[1] += 1

    seconds = setting.hardware.fastest(lambda: files[0])
    floor = Floor(setting.batch * seconds, f"{setting.batch} × decoding the JPEG, measured")
    return Part(name, setting.batch, Case("plain", make_slowly), Case("ours", make), floor=floor)


def loader_part(setting: Setting) -> Part:
    """Free-form examples by way of loader processes; the batch is that of a training step.

    The floor is what an H100 needs to train on a batch: the ratio to it says how many times as many
    loader processes keep one busy.
    """
    simulation, files = _simulation(setting, free_form=True), jpegs(setting)
    edits = Simulated(files, functools.partial(as_edit, simulation), setting.seed)
    keys = ((0, n % PICTURES) for n in itertools.count())
    stream = iter(DataLoader(edits, setting.batch, sampler=keys, num_workers=setting.workers))
    batches = 64 // setting.batch + 1

    def load() -> None:
        for _ in range(batches):
            next(stream)

    work = training_work(setting)
    arithmetic = (
        f"an H100 trains on {H100 / work:.0f} edits a second, {work / 1e12:.3g} TFLOP each at "
        f"{H100 / 1e12:.0f} TFLOP/s"
    )
    floor = Floor(setting.batch * work / H100, arithmetic)
    ours = Case(f"{setting.workers} workers", load, share=batches)
    return Part("loader", setting.batch, None, ours, floor=floor)


def training_work(setting: Setting) -> float:
    """Operations for one edit: three passes of the GPT, encoding target, source and driver."""
    editor = setting.editor
    source, _ = tokenizer_work(editor.source_tokenizer, editor.image_size)
    driver, _ = tokenizer_work(editor.driver_tokenizer, editor.driver_size)
    gpt = 6 * matrix_numbers(editor.transformer) * (editor.transformer.layout.length - 1)
    return gpt + 2 * source.all + driver.all


@dataclass(frozen=True)
class Files:
    """Pictures in a folder that goes when this does."""

    folder: tempfile.TemporaryDirectory
    paths: list[Path]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> np.ndarray:
        return read_image(self.paths[index])

    def name(self, index: int) -> str:
        return self.paths[index].name


def jpegs(setting: Setting) -> Files:
    """ToyFaces of twice the preset's side."""
    folder = tempfile.TemporaryDirectory()
    faces = ToyFaces(size=2 * setting.preset.image_size, length=PICTURES)
    paths = [Path(folder.name, f"{faces.name(n)}.jpg") for n in range(PICTURES)]
    for n, path in enumerate(paths):
        Image.fromarray(faces[n]).save(path, quality=95)
    return Files(folder, paths)


def _simulation(setting: Setting, free_form: bool) -> EditSimulation:
    """As published: the driver is 0.5 to 0.7 of a block's side, or all of a square in a blob."""
    region = FreeForm() if free_form else Block()
    driver = DriverCrop(1.0, 1.0) if free_form else DriverCrop(0.5, 0.7)
    sides = (setting.preset.image_size, setting.preset.driver_size)
    return EditSimulation(*sides, RandomView(), region, driver)


def _mask_floor(setting: Setting) -> Floor:
    side = setting.preset.image_size
    angles = np.linspace(0, 2 * np.pi, 112, endpoint=False)
    circle = side * (0.5 + 0.25 * np.stack([np.cos(angles), np.sin(angles)], 1))

    def draw_and_search() -> None:
        mask = np.zeros((side, side), dtype=np.uint8)
        cv2.fillPoly(mask, [circle.astype(np.int32)], 1)
        cv2.distanceTransform(mask, cv2.DIST_C, 3)

    seconds = setting.hardware.fastest(draw_and_search)
    what = f"{setting.batch} × one fillPoly and one distance transform of OpenCV, measured"
    return Floor(setting.batch * seconds, what)
