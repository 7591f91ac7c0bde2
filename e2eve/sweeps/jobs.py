"""Cells as jobs of submitit; imported where submitit is there."""

import importlib
import logging
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import submitit
from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf

from e2eve.sweeps.study import Cell, open_record

log = logging.getLogger(__name__)

OVER = (
    *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL"),
    *("OUT_OF_MEMORY", "TIMEOUT", "no longer known to SLURM"),
)
"""States that a SLURM job does not leave again; a preempted one may be back in line."""


class TrainingJob(submitit.helpers.Checkpointable):
    """The training run of a cell; requeued it is called again, and resumes in its run folder."""

    def __call__(self, command: Sequence[str]) -> None:
        sys.argv = list(command)
        try:
            importlib.import_module(command[0]).main()
        except SystemExit as ending:
            # Hydra exits with 1 after an error that it has printed. submitit takes an exit for the
            # end of a requeued life and writes no result, for which the command would wait.
            if ending.code == 1:
                raise RuntimeError("The training run has failed: see its log above.") from None
            raise


class Jobs:
    """Submits cells and waits until the last of them is over, however it ends.

    Args:
        parameters: of submitit.AutoExecutor, as the stock launchers call them: without the
            cluster's name in front.
    """

    patience = 5.0  # seconds between two looks

    def __init__(self, cluster: str, submitit_folder: str, **parameters: Any) -> None:
        self.cluster, self.folder, self.parameters = cluster, submitit_folder, parameters

    def run(self, folder: Path, cells: Sequence[Cell]) -> dict[str, str]:
        """How those jobs ended that did not end well, by the cell's name.

        Jobs of an earlier command that are still in line or running are joined.

        Args:
            folder: of the study, where jobs are recorded.
        """
        jobs = self.joined(folder, cells)
        jobs |= self._submitted([cell for cell in cells if cell.name not in jobs])
        with open_record(folder) as record:
            record["jobs"] |= {name: job.job_id for name, job in jobs.items()}
        for name, job in jobs.items():
            log.info("  job %s  %s", job.job_id, name)
        log.info("Jobs continue where this command is ended; the same again joins them.")
        return self._awaited(jobs)

    def joined(self, folder: Path, cells: Sequence[Cell]) -> dict[str, submitit.Job]:
        """Jobs of an earlier command for these cells that SLURM still has, by the cell's name."""
        with open_record(folder) as record:
            ids = {c.name: record["jobs"][c.name] for c in cells if c.name in record["jobs"]}
        if self.cluster != "slurm" or not ids:
            return {}
        found = {name: submitit.SlurmJob(self.folder, job) for name, job in ids.items()}
        states = self._states(found)
        return {name: job for name, job in found.items() if states[name] not in OVER}

    def _submitted(self, cells: Sequence[Cell]) -> dict[str, submitit.Job]:
        if not cells:
            return {}
        # submitit calls what only one cluster has by the cluster's name, and wants this at once.
        given = {
            name if hasattr(BaseQueueConf, name) else f"{self.cluster}_{name}": value
            for name, value in self.parameters.items()
            if value is not None
        }
        at_once = {key: given.pop(key) for key in list(given) if key.endswith("_max_num_timeout")}
        executor = submitit.AutoExecutor(folder=self.folder, cluster=self.cluster, **at_once)
        executor.update_parameters(**given)
        jobs = executor.map_array(TrainingJob(), [cell.command for cell in cells])
        return {cell.name: job for cell, job in zip(cells, jobs, strict=True)}

    def _awaited(self, jobs: Mapping[str, submitit.Job]) -> dict[str, str]:
        endings: dict[str, str] = {}
        waiting, missed = dict(jobs), dict.fromkeys(jobs, 0)
        while waiting:
            states = self._states(waiting)
            for name, job in list(waiting.items()):
                missed[name] = missed[name] + 1 if states[name] in OVER else 0
                if job.paths.result_pickle.exists():
                    del waiting[name]
                # Three looks: a network file system may show the result late, and between the end
                # of a life and its place in line SLURM calls a requeued job COMPLETED.
                elif missed[name] == 3:
                    endings[name] = f"job {job.job_id} ended without a result: {states[name]}"
                    log.warning("%s: %s", name, endings[name])
                    del waiting[name]
            time.sleep(self.patience if waiting else 0)
        return endings

    def _states(self, jobs: Mapping[str, submitit.Job]) -> dict[str, str]:
        """The state of each job, by the cell's name.

        submitit asks `sacct`, which needs an accounting database: where there is none, it never
        sees the end of a cancelled job. `squeue` knows jobs for some minutes after their end.

        Raises ValueError when SLURM does not answer.
        """
        if self.cluster == "local":
            return {name: "FAILED" if job.done() else "RUNNING" for name, job in jobs.items()}
        numbers = ",".join(sorted({job.job_id.split("_")[0] for job in jobs.values()}))
        command = ["squeue", "--noheader", "--array", "--states=all", "--format=%i %T"]
        environment = {name: v for name, v in os.environ.items() if not name.startswith("SQUEUE_")}
        done = subprocess.run(
            [*command, f"--jobs={numbers}"], capture_output=True, text=True, env=environment
        )
        if done.returncode != 0 and "Invalid job id" not in done.stderr:
            raise ValueError(f"squeue does not answer: {done.stderr.strip()}")
        known = dict(line.strip().split(maxsplit=1) for line in done.stdout.splitlines())
        return {name: known.get(job.job_id, OVER[-1]) for name, job in jobs.items()}
