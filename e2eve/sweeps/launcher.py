"""What Hydra's sweepers hand their cells to."""

import logging
import os
import sys
from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from e2eve.runs import RunFolder
from e2eve.sweeps.callback import log_of
from e2eve.sweeps.cells import Cell
from e2eve.sweeps.metric import read_metric
from e2eve.sweeps.plan import DONE, Plan
from e2eve.sweeps.record import Record
from e2eve.sweeps.shared_validation import build_shared
from e2eve.sweeps.sweep import Sweep

log = logging.getLogger(__name__)


class CellLauncher(Launcher):
    """Runs the cells that are not done, after what they need; a failed one stops no other."""

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.config, self.loader = config, hydra_context.config_loader
        self.record: Record | None = None

    def under_way(self, cells: Sequence[Cell], record: Record) -> Collection[str]:
        """Names of cells that jobs of an earlier command still work at, which `run` then joins."""
        return ()

    @abstractmethod
    def run(self, sweep: Sweep, cells: Sequence[Cell], record: Record) -> Mapping[str, str]:
        """Run them all; how the process of a cell ended, by its name, where it ended badly."""

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        try:
            return self._launch(job_overrides)
        except ValueError as error:
            if os.environ.get("HYDRA_FULL_ERROR") == "1":
                raise
            log.error("%s", error)
            sys.exit(1)

    def _launch(self, job_overrides: Sequence[Sequence[str]]) -> Sequence[JobReturn]:
        sweep = Sweep.of(self.config, self.loader)
        cells = [sweep.cell(overrides) for overrides in job_overrides]
        before = Record.read(sweep.folder)
        plan = Plan.of(sweep, cells, self.under_way(cells, before))
        for line in plan.lines():
            log.info("%s", line)
        if sweep.settings.dry_run:
            sys.exit(0)
        if self.record is None:
            self.record = Record(sweep.folder)
            self.record.jobs = before.jobs
        self.record.add(cells)
        if plan.todo and plan.validation is not None:
            build_shared(sweep, plan.validation)
        for wave in plan.needs.waves:
            self._carry_out(sweep, wave, self.record)
        self._carry_out(sweep, [*plan.joined, *self._startable(plan, self.record)], self.record)
        facts = self.record.cells
        return [_result(cell, sweep.settings.metric, facts[cell.name]["note"]) for cell in cells]

    def _startable(self, plan: Plan, record: Record) -> list[Cell]:
        """Cells to run whose needs are there; why the others are not started is noted."""
        startable = []
        for cell in plan.todo:
            lacking = plan.lacking(cell)
            if lacking:
                logs = "".join(f"\n    {log_of(RunFolder(where))}" for where in lacking)
                note = f"not started, {' and '.join(lacking)} failed{logs}"
                record.cells[cell.name]["note"] = note
            else:
                startable.append(cell)
        record.write()
        return startable

    def _carry_out(self, sweep: Sweep, cells: Sequence[Cell], record: Record) -> None:
        if not cells:
            return
        endings = self.run(sweep, cells, record)
        for cell in cells:
            if cell.name not in endings:
                continue
            cell.ended_badly(endings[cell.name])
            if cell.run.status()["state"] == DONE and cell.name in record.cells:
                note = f"refused, its folder holds a run with other settings\n    {cell.folder}"
                record.cells[cell.name]["note"] = note
        record.write()


def _result(cell: Cell, metric: str | None, note: str | None) -> JobReturn:
    """For the sweeper: the metric of a search. Other sweeps are told by the report at their end."""
    result = JobReturn(overrides=cell.overrides, status=JobStatus.COMPLETED)
    if metric is None:
        return result
    try:
        if note or cell.run.status()["state"] != DONE:
            raise ValueError(f"{cell.name} has no {metric}, since it is not done.")
        result.return_value = read_metric(cell.run, metric)
    except ValueError as error:
        result.status, result.return_value = JobStatus.FAILED, error
    return result
