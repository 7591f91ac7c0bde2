"""Launchers of our own: cells as processes or as jobs of submitit, after what they read is made."""

import importlib
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from types import FrameType
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn, JobStatus, env_override
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from e2eve.commands import FULL_ERROR
from e2eve.config import plain
from e2eve.sweeps.hooks import read_objective
from e2eve.sweeps.study import JOINED, TODO, Cell, Study, SweepPlan, open_record

if TYPE_CHECKING:
    import submitit

log = logging.getLogger(__name__)


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
        study = Study(self.config, self.loader)
        configs = dict(study.cell(overrides) for overrides in job_overrides)
        plan = SweepPlan(study, configs, self.joined(study, list(configs)))
        # Commands of cells fail as the user asked for; e2eve.commands.command asks otherwise here.
        with env_override({"HYDRA_FULL_ERROR": FULL_ERROR}):
            notes = self._carry_out(plan)
        return [job_return(cell, study.settings.objective, notes[cell.name]) for cell in configs]

    def _carry_out(self, plan: SweepPlan) -> dict[str, str | None]:
        """What the report says of each cell instead of the run's state."""
        study, notes = plan.study, dict.fromkeys(cell.name for cell in plan.states)
        for line in [f"Sweep in {study.folder}: {len(notes)} cells", *plan.lines()]:
            log.info("%s", line)
        if study.settings.dry_run:
            sys.exit(0)
        for wave in plan.waves:
            for cell in [cell for cell in wave if cell.module]:
                subprocess.run([sys.executable, "-m", *cell.command], check=False)
            if runs := [cell for cell in wave if not cell.module]:
                self.run(study, runs)
        lacking = {cell: plan.lacking(cell) for cell in plan.cells(TODO)}
        notes |= {c.name: f"not started, {' and '.join(n)} failed" for c, n in lacking.items() if n}
        started = [cell for cell in plan.cells(JOINED, TODO) if not lacking.get(cell)]
        endings = self.run(study, started) if started else {}
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


class Processes(CellLauncher):
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
        return {
            cell.name: f"its process ended with exit code {code}"
            for cell, code in zip(cells, codes, strict=True)
            if code
        }

    def _run_one(self, cell: Cell) -> int:
        if self.stopped_by:
            return 0
        cell.folder.mkdir(parents=True, exist_ok=True)
        # One process at a time has the terminal, several have a file each.
        with nullcontext() if self.n_jobs == 1 else (cell.folder / "output.log").open("ab") as out:
            # In a session of its own: Ctrl-C in a terminal reaches all processes of the terminal's
            # session, and a second signal would cut off the saving that the first one asks for.
            process = subprocess.Popen(
                [sys.executable, "-m", *cell.command],
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
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


class TrainingJob:
    """The training run of a cell; requeued it is called again, and resumes in its run folder."""

    def __call__(self, command: Sequence[str]) -> None:
        sys.argv = list(command)
        importlib.import_module(command[0]).main()

    def checkpoint(self, command: Sequence[str]) -> "submitit.helpers.DelayedSubmission":
        """What submitit puts back in line: the same, since the run folder has the state."""
        import submitit

        return submitit.helpers.DelayedSubmission(self, command)


class Jobs(CellLauncher):
    """Jobs of submitit; the command waits for the last of them, however it ends.

    Args:
        parameters: of the stock submitit launchers.
    """

    cluster: str  # as submitit calls it
    patience = 5.0  # seconds between two looks

    OVER = (
        *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL"),
        *("OUT_OF_MEMORY", "TIMEOUT", "no longer known to SLURM"),
    )  # states that a SLURM job does not leave again; a preempted one may be back in line

    def __init__(self, submitit_folder: str, **parameters: Any) -> None:
        self.folder = submitit_folder
        self.parameters = plain(OmegaConf.create(parameters))

    def joined(self, study: Study, cells: Sequence[Cell]) -> dict[str, "submitit.Job"]:
        """Jobs of an earlier command for these cells that SLURM still has, by the cell's name."""
        if self.cluster != "slurm":
            return {}
        if shutil.which("sbatch") is None:
            raise ValueError(
                "hydra/launcher=e2eve_slurm submits jobs with sbatch, which is not to be found: "
                "start the sweep on a login node, or give hydra/launcher=e2eve_local."
            )
        import submitit

        with open_record(study.folder) as record:
            ids = {c.name: record["jobs"][c.name] for c in cells if c.name in record["jobs"]}
        found: dict[str, submitit.Job]
        found = {name: submitit.SlurmJob(self.folder, job) for name, job in ids.items()}
        states = self._states(found)
        return {name: job for name, job in found.items() if states[name] not in self.OVER}

    def run(self, study: Study, cells: Sequence[Cell]) -> Mapping[str, str]:
        """Submit those that no job under way is for."""
        jobs = dict(self.joined(study, cells))
        jobs |= self._submitted(study, [cell for cell in cells if cell.name not in jobs])
        with open_record(study.folder) as record:
            record["jobs"] |= {name: job.job_id for name, job in jobs.items()}
        for name, job in jobs.items():
            log.info("  job %s  %s", job.job_id, name)
        log.info("Jobs continue where this command is ended; the same again joins them.")
        return self._awaited(jobs)

    def _submitted(self, study: Study, cells: Sequence[Cell]) -> dict[str, "submitit.Job"]:
        if not cells:
            return {}
        import submitit
        from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf

        for devices in [study.compose(cell.overrides).trainer.devices for cell in cells]:
            if devices != (tasks := self.parameters["tasks_per_node"]):
                raise ValueError(
                    f"trainer.devices is {devices} and hydra.launcher.tasks_per_node {tasks}, and "
                    "a job has one process per device: give hydra.launcher.tasks_per_node="
                    f"{devices}, or without a cluster hydra/launcher=e2eve_local."
                )
        # submitit calls what only one cluster has by the cluster's name, and wants this at once.
        given = {
            name if hasattr(BaseQueueConf, name) else f"{self.cluster}_{name}": value
            for name, value in self.parameters.items()
            if value is not None
        }
        at_once = {key: given.pop(key) for key in list(given) if key.endswith("_max_num_timeout")}
        executor = submitit.AutoExecutor(folder=self.folder, cluster=self.cluster, **at_once)
        if self.cluster == "slurm":  # a process that fails takes the others of its job with it
            given.setdefault("slurm_srun_args", ["--kill-on-bad-exit=1"])
        executor.update_parameters(**given)
        jobs = executor.map_array(TrainingJob(), [cell.command for cell in cells])
        return {cell.name: job for cell, job in zip(cells, jobs, strict=True)}

    def _awaited(self, jobs: Mapping[str, "submitit.Job"]) -> dict[str, str]:
        endings: dict[str, str] = {}
        waiting, missed = dict(jobs), dict.fromkeys(jobs, 0)
        while waiting:
            states = self._states(waiting)
            for name, job in list(waiting.items()):
                missed[name] = missed[name] + 1 if states[name] in self.OVER else 0
                if job.paths.result_pickle.exists():
                    del waiting[name]
                # Three looks: a network file system may show the result late, and between the end
                # of a life and its place in line SLURM calls a requeued job COMPLETED. A command
                # that fails by itself leaves no result either: submitit keeps exits for requeueing.
                elif missed[name] == 3:
                    endings[name] = f"job {job.job_id} ended without a result: {states[name]}"
                    log.warning("%s: %s", name, endings[name])
                    del waiting[name]
            time.sleep(self.patience if waiting else 0)
        return endings

    def _states(self, jobs: Mapping[str, "submitit.Job"]) -> dict[str, str]:
        """The state of each job, by the cell's name.

        submitit asks `sacct`, which needs an accounting database: where there is none, it never
        sees the end of a cancelled job. `squeue` knows jobs for some minutes after their end.

        Raises ValueError when SLURM does not answer.
        """
        if self.cluster == "local" or not jobs:
            return {name: "FAILED" if job.done() else "RUNNING" for name, job in jobs.items()}
        numbers = ",".join(sorted({job.job_id.split("_")[0] for job in jobs.values()}))
        command = ["squeue", "--noheader", "--array", "--states=all", "--format=%i %T"]
        done = subprocess.run(
            [*command, f"--jobs={numbers}"],
            capture_output=True,
            text=True,
            env={name: v for name, v in os.environ.items() if not name.startswith("SQUEUE_")},
        )
        if done.returncode != 0 and "Invalid job id" not in done.stderr:
            raise ValueError(f"squeue does not answer: {done.stderr.strip()}")
        known = dict(line.strip().split(maxsplit=1) for line in done.stdout.splitlines())
        return {name: known.get(job.job_id, self.OVER[-1]) for name, job in jobs.items()}
