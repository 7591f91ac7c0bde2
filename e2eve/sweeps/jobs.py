"""Cells as jobs of submitit: on a SLURM cluster, or as processes that behave like jobs of one."""

import importlib
import logging
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from e2eve.sweeps import processes
from e2eve.sweeps.cells import Cell
from e2eve.sweeps.record import Record

if TYPE_CHECKING:
    import submitit

log = logging.getLogger(__name__)

SHARED_PARAMETERS = (
    *("timeout_min", "cpus_per_task", "gpus_per_node", "tasks_per_node", "mem_gb"),
    *("nodes", "name", "stderr_to_stdout"),
)
"""Of submitit, whatever the cluster; the others bear the cluster's name."""

OVER = (
    *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL"),
    *("OUT_OF_MEMORY", "TIMEOUT"),
)
"""States that a SLURM job does not leave again; a preempted one may be back in line."""

GONE = "no longer known to SLURM"


class TrainingJob:
    """What a job does: the training of a cell, again from its checkpoint when it is requeued.

    Args:
        module: with the command's `main`.
        flags: of Hydra.
    """

    def __init__(self, module: str, flags: Sequence[str]) -> None:
        self.module, self.flags = module, tuple(flags)

    def __call__(self, overrides: Sequence[str]) -> None:
        sys.argv = [self.module, *self.flags, *overrides]
        try:
            importlib.import_module(self.module).main()
        except SystemExit as ending:
            if ending.code == 1:  # Hydra's, after an error that it has printed
                raise RuntimeError("The training has failed: see its log above.") from None
            raise

    def checkpoint(self, overrides: Sequence[str]) -> "submitit.helpers.DelayedSubmission":
        """submitit asks for this when it requeues: the same again."""
        import submitit

        return submitit.helpers.DelayedSubmission(self, overrides)


class Jobs:
    """Submits cells and waits until the last of them is over, however it ends.

    Args:
        parameters: of submitit.AutoExecutor, without the cluster's name in front.
        patience: seconds between two looks.
    """

    def __init__(
        self, cluster: str, folder: str, parameters: Mapping[str, Any], patience: float = 5.0
    ) -> None:
        self.cluster, self.folder, self.patience = cluster, folder, patience
        self.parameters = dict(parameters)

    def run(self, cells: Sequence[Cell], flags: Sequence[str], record: Record) -> dict[str, str]:
        """How those jobs ended that did not end well, by the cell's name.

        Jobs of an earlier command that are still in line or running are joined.
        """
        jobs = self.joined(cells, record)
        new = [cell for cell in cells if cell.name not in jobs]
        jobs |= self._submitted(new, flags)
        for name, job in jobs.items():
            output = (
                job.paths.stdout if self.parameters.get("stderr_to_stdout") else job.paths.stderr
            )
            record.jobs[name] = {"id": job.job_id, "output": str(output)}
        record.write()
        try:
            return self._awaited(jobs)
        except KeyboardInterrupt:
            ids = " ".join(job.job_id for job in jobs.values())
            log.warning("The jobs %s go on without this command; start it again to join.", ids)
            raise

    def joined(self, cells: Sequence[Cell], record: Record) -> dict[str, "submitit.Job"]:
        """Jobs of an earlier command for these cells that SLURM still has, by the cell's name."""
        names = [cell.name for cell in cells if cell.name in record.jobs]
        earlier = {name: record.jobs[name]["id"] for name in names}
        if self.cluster != "slurm" or not earlier:
            return {}
        import submitit

        states = states_of(list(earlier.values()))
        return {
            name: submitit.SlurmJob(folder=self.folder, job_id=job)
            for name, job in earlier.items()
            if job in states and states[job] not in OVER
        }

    def _submitted(self, cells: Sequence[Cell], flags: Sequence[str]) -> dict[str, "submitit.Job"]:
        if not cells:
            return {}
        import submitit

        given = {
            name if name in SHARED_PARAMETERS else f"{self.cluster}_{name}": value
            for name, value in self.parameters.items()
            if value is not None
        }
        first = {
            name: given.pop(name) for name in [f"{self.cluster}_max_num_timeout"] if name in given
        }
        executor = submitit.AutoExecutor(folder=self.folder, cluster=self.cluster, **first)
        executor.update_parameters(**given)
        work = TrainingJob(processes.MODULE, flags)
        jobs = executor.map_array(work, [list(cell.overrides) for cell in cells])
        for cell, job in zip(cells, jobs, strict=True):
            log.info("  job %s  %s", job.job_id, cell.name)
        return {cell.name: job for cell, job in zip(cells, jobs, strict=True)}

    def _awaited(self, jobs: Mapping[str, "submitit.Job"]) -> dict[str, str]:
        endings: dict[str, str] = {}
        waiting, missed = dict(jobs), dict.fromkeys(jobs, 0)
        while waiting:
            states = self._states(waiting)
            for name, job in list(waiting.items()):
                if job.paths.result_pickle.exists():
                    del waiting[name]
                    continue
                state = states.get(job.job_id, GONE)
                missed[name] = missed[name] + 1 if state == GONE or state in OVER else 0
                if missed[name] == 3:  # a file system may be late, SLURM may requeue
                    endings[name] = f"job {job.job_id} ended without a result: {state}"
                    log.warning("%s: %s", name, endings[name])
                    del waiting[name]
            if waiting:
                time.sleep(self.patience)
        return endings

    def _states(self, jobs: Mapping[str, "submitit.Job"]) -> dict[str, str]:
        if self.cluster == "slurm":
            return states_of([job.job_id for job in jobs.values()])
        return {job.job_id: "FAILED" if job.done() else "RUNNING" for job in jobs.values()}


def states_of(jobs: Sequence[str]) -> dict[str, str]:
    """Of SLURM jobs; those it has forgotten are left out.

    `squeue` knows jobs for some minutes after their end, also where there is no accounting.

    Raises:
        ValueError: when SLURM does not answer.
    """
    numbers = ",".join(sorted({job.split("_")[0] for job in jobs}))
    command = ["squeue", "--noheader", "--array", "--states=all", "--format=%i %T"]
    command.append(f"--jobs={numbers}")
    environment = {name: v for name, v in os.environ.items() if not name.startswith("SQUEUE_")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0 and "Invalid job id" not in done.stderr:
        raise ValueError(f"squeue does not answer: {done.stderr.strip()}")
    pairs = (line.split(maxsplit=1) for line in done.stdout.splitlines())
    return {job: state.strip() for job, state in pairs}
