"""Two commands on one folder: the second one says so, and touches nothing of the first."""

import os
import subprocess
import sys
from pathlib import Path

from e2eve.runs import lock_run_dir


def command(cwd: Path, *overrides: str) -> subprocess.CompletedProcess:
    line = [sys.executable, "-m", "e2eve.train", *overrides]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.run(line, cwd=cwd, capture_output=True, text=True, env=environment)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_second_command_is_refused_before_it_writes(tmp_path):
    """Hydra's own files too: what a run was started with is read in comparisons."""
    run = tmp_path / "run"
    (run / ".hydra").mkdir(parents=True)
    (run / ".hydra/overrides.yaml").write_text("- steps=1\n")
    (run / "train.log").write_text("step 1\n")
    with lock_run_dir(run):
        before = contents(tmp_path)
        done = command(tmp_path, f"run_dir={run}", "steps=2")
        assert contents(tmp_path) == before
    said = done.stdout + done.stderr
    assert done.returncode == 2 and said.count("\n") == 1
    assert said.startswith(f"Another process is training in {run}: wait for it, end it, or give")


def test_a_folder_that_cannot_be_written_is_said_at_once(tmp_path):
    (tmp_path / "file").touch()
    done = command(tmp_path, "run_dir=file/run")
    said = done.stdout + done.stderr
    assert done.returncode == 2 and said.count("\n") == 1 and "Not a directory" in said


def test_a_second_sweep_says_that_another_runs(tmp_path):
    with lock_run_dir(tmp_path / "sweep", ".sweep_command.lock"):
        done = command(tmp_path, "-m", "seed=0,1", "study.dir=sweep", "hydra/launcher=e2eve_local")
    said = done.stdout + done.stderr
    assert done.returncode == 2 and said.count("\n") == 1, said
    assert said.startswith("Another sweep runs in sweep: wait for it, end it, or give another")
    assert not (tmp_path / "sweep/sweep.json").exists()
