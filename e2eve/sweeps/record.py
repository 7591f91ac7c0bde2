"""sweep.json in a sweep's folder: which cells the last command was about, and their jobs."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from e2eve.sweeps.cells import Cell

NAME = "sweep.json"


class Record:
    """Kept up to date while a sweep runs.

    cells: name → {folder, overrides, job (a scheduler's, or null), note (why it was not started)}.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self.cells: dict[str, dict[str, Any]] = {}

    @classmethod
    def read(cls, folder: Path) -> "Record":
        """The one in the folder; empty where there is none."""
        record = cls(folder)
        if record.path.exists():
            record.cells = json.loads(record.path.read_text(encoding="utf-8"))["cells"]
        return record

    def add(self, cells: Sequence[Cell], before: "Record") -> None:
        """More cells; jobs that an earlier command started are remembered."""
        for cell in cells:
            job = before.cells.get(cell.name, {}).get("job")
            self.cells[cell.name] = {
                "folder": str(cell.folder),
                "overrides": list(cell.overrides),
                "job": job,
                "note": None,
            }
        self.write()

    def write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(".partial")
        partial.write_text(json.dumps({"cells": self.cells}, indent=2) + "\n", encoding="utf-8")
        partial.replace(self.path)
