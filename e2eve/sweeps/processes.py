"""Cells as processes of this machine."""

import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from types import FrameType
from typing import Any

from e2eve.sweeps.cells import Cell

MODULE = "e2eve.train"


class Processes:
    """Runs each cell as a process of its own, `jobs` at a time.

    Ctrl-C and SIGTERM reach the cells as SIGTERM: they save and end, and no others start.
    """

    def __init__(self, jobs: int, flags: Sequence[str]) -> None:
        self.jobs, self.flags = jobs, flags
        self.alive: dict[str, subprocess.Popen] = {}
        self.endings: dict[str, str] = {}
        self.stopped_by: int | None = None

    def run(self, cells: Sequence[Cell]) -> dict[str, str]:
        """How those processes ended that did not end well, by the cell's name.

        Raises:
            SystemExit: after a signal, when all processes have ended.
        """
        before = {one: signal.signal(one, self._stop) for one in (signal.SIGINT, signal.SIGTERM)}
        try:
            self._run_all(cells)
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)
        if self.stopped_by is not None:
            raise SystemExit(128 + self.stopped_by)
        return self.endings

    def _run_all(self, cells: Sequence[Cell]) -> None:
        if self.jobs == 1:
            for cell in cells:
                self._run_one(cell)
            return
        from joblib import Parallel, delayed

        parallel = Parallel(n_jobs=self.jobs, backend="threading")
        parallel(delayed(self._run_one)(cell) for cell in cells)

    def _run_one(self, cell: Cell) -> None:
        if self.stopped_by is not None:
            return
        command = [sys.executable, "-m", MODULE, *self.flags, *cell.overrides]
        with self._output(cell) as output:
            # In a session of its own, so that Ctrl-C in a terminal comes only from here.
            process = subprocess.Popen(
                command, stdout=output, stderr=output, start_new_session=True
            )
            self.alive[cell.name] = process
            if self.stopped_by is not None:
                process.terminate()
            code = process.wait()
        del self.alive[cell.name]
        if code != 0:
            self.endings[cell.name] = f"its process ended with exit code {code}"

    def _output(self, cell: Cell) -> AbstractContextManager[Any]:
        """The terminal for one at a time, a file each for several."""
        if self.jobs == 1:
            return nullcontext()
        cell.folder.mkdir(parents=True, exist_ok=True)
        return (cell.folder / "output.log").open("ab")

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.stopped_by = number
        for process in list(self.alive.values()):
            process.terminate()
