"""Many saved edits at a glance."""

import json
from collections.abc import Iterator, Sequence
from itertools import count
from os.path import lexists
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from e2eve.editing.edits import MANIFEST
from e2eve.editing.pictures import Picture
from e2eve.reporting.grid import fitted, image_grid

CELL = 160  # side of an image, in pixels
COLUMNS = 4  # the best edits of a source
ROWS = 24  # of a sheet


def write_contact_sheets(out: Path, folders: Sequence[Path]) -> list[Path]:
    """Write contact_sheet.png, and with more than `ROWS` sources contact_sheet_2.png, …

    Sheets that are there stay. Each row shows a source beside its best edits, as they were saved.

    Returns what was written.
    """
    written: list[Path] = []
    for start in range(0, len(folders), ROWS):
        part = folders[start : start + ROWS]
        rows = [list(_row(folder)) for folder in part]
        labels = [str(folder.relative_to(out)) for folder in part]
        headings = ["source", *(f"#{n}" for n in range(1, max(map(len, rows))))]
        sheet = image_grid(rows, headings, labels, CELL)
        names = (f"contact_sheet{'' if n == 1 else f'_{n}'}.png" for n in count(1))
        path = next(out / name for name in names if not lexists(out / name))
        sheet.save(path)
        written.append(path)
    return written


def _row(folder: Path) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    """The source, as far as it is still there, and the best edits; small."""
    facts = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    paths = [Path(facts["source"])] if facts.get("source") else []
    paths += [folder / sample["file"] for sample in facts["samples"][:COLUMNS]]
    for path in paths:
        try:
            yield fitted(Picture.of(path, "edit").shown, CELL)
        except ValueError:
            yield np.asarray(Image.new("RGB", (CELL, CELL), "white"))
