"""The notebook runs from the first cell to the last, at tiny settings."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

WALK = Path(__file__).parents[1] / "scripts/walk.ipynb"


@pytest.mark.slow
def test_the_walk_runs_and_shows_its_pictures(tmp_path, monkeypatch):
    monkeypatch.setenv("E2EVE_STEPS", "2")
    notebook = nbformat.read(WALK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)  # kept without results
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=600, resources=resources).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    pictures = [output for output in shown if "image/png" in output.get("data", {})]
    assert len(pictures) == 4
    table = next(o for o in reversed(shown) if "text/html" in o.get("data", {}))
    assert "editor" in table["data"]["text/plain"]
