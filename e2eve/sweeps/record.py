"""sweep.json in a sweep's folder: what cells the last command was about, what jobs there are."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from e2eve.sweeps.cells import Cell

NAME = "sweep.json"


class Record:
    """Kept up to date while a sweep runs.

    cells: name → {folder, overrides, note (why it was not started, or null)}.
    jobs: name of a cell, or of a training that cells need → {id, output (a file)}, of submitit.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self.cells: dict[str, dict[str, Any]] = {}
        self.jobs: dict[str, dict[str, str]] = {}

    @classmethod
    def read(cls, folder: Path) -> "Record":
        """The one in the folder; empty where there is none."""
        record = cls(folder)
        if record.path.exists():
            content = json.loads(record.path.read_text(encoding="utf-8"))
            record.cells, record.jobs = content["cells"], content.get("jobs", {})
        return record

    def add(self, cells: Sequence[Cell]) -> None:
        for cell in cells:
            facts = {"folder": str(cell.folder), "overrides": list(cell.overrides)}
            self.cells[cell.name] = {**facts, "note": None}
        self.write()

    def write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(".partial")
        content = {"cells": self.cells, "jobs": self.jobs}
        partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        partial.replace(self.path)
