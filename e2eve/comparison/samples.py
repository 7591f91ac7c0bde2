"""Samples of the same validation inputs from many runs, small enough to stand in one page."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from einops import EinopsError, rearrange
from jaxtyping import UInt8
from PIL import Image

from e2eve.comparison.runs import Run
from e2eve.evaluation.results import SAMPLES_FOLDER, SHOWN_FOLDER, Results
from e2eve.reporting.grid import outlined
from e2eve.reporting.page import data_uri
from e2eve.reporting.progress import Report, silent

BUDGET = 17_000_000  # characters of images; with the charts' script a page stays below 25 MB
QUALITY = 80


class Input(NamedTuple):
    """Addresses of what an editor was given; None where the validation set is not at hand."""

    id: str
    source: str | None
    driver: str | None


class Strip(NamedTuple):
    """The samples of one run for one input.

    Each sample is the address of its thumbnail and what was measured of it, in words; `link` is the
    address of the file that holds all of them in full size, as they were drawn.
    """

    link: str
    samples: tuple[tuple[str, str], ...]


class SideBySide(NamedTuple):
    """`strips` by run folder and input; `missing` says for other runs why they have none."""

    inputs: tuple[Input, ...]
    strips: Mapping[Path, Mapping[str, Strip]]
    missing: Mapping[Path, str]
    left_out: int  # inputs that would have made the page too large

    @property
    def samples(self) -> int:
        """Samples of an input, at most."""
        strips = (strip for strips in self.strips.values() for strip in strips.values())
        return max((len(strip.samples) for strip in strips), default=0)


def side_by_side(
    runs: Sequence[Run],
    link: Callable[[Path], str],
    side: int,
    count: int,
    progress: Report = silent,
) -> SideBySide:
    """The first inputs for which most runs have samples, of the validation set most runs share.

    Args:
        side: longest edge of thumbnails in pixels; nothing is enlarged.
        link: gives the address of a file, as seen from the page.
        count: inputs at most.
    """
    finished = {run.folder: run.results for run in runs if run.results}
    hashes = Counter(results.about["validation_hash"] for results in finished.values())
    common = hashes.most_common(1)[0][0] if hashes else ""
    missing = {f: text for f, results in finished.items() if (text := _reason(results, common))}
    ids = {f: saved_inputs(results) for f, results in finished.items() if f not in missing}
    wanted = _most_common(list(ids.values()))[:count]
    strips: dict[Path, dict[str, Strip]] = {folder: {} for folder in ids}
    used, kept = 0, 0
    for id in wanted:
        row = {}
        for folder, saved in ids.items():
            try:
                if id in saved and folder not in missing:
                    row[folder] = _strip(finished[folder], id, link, side)
            except (OSError, ValueError, KeyError, EinopsError) as error:
                missing[folder] = f"an image or a table of its samples is damaged ({error})"
        used += sum(len(address) for strip in row.values() for address, _ in strip.samples)
        if kept and used > BUDGET:
            break
        kept += 1
        for folder, strip in row.items():
            strips[folder][id] = strip
        progress("thumbnails", kept, len(wanted))
    missing = {folder: " ".join(text.split()) for folder, text in missing.items()}
    folders = (validation_folder(run, common) for run in runs if run.results)
    inputs = tuple(_inputs(next(filter(None, folders), None), wanted[:kept], side))
    return SideBySide(inputs, strips, missing, len(wanted) - kept)


def validation_folder(run: Run, content_hash: str) -> Path | None:
    """Where the inputs of a run lie, if they are still those with that hash."""
    named = Path((run.config.get("evaluation") or {}).get("validation_set") or "validation_set")
    for folder in (run.folder / "validation_set", named, run.folder.parent / named.name):
        manifest = folder / "manifest.json"
        if manifest.is_file() and json.loads(manifest.read_text())["content_hash"] == content_hash:
            return folder
    return None


@lru_cache(maxsize=16384)
def thumbnails(path: Path, changed: int, count: int, side: int) -> tuple[str, ...]:
    """The `count` images of a strip, each as an address of its own."""
    return tuple(_address(image, side) for image in _parts(path, count))


def saved_samples(results: Results, id: str) -> UInt8[np.ndarray, "samples height width 3"]:
    """The samples of an input in full size, in drawing order, as a person gets them."""
    return _parts(_shown_path(results, id), results.about["num_samples"])


def _parts(path: Path, count: int) -> UInt8[np.ndarray, "count height width 3"]:
    return rearrange(read_png(path), "h (n w) c -> n h w c", n=count)


def _strip_path(results: Results, id: str) -> Path:
    return results.folder / SAMPLES_FOLDER / f"{id}.png"


# Put back into the source; evaluations from before have samples as they were drawn alone.
def _shown_path(results: Results, id: str) -> Path:
    path = results.folder / SHOWN_FOLDER / f"{id}.png"
    return path if path.exists() else _strip_path(results, id)


# Why a run has no images to show; empty where it has.
def _reason(results: Results, common: str) -> str:
    content_hash = results.about["validation_hash"]
    if content_hash != common:
        return f"measured on other inputs (sha256 {content_hash[:12]}…)"
    return "" if saved_inputs(results) else f"no {SAMPLES_FOLDER}/ in its folder: evaluate it again"


def saved_inputs(results: Results) -> list[str]:
    """Inputs with saved samples."""
    return sorted(path.stem for path in (results.folder / SAMPLES_FOLDER).glob("*.png"))


# Those that most have, in order; without any, none.
def _most_common(names: Sequence[Sequence[str]]) -> list[str]:
    counts = Counter(name for some in names for name in some)
    most = max(counts.values(), default=0)
    return sorted(name for name, count in counts.items() if count == most)


def _strip(results: Results, id: str, link: Callable[[Path], str], side: int) -> Strip:
    path = _shown_path(results, id)
    count = results.about["num_samples"]
    images = thumbnails(path, path.stat().st_mtime_ns, count, side)
    notes = [f"rank {row['driver_rank']:.0f}" for row in results.samples.get(id, [])]
    return Strip(
        link(_strip_path(results, id)), tuple(zip(images, notes or [""] * count, strict=True))
    )


def _inputs(folder: Path | None, ids: Sequence[str], side: int) -> Iterator[Input]:
    for id in ids:
        if folder is None:
            yield Input(id, None, None)
            continue
        region = read_png(folder / "regions" / f"{id}.png")[..., 0] > 127
        source = outlined(read_png(folder / "sources" / f"{id}.png"), region)
        driver = read_png(folder / "drivers" / f"{id}.png")
        yield Input(id, _address(source, side), _address(driver, side))


def read_png(path: Path) -> UInt8[np.ndarray, "height width 3"]:
    """A file of a run or of a validation set."""
    with Image.open(path, formats=("PNG",)) as image:
        return np.asarray(image.convert("RGB"))


def _address(pixels: UInt8[np.ndarray, "height width 3"], side: int) -> str:
    image = Image.fromarray(pixels)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return data_uri(image, QUALITY)
