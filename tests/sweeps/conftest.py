"""Sweeps of stub training runs, started as a person starts them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STUBBED = (
    "import e2eve.sweeps.study; e2eve.sweeps.study.MODULE = 'tests.sweeps.stub_training'\n"
    "from tests.sweeps.stub_training import main; main()"
)


class StubSweep:
    """`python -m e2eve.train -m …` in a folder of its own, with the stub in place of training runs.

    By processes of their own unless another launcher is named.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, os.environ["PATH"]

    def start(self, *overrides: str) -> subprocess.Popen:
        command = [sys.executable, "-c", STUBBED, "-m", f"study.dir={self.folder}"]
        if not any(one.startswith(("hydra/launcher", "+sweep")) for one in overrides):
            command.append("hydra/launcher=e2eve_local")
        return subprocess.Popen(
            [*command, "evaluation=off", "logger=csv", *overrides],
            cwd=self.folder.parent,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PATH": self.path},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def run(self, *overrides: str) -> tuple[int, str]:
        """Exit code and what was said."""
        process = self.start(*overrides)
        output, _ = process.communicate(timeout=300)
        return process.returncode, output

    def states(self) -> dict[str, str]:
        """Of all cells by name."""
        return {
            path.parent.name: json.loads(path.read_text())["state"]
            for path in sorted(self.folder.glob("*/status.json"))
        }

    def lives(self) -> dict[str, int]:
        """How often each cell was started."""
        return {
            path.parent.name: len(path.read_text().splitlines())
            for path in sorted(self.folder.glob("*/lives.txt"))
        }


@pytest.fixture
def stub_sweep(tmp_path) -> StubSweep:
    return StubSweep(tmp_path / "sweep")
