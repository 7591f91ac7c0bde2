"""Samples of the same validation inputs from many runs, small enough to stand in one page."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from einops import rearrange
from PIL import Image

from e2eve.comparison.runs import Run
from e2eve.evaluation.files import SAMPLES_FOLDER
from e2eve.reporting.grid import outlined
from e2eve.reporting.page import data_uri
from e2eve.reporting.progress import Report, silent

BUDGET = 17_000_000
"""Characters of pictures in a page; with the charts' script it stays below 25 MB."""

QUALITY = 80

Link = Callable[[Path], str]
"""The address of a file, as seen from the page."""


@dataclass(frozen=True)
class Input:
    """Addresses of what an editor was given; None where the validation set is not at hand."""

    id: str
    source: str | None
    driver: str | None


@dataclass(frozen=True)
class Sample:
    """Address of the thumbnail, and what was measured of this sample, in words."""

    picture: str
    note: str


@dataclass(frozen=True)
class Strip:
    """The samples of one run for one input, and the address of the file that holds all of them."""

    samples: tuple[Sample, ...]
    link: str


@dataclass(frozen=True)
class SideBySide:
    """`strips` by run folder and input; `missing` says for other runs why they have none."""

    inputs: tuple[Input, ...]
    strips: Mapping[Path, Mapping[str, Strip]]
    missing: Mapping[Path, str]
    left_out: int  # inputs that would have made the page too large


def side_by_side(
    runs: Sequence[Run], link: Link, side: int, count: int, progress: Report = silent
) -> SideBySide:
    """The first inputs for which most runs have samples, of the validation set most runs share.

    Args:
        side: longest edge of thumbnails in pixels; nothing is enlarged.
        count: inputs at most.
    """
    finished = [run for run in runs if run.results]
    hashes = Counter(_hash(run) for run in finished)
    common = hashes.most_common(1)[0][0] if hashes else ""
    missing = {run.folder: text for run in finished if (text := _lack(run, common))}
    having = [run for run in finished if run.folder not in missing]
    wanted = _most_common([_names(run) for run in having])[:count]
    strips: dict[Path, dict[str, Strip]] = {run.folder: {} for run in having}
    used, kept = 0, 0
    for name in wanted:
        row = {run.folder: _strip(run, name, link, side) for run in having if name in _names(run)}
        used += sum(len(sample.picture) for strip in row.values() for sample in strip.samples)
        if kept and used > BUDGET:
            break
        kept += 1
        for folder, strip in row.items():
            strips[folder][name] = strip
        progress("thumbnails", kept, len(wanted))
    inputs = tuple(_inputs(runs, common, wanted[:kept], side))
    return SideBySide(inputs, strips, missing, len(wanted) - kept)


def _lack(run: Run, common: str) -> str:
    """Why the run has no pictures to show; empty where it has."""
    if _hash(run) != common:
        return f"measured on other inputs (sha256 {_hash(run)[:12]}…)"
    if not _names(run):
        return f"no {SAMPLES_FOLDER}/ in its folder: evaluate it again"
    return ""


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
    """The `count` pictures of a strip, each as an address of its own."""
    pictures = rearrange(_picture(path), "h (n w) c -> n h w c", n=count)
    return tuple(_address(picture, side) for picture in pictures)


def _strip(run: Run, name: str, link: Link, side: int) -> Strip:
    assert run.results is not None  # only finished runs have strips
    path = run.results.folder / SAMPLES_FOLDER / f"{name}.png"
    count = run.results.about["num_samples"]
    pictures = thumbnails(path, path.stat().st_mtime_ns, count, side)
    rows = run.results.samples.get(name, [])
    notes = [f"rank {row['driver_rank']:.0f}" for row in rows] or [""] * count
    return Strip(tuple(map(Sample, pictures, notes)), link(path))


def _inputs(runs: Sequence[Run], content_hash: str, ids: list[str], side: int) -> Iterator[Input]:
    folders = (validation_folder(run, content_hash) for run in runs if run.results)
    folder = next((found for found in folders if found), None)
    for name in ids:
        if folder is None:
            yield Input(name, None, None)
            continue
        region = _picture(folder / "regions" / f"{name}.png")[..., 0] > 127
        source = outlined(_picture(folder / "sources" / f"{name}.png"), region)
        driver = _picture(folder / "drivers" / f"{name}.png")
        yield Input(name, _address(source, side), _address(driver, side))


def _names(run: Run) -> list[str]:
    assert run.results is not None
    return sorted(path.stem for path in (run.results.folder / SAMPLES_FOLDER).glob("*.png"))


def _most_common(names: Sequence[Sequence[str]]) -> list[str]:
    """Those that most have, in order; without any, none."""
    counts = Counter(name for some in names for name in some)
    most = max(counts.values(), default=0)
    return sorted(name for name, count in counts.items() if count == most)


def _hash(run: Run) -> str:
    return run.results.about["validation_hash"] if run.results else ""


def _picture(path: Path) -> np.ndarray:
    with Image.open(path, formats=("PNG",)) as image:
        return np.asarray(image.convert("RGB"))


def _address(picture: np.ndarray, side: int) -> str:
    image = Image.fromarray(picture)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return data_uri(image, QUALITY)
