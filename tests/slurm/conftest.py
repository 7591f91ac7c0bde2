"""A SLURM cluster, and sweeps that run on it: `make slurm-test` brings one up."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PARTITIONS = {"main", "high"}
PATIENCE = 900.0
"""Seconds that anything may take; a busy machine is slow."""

LAUNCHER = (
    "hydra/launcher=e2eve_slurm hydra.launcher.partition=main hydra.launcher.mem_gb=1 "
    "hydra.launcher.gpus_per_node=null hydra.launcher.cpus_per_task=1 "
    "hydra.launcher.timeout_min=60 hydra.launcher.signal_delay_s=60"
).split()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slurm: needs SLURM as scripts/slurm_up.sh sets it up")


@pytest.fixture(scope="session")
def cluster() -> None:
    """Skips where there is none with the partitions that the tests use."""
    if shutil.which("sinfo") is None:
        pytest.skip("SLURM is not installed: make slurm-test installs it where apt-get can")
    command = ["sinfo", "--noheader", "--format=%R"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("SLURM does not answer: start it with scripts/slurm_up.sh")
    if done.returncode != 0:
        pytest.skip("SLURM does not run: start it with scripts/slurm_up.sh")
    if not set(done.stdout.split()) >= PARTITIONS:
        pytest.skip("this cluster has no partitions main and high, as scripts/slurm_up.sh makes")


class SlurmSweep:
    """`python -m e2eve.train -m …` with a job for each cell."""

    def __init__(self, folder: Path, *overrides: str) -> None:
        self.folder, self.overrides = folder, overrides
        self.output = folder.parent / "output.txt"
        self.process: subprocess.Popen | None = None

    def start(self, *more: str) -> None:
        command = [sys.executable, "-m", "e2eve.train", "-m", f"study.dir={self.folder}"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [*command, *self.overrides, *LAUNCHER, *more],
                cwd=ROOT,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def code(self) -> int:
        """Of the command, when it is over."""
        assert self.process is not None
        return self.process.wait(timeout=PATIENCE)

    def kill(self) -> None:
        """The command alone; its jobs continue."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def until(self, what: Callable[[], Any], why: str) -> Any:
        """What `what` returns as soon as that is true; fails when the command is over before."""
        assert self.process is not None
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            is_over = self.process.poll() is not None
            if found := what():
                return found
            assert not is_over, f"over before {why}: {self.output.read_text()}"
            time.sleep(0.2)
        raise TimeoutError(f"{why} took more than {PATIENCE:.0f} s")

    def jobs(self) -> dict[str, str]:
        """The job of each cell, by name."""
        path = self.folder / "sweep.json"
        return json.loads(path.read_text())["jobs"] if path.exists() else {}

    def status(self, cell: str) -> dict[str, Any]:
        path = self.folder / cell / "status.json"
        return json.loads(path.read_text()) if path.exists() else {"state": "new"}

    def trains(self, cell: str) -> bool:
        """Whether its steps have begun, and the first ones are logged."""
        path = self.folder / cell / "metrics.csv"
        return path.exists() and len(path.read_text().splitlines()) > 1

    def steps_saved_and_resumed(self, cell: str) -> tuple[list[int], list[int]]:
        """At which steps signals saved the run, and from which it was resumed."""
        log = (self.folder / cell / "train.log").read_text()
        saved = re.findall(r"Saved at step (\d+), as a signal asked for", log)
        resumed = re.findall(r"Resuming from \S+/step_(\d+)\.ckpt", log)
        return [int(step) for step in saved], [int(step) for step in resumed]

    def overrides_of(self, cell: str) -> list[str]:
        """With which its last life was started."""
        return yaml.safe_load((self.folder / cell / ".hydra" / "overrides.yaml").read_text())


def slurm(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
