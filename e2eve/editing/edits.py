"""One edit that a person asks for: what may be handed over, and what comes of it, best first."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from torch import Tensor

from e2eve.conditioning import EditInputs
from e2eve.data.images import resize, to_tensor
from e2eve.editing.compositing import FEATHER, blended, cut, edit_weights, reduced, window_around
from e2eve.editing.inputs import Driver
from e2eve.editing.pictures import Picture
from e2eve.features import FeatureExtractor
from e2eve.geometry import Box
from e2eve.metrics.retrieval import sweep_distances, sweep_features
from e2eve.reporting.grid import fitted, image_grid, outlined
from e2eve.reporting.outputs import new_folder

COLUMNS = 6  # of the grid
CELL = 224  # side of an image in the grid, in pixels
MANIFEST = "edit.json"


class LazyImages(Sequence[Image.Image]):
    """Images that are made when they are asked for, so that large ones are not kept."""

    def __init__(self, makers: Sequence[Callable[[], Image.Image]]) -> None:
        self.makers = makers

    def __len__(self) -> int:
        return len(self.makers)

    def __getitem__(self, index: Any) -> Any:
        """One image, or a list for a slice."""
        found = self.makers[index]
        return found() if callable(found) else [make() for make in found]


@dataclass(frozen=True, eq=False)
class Edits:
    """Edits of one source, best first.

    Attributes:
        images: of the source's size, mode and profile; each is put into the source when it is
            asked for.
        scores: nearness of each to the driver, higher is nearer: minus the Euclidean distance
            between features of the driver and of the region (`driver_distances`). They compare
            edits of one request; between requests they mean little.
        numbers: which sample of the seed each is, from 0.
        seed: what the samples were drawn with.
        region: True where pixels may differ from the source.
        drivers: as the editor saw them, one for each region.
        remarks: what was edited though the editor was not trained for it, in sentences.
    """

    images: Sequence[Image.Image]
    scores: list[float]
    numbers: list[int]
    seed: int
    region: Bool[np.ndarray, "height width"]
    source: Picture
    drivers: list[UInt8[np.ndarray, "driver_side driver_side 3"]]
    remarks: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.images)

    def grid(self) -> Image.Image:
        """Source with the region outlined, driver, and the edits with their scores."""
        cells = [fitted(outlined(self.source.shown, self.region), CELL), *self.drivers]
        for number in range(len(self)):  # of large images no two are kept
            cells.append(fitted(Picture.of(self.images[number], "edit").shown, CELL))
        ranked = [f"#{n}  score {score:.2f}" for n, score in enumerate(self.scores, start=1)]
        captions = ["source and region", *["driver"] * len(self.drivers), *ranked]
        starts = range(0, len(cells), COLUMNS)
        return image_grid(
            [cells[start : start + COLUMNS] for start in starts],
            cell=CELL,
            captions=[captions[start : start + COLUMNS] for start in starts],
        )

    def _repr_png_(self) -> bytes | None:
        """How a notebook shows the edits."""
        return self.grid()._repr_png_()

    def save(self, folder: str | Path, **arguments: Any) -> Path:
        """Write edit_01.png (the best), edit_02.png, …, region.png, grid.png and edit.json.

        Nothing is lost: edits of CMYK are TIFF files, edit_01.tif, …; EXIF and profile are kept.

        Where one of these is in the folder already, a new folder with a number behind its name is
        written: no file is ever replaced.

        Args:
            arguments: what else edit.json should hold.

        Returns the folder.
        """
        *names, region, grid, manifest = files = file_names(len(self), self.source.suffix)
        folder = new_folder(folder, files)
        folder.mkdir(parents=True, exist_ok=True)
        for number, name in enumerate(names):  # of large images no two are kept
            _save(self.images[number], folder / name, **self.source.about)
        _save(Image.fromarray(self.region), folder / region)
        _save(self.grid(), folder / grid)
        samples = [
            {"file": name, "score": score, "number": number}
            for name, score, number in zip(names, self.scores, self.numbers, strict=True)
        ]
        facts = {**arguments, "seed": self.seed, "samples": samples, "files": files}
        facts["remarks"] = self.remarks
        with (folder / manifest).open("x", encoding="utf-8") as text:
            text.write(json.dumps(facts, indent=2, ensure_ascii=False) + "\n")
        return folder


def _save(image: Image.Image, path: Path, **about: Any) -> None:
    form = {".png": "PNG", ".tif": "TIFF"}[path.suffix]
    options = {"compression": "tiff_adobe_deflate"} if form == "TIFF" else {}
    with path.open("xb") as file:  # "x": whoever was faster keeps the file
        image.save(file, format=form, **about, **options)


def file_names(count: int, suffix: str = ".png") -> list[str]:
    """The files that so many edits of a source leave; what a folder got is in its `MANIFEST`."""
    edits = (f"edit_{n:02d}{suffix}" for n in range(1, count + 1))
    return [*edits, "region.png", "grid.png", MANIFEST]


@dataclass(frozen=True, eq=False)
class EditRequest:
    """`source` and `region` are as given; `window_*` and `driver` as the editor sees them."""

    source: Picture
    region: Bool[np.ndarray, "height width"]
    feather: float
    window: Box
    window_image: UInt8[np.ndarray, "side side 3"]
    window_region: Bool[np.ndarray, "side side"]
    driver: UInt8[np.ndarray, "driver_side driver_side 3"]

    @classmethod
    def of(
        cls,
        source: Picture,
        driver: Driver,
        region: Bool[np.ndarray, "height width"],
        image_size: int,
        driver_size: int,
        feather: float | None = None,
    ) -> "EditRequest":
        """Choose the window and resize it to `image_size` pixels.

        Args:
            feather: width of the rim in which source and edit mix, in pixels of the source;
                None: a share `FEATHER` of the window.

        Raises:
            ValueError: when the driver cannot be used; the sentence says what to give.
        """
        window = window_around(Box.around(region), *source.size)
        return cls(
            source=source,
            region=region,
            feather=FEATHER * window.width if feather is None else feather,
            window=window,
            window_image=resize(cut(source.shown, window), image_size, image_size),
            window_region=reduced(cut(region, window), image_size),
            driver=driver.shown(driver_size),
        )

    def inputs(self, device: torch.device, dtype: torch.dtype) -> EditInputs:
        """A batch of one, as an editor takes it."""
        return EditInputs(
            to_tensor(self.window_image)[None].to(device, dtype),
            torch.from_numpy(self.window_region)[None, None].to(device),
            to_tensor(self.driver)[None].to(device, dtype),
        )

    def blends(self, device: torch.device, dtype: torch.dtype) -> Float[Tensor, "1 3 side side"]:
        """The driver blended into the window, in [-1, 1].

        It covers the square around the region's box, so that it keeps its proportions.
        """
        region, box = self.window_region, Box.around(self.window_region)
        square = box.square
        patch = resize(self.driver, square.width, square.width)
        patch = cut(patch, box.shifted(-square.left, -square.top))
        return to_tensor(blended(self.window_image, region, box, patch))[None].to(device, dtype)

    def ranked(
        self,
        drawn: Sequence[UInt8[np.ndarray, "side side 3"]],
        seed: int,
        extractor: FeatureExtractor,
        keep: int | None = None,
    ) -> Edits:
        """What an editor drew into the window, put into the source and ranked.

        Args:
            drawn: samples 0, 1, … of the seed; only what lies inside the region is used.
            keep: how many of them are kept, the best ones; None keeps all.
        """
        box = Box.around(self.window_region)
        distances = driver_distances(extractor, drawn, box, self.driver)
        order = [int(number) for number in np.argsort(distances, kind="stable")][:keep]
        weights = edit_weights(self.region, self.feather)
        place = (self.window, Box.around(self.region), weights)

        def put(number: int) -> Image.Image:
            return self.source.with_edit(drawn[number], *place).image()

        return Edits(
            images=LazyImages([partial(put, number) for number in order]),
            scores=[-float(distances[number]) for number in order],
            numbers=order,
            seed=seed,
            region=self.region,
            source=self.source,
            drivers=[self.driver],
        )


@torch.no_grad()
def driver_distances(
    extractor: FeatureExtractor,
    edits: Sequence[UInt8[np.ndarray, "side side 3"]],
    region: Box,
    driver: UInt8[np.ndarray, "driver_side driver_side 3"],
) -> Float[np.ndarray, " edits"]:
    """Distance of each edit's region to the driver, in the extractor's feature space.

    As in the metric R@k: the Euclidean distance to the nearest of 14 sub-crops of the region, so
    that an object counts wherever in the region it stands.

    Args:
        region: bounding box of the region, in pixels of the edits.
    """
    images = to_tensor(np.stack(edits)).to(extractor.device)
    queries = sweep_features(extractor, images, [region] * len(edits), side=len(driver))
    target = extractor(to_tensor(driver)[None].to(extractor.device))
    return sweep_distances(queries, target.expand(len(edits), 1, -1))[:, 0].cpu().numpy()
