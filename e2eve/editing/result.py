"""The edits of one request, ranked, to be shown or written to files."""

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from e2eve.reporting.grid import outlined, picture_grid

COLUMNS = 6  # of the grid
CELL = 224  # side of a picture in the grid, in pixels


@dataclass(frozen=True, eq=False)
class Edits:
    """Edits of one source, best first.

    Attributes:
        images: pictures of the source's size.
        scores: nearness of each to the driver, higher is nearer: minus the Euclidean distance
            between features of the driver and of the region (`editing.ranking`). They compare
            edits of one request; between requests they mean little.
        numbers: which sample of the seed each is, from 0.
        seed: what the samples were drawn with.
        region: True where pixels may differ from the source.
        driver: as the editor saw it.
    """

    images: list[Image.Image]
    scores: list[float]
    numbers: list[int]
    seed: int
    region: Bool[np.ndarray, "height width"]
    source: UInt8[np.ndarray, "height width 3"]
    driver: UInt8[np.ndarray, "driver_side driver_side 3"]

    def __len__(self) -> int:
        return len(self.images)

    def grid(self) -> Image.Image:
        """Source with the region outlined, driver, and the edits with their scores."""
        cells = [outlined(self.source, self.region), self.driver, *map(np.asarray, self.images)]
        ranked = [f"#{n}  score {score:.2f}" for n, score in enumerate(self.scores, start=1)]
        captions = ["source and region", "driver", *ranked]
        starts = range(0, len(cells), COLUMNS)
        return picture_grid(
            [cells[start : start + COLUMNS] for start in starts],
            cell=CELL,
            captions=[captions[start : start + COLUMNS] for start in starts],
        )

    def _repr_png_(self) -> bytes:
        """How a notebook shows the edits."""
        buffer = io.BytesIO()
        self.grid().save(buffer, format="PNG")
        return buffer.getvalue()

    def save(self, folder: str | Path, **arguments: Any) -> Path:
        """Write edit_01.png (the best), edit_02.png, …, region.png, grid.png and edit.json.

        Edits that an earlier call left in the folder are removed.

        Args:
            arguments: what else edit.json should hold.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for earlier in folder.glob("edit_[0-9]*.png"):
            earlier.unlink()
        files = [f"edit_{rank:02d}.png" for rank in range(1, 1 + len(self))]
        for file, image in zip(files, self.images, strict=True):
            image.save(folder / file)
        Image.fromarray(self.region).save(folder / "region.png")
        self.grid().save(folder / "grid.png")
        samples = [
            {"file": file, "score": score, "number": number}
            for file, score, number in zip(files, self.scores, self.numbers, strict=True)
        ]
        facts = {**arguments, "seed": self.seed, "samples": samples}
        text = json.dumps(facts, indent=2, ensure_ascii=False)
        (folder / "edit.json").write_text(text + "\n", encoding="utf-8")
        return folder
