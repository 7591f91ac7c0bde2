"""The launchers of sweeps that are not Hydra's. Hydra takes plugins from this package only.

They do what stock launchers can't: train first what cells read, start training runs of several
devices, join jobs under way, and requeue jobs of any number of processes.
"""

import functools
import importlib.util
import logging
import shutil
import signal
import subprocess
import sys
from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from types import FrameType
from typing import TYPE_CHECKING, Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import CompactHydraException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from e2eve.sweeps.in_process import read_objective
from e2eve.sweeps.plan import Plan
from e2eve.sweeps.study import JOINED, TODO, Cell, Study, open_record

if TYPE_CHECKING:
    from e2eve.sweeps.jobs import Jobs

log = logging.getLogger(__name__)

STOCK = {
    "joblib": "hydra_joblib_launcher.joblib_launcher.JoblibLauncher",
    "submitit_local": "hydra_submitit_launcher.submitit_launcher.LocalLauncher",
    "submitit_slurm": "hydra_submitit_launcher.submitit_launcher.SlurmLauncher",
}
for name, target in STOCK.items():
    # Where a stock launcher is not installed its name composes all the same, with any settings, so
    # that the sweep can end with one sentence instead of Hydra's list of search paths.
    if importlib.util.find_spec(f"hydra_plugins.{target.split('.')[0]}") is None:
        node = OmegaConf.create({"_target_": f"hydra_plugins.{target}"}, flags={"struct": False})
        ConfigStore.instance().store(name, node, group="hydra/launcher", provider="e2eve")


class CellLauncher(Launcher):
    """Runs the cells that are not done, after what they need; a failed one stops no other."""

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.config, self.loader = config, hydra_context.config_loader

    def joined(self, study: Study, cells: Sequence[Cell]) -> Collection[str]:
        """Names of cells that jobs of an earlier command still work at; `run` joins those."""
        return ()

    @abstractmethod
    def run(self, study: Study, cells: Sequence[Cell]) -> Mapping[str, str]:
        """Run them all; how the process of a cell ended, by its name, where it ended badly."""

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        try:
            study = Study(self.config, self.loader)
            cells = [study.cell(overrides) for overrides in job_overrides]
            notes = self._carry_out(Plan(study, cells, self.joined(study, cells)))
        except ValueError as error:
            raise CompactHydraException(str(error)) from error
        return [job_return(cell, study.settings.objective, notes[cell.name]) for cell in cells]

    def _carry_out(self, plan: Plan) -> dict[str, str | None]:
        """What the report says of each cell instead of the run's state."""
        study, notes = plan.study, dict.fromkeys(cell.name for cell in plan.states)
        for line in [f"Sweep in {study.folder}: {len(notes)} cells", *plan.lines()]:
            log.info("%s", line)
        if study.settings.dry_run:
            sys.exit(0)
        with open_record(study.folder) as record:
            record["cells"] |= notes
        for wave in plan.waves:
            for cell in wave:
                if cell.module:
                    subprocess.run([sys.executable, "-m", *cell.command], check=False)
            self.run(study, [cell for cell in wave if not cell.module])
        lacking = {cell: plan.lacking(cell) for cell in plan.cells(TODO)}
        notes |= {c.name: f"not started, {' and '.join(n)} failed" for c, n in lacking.items() if n}
        started = [cell for cell in plan.cells(JOINED, TODO) if not lacking.get(cell)]
        endings = self.run(study, started)
        notes |= {c.name: c.note_failure(endings[c.name]) for c in started if c.name in endings}
        with open_record(study.folder) as record:
            record["cells"] |= notes
        return notes


def job_return(cell: Cell, objective: str | None, note: str | None) -> JobReturn:
    """For the sweeper: the objective of a search. Other sweepers need nothing, the end reports."""
    result = JobReturn(overrides=cell.overrides, status=JobStatus.COMPLETED)
    try:
        result.return_value = read_objective(cell.run, objective, note)
    except ValueError as error:
        result.status, result.return_value = JobStatus.FAILED, error
    return result


class LocalLauncher(CellLauncher):
    """Processes of this machine, `n_jobs` at a time.

    Ctrl-C and SIGTERM reach the cells as SIGTERM: they save and end, and no others start.
    """

    def __init__(self, n_jobs: int = 1) -> None:
        self.n_jobs, self.stopped_by = n_jobs, 0
        self.alive: set[subprocess.Popen] = set()

    def run(self, study: Study, cells: Sequence[Cell]) -> Mapping[str, str]:
        """Raises SystemExit after a signal, when all processes have ended."""
        before = {one: signal.signal(one, self._stop) for one in (signal.SIGINT, signal.SIGTERM)}
        with ThreadPoolExecutor(self.n_jobs) as pool:
            codes = list(pool.map(self._run_one, cells))
        for one, handler in before.items():
            signal.signal(one, handler)
        if self.stopped_by:
            raise SystemExit(128 + self.stopped_by)
        pairs = zip(cells, codes, strict=True)
        return {cell.name: f"its process ended with exit code {n}" for cell, n in pairs if n}

    def _run_one(self, cell: Cell) -> int:
        """The exit code. Only one process at a time has the terminal, several have a file each."""
        if self.stopped_by:
            return 0
        cell.folder.mkdir(parents=True, exist_ok=True)
        with nullcontext() if self.n_jobs == 1 else (cell.folder / "output.log").open("ab") as out:
            # In a session of its own: Ctrl-C in a terminal reaches all processes of the terminal's
            # session, and a second signal would cut off the saving that the first one asks for.
            command = [sys.executable, "-m", *cell.command]
            process = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)
            self.alive.add(process)
            if self.stopped_by:  # since the question above
                process.terminate()
            code = process.wait()
        self.alive.remove(process)
        return code

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.stopped_by = number
        for process in list(self.alive):
            process.terminate()


class JobsLauncher(CellLauncher):
    """Jobs of submitit.

    Args:
        parameters: of the stock submitit launchers.
    """

    cluster: str
    remedy: str
    """What to give for training runs of so many {devices}."""

    def __init__(self, **parameters: Any) -> None:
        self.parameters = OmegaConf.to_container(OmegaConf.create(parameters), resolve=True)

    @functools.cached_property
    def jobs(self) -> "Jobs":
        from e2eve.sweeps.jobs import Jobs  # submitit need not be installed

        return Jobs(self.cluster, **self.parameters)

    def run(self, study: Study, cells: Sequence[Cell]) -> Mapping[str, str]:
        tasks = self.parameters["tasks_per_node"]
        for devices in [study.compose(cell.overrides).trainer.devices for cell in cells]:
            if devices != tasks:
                raise ValueError(
                    f"trainer.devices is {devices} and hydra.launcher.tasks_per_node {tasks}, and "
                    f"a job has one process per device: give {self.remedy.format(devices=devices)}."
                )
        return self.jobs.run(study.folder, cells)


class LocalJobsLauncher(JobsLauncher):
    """Processes of this machine that submitit treats as jobs."""

    cluster, remedy = "local", "hydra/launcher=e2eve_local"


class SlurmLauncher(JobsLauncher):
    """Jobs of a SLURM cluster; a process that fails takes the others of its job with it."""

    cluster, remedy = "slurm", "hydra.launcher.tasks_per_node={devices}"

    def __init__(self, srun_args: Sequence[str] = ("--kill-on-bad-exit=1",), **others: Any) -> None:
        super().__init__(srun_args=list(srun_args), **others)

    def joined(self, study: Study, cells: Sequence[Cell]) -> Collection[str]:
        if shutil.which("sbatch") is None:
            raise ValueError(
                "hydra/launcher=e2eve_slurm submits jobs with sbatch, which is not to be found: "
                "start the sweep on a login node, or give hydra/launcher=e2eve_local."
            )
        return self.jobs.joined(study.folder, cells)
