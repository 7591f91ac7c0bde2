"""What a sweep will run, and what is there already."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from e2eve.runs import is_locked, run_settings
from e2eve.sweeps.cells import Cell
from e2eve.sweeps.needs import Needs, exists, find_needs, readings
from e2eve.sweeps.shared_validation import shared_folder
from e2eve.sweeps.sweep import Sweep

TODO, DONE, FAILED = "to run", "done", "failed before"
JOINED, RUNNING = "job under way", "running elsewhere"


@dataclass(frozen=True)
class Plan:
    """
    Args:
        states: what is to happen with each cell.
        reads: folders that each cell reads, by the cell's name.
        validation: the folder of a validation set that all cells share.
    """

    sweep: Sweep
    states: dict[Cell, str]
    reads: dict[str, list[str]]
    needs: Needs
    validation: Path | None

    @classmethod
    def of(cls, sweep: Sweep, cells: Sequence[Cell], under_way: Collection[str]) -> "Plan":
        """
        Args:
            under_way: names of cells that jobs of an earlier command still work at.
        """
        configs = {cell: sweep.compose(cell.overrides) for cell in cells}
        retry = sweep.settings.retry_failed
        states = {
            cell: JOINED if cell.name in under_way else state_of(cell, config, retry)
            for cell, config in configs.items()
        }
        started = [configs[cell] for cell, state in states.items() if state == TODO]
        return cls(
            sweep=sweep,
            states=states,
            reads={cell.name: [one.where for one in readings(configs[cell])] for cell in cells},
            needs=find_needs(sweep, started),
            validation=shared_folder(sweep, list(configs.values())),
        )

    @property
    def todo(self) -> list[Cell]:
        return [cell for cell, state in self.states.items() if state == TODO]

    @property
    def joined(self) -> list[Cell]:
        return [cell for cell, state in self.states.items() if state == JOINED]

    def lacking(self, cell: Cell) -> list[str]:
        """What the cell reads and is not there."""
        return [where for where in self.reads[cell.name] if not exists(where)]

    def lines(self) -> Iterator[str]:
        over = " × ".join(self.sweep.keys) or "nothing"
        yield f"Sweep in {self.sweep.folder}: {len(self.states)} cells over {over}"
        for reading in self.needs.existing:
            yield f"  exists      {reading.where}  ({reading.key})"
        for training in self.needs.trainings:
            yield f"  trained first  {training.folder}  ({' '.join(training.overrides)})"
        if self.validation is not None:
            there = (self.validation / "manifest.json").exists()
            yield f"  {'exists' if there else 'built first'}  {self.validation}  (validation set)"
        for cell, state in self.states.items():
            yield f"  {state}  {cell.name}"
        if FAILED in self.states.values():
            yield "  Those that failed are left alone; sweep.retry_failed=true runs them again."


def state_of(cell: Cell, config: DictConfig, retry_failed: bool) -> str:
    """What is to happen with a cell: it goes on where it stopped, and nothing is done twice."""
    if is_locked(cell.folder):
        return RUNNING
    if cell.run.result_of(run_settings(config)) is not None:
        return DONE
    if cell.run.status()["state"] == "failed" and not retry_failed:
        return FAILED
    return TODO
