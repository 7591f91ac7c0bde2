"""The launchers of sweeps. Hydra takes launchers from this package only, and finds them here."""

import importlib.util
import shutil
from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from omegaconf import OmegaConf

from e2eve.sweeps.cells import Cell
from e2eve.sweeps.jobs import Jobs
from e2eve.sweeps.launcher import CellLauncher
from e2eve.sweeps.processes import Processes
from e2eve.sweeps.record import Record
from e2eve.sweeps.sweep import Sweep


class LocalLauncher(CellLauncher):
    """Processes of this machine, `n_jobs` at a time."""

    def __init__(self, n_jobs: int = 1, **others: Any) -> None:
        self.n_jobs = n_jobs

    def run(self, sweep: Sweep, cells: Sequence[Cell], record: Record) -> Mapping[str, str]:
        if self.n_jobs != 1:
            require("joblib", "hydra/launcher=joblib", "sweep")
        return Processes(self.n_jobs, sweep.flags).run(cells)


class JobsLauncher(CellLauncher):
    """Jobs of submitit.

    Args:
        submitit_folder: where submitit keeps its files; %j stands for the job.
        parameters: of submitit.
    """

    cluster: str
    choice: str

    def __init__(self, submitit_folder: str, tasks_per_node: int = 1, **parameters: Any) -> None:
        self.folder, self.tasks = submitit_folder, tasks_per_node
        self.parameters = {
            name: OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
            for name, value in {**parameters, "tasks_per_node": tasks_per_node}.items()
        }

    @abstractmethod
    def check(self) -> None:
        """Raise one sentence where jobs cannot be submitted."""

    @abstractmethod
    def remedy(self, devices: int) -> str:
        """What to give for trainings with so many devices."""

    def run(self, sweep: Sweep, cells: Sequence[Cell], record: Record) -> Mapping[str, str]:
        require("submitit", self.choice, "slurm")
        self.check()
        for cell in cells:
            devices = sweep.compose(cell.overrides).trainer.devices
            if devices != self.tasks:
                raise ValueError(
                    f"trainer.devices is {devices} and hydra.launcher.tasks_per_node {self.tasks}, "
                    f"and a job has one process for each device: give {self.remedy(devices)}."
                )
        return self.jobs.run(cells, sweep.flags, record)

    @property
    def jobs(self) -> Jobs:
        return Jobs(self.cluster, self.folder, self.parameters)


class SlurmLauncher(JobsLauncher):
    """Jobs of a SLURM cluster; a process that fails takes the others of its job with it."""

    cluster, choice = "slurm", "hydra/launcher=submitit_slurm"

    def __init__(self, srun_args: Sequence[str] = ("--kill-on-bad-exit=1",), **others: Any) -> None:
        super().__init__(srun_args=list(srun_args), **others)

    def under_way(self, cells: Sequence[Cell], record: Record) -> Collection[str]:
        if not any(cell.name in record.jobs for cell in cells):
            return ()
        require("submitit", self.choice, "slurm")
        self.check()
        return self.jobs.joined(cells, record)

    def check(self) -> None:
        if shutil.which("sbatch") is None:
            raise ValueError(
                f"{self.choice} submits jobs with sbatch, which is not to be found: start the "
                "sweep on a login node, or give hydra/launcher=local."
            )

    def remedy(self, devices: int) -> str:
        return f"hydra.launcher.tasks_per_node={devices}"


class LocalJobsLauncher(JobsLauncher):
    """Processes of this machine that submitit treats as jobs."""

    cluster, choice = "local", "hydra/launcher=submitit_local"

    def check(self) -> None:
        """There is nothing to miss."""

    def remedy(self, devices: int) -> str:
        return "hydra/launcher=local"


def require(package: str, choice: str, extra: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise ValueError(
            f"{choice} needs the package {package}, which is not installed: pip install "
            f"'e2eve[{extra}]'."
        )
