"""submitit without a cluster: a job that is told of its end is started again where it stopped."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.factories import TINY

ROOT = Path(__file__).parents[2]
TRAINING = (
    "tokenizer=shared tokenizer.source=untrained trainer.max_steps=800 loader.workers=0 "
    "callbacks.last.every_n_steps=100000 trainer.val_check_interval=100000 "
    "trainer.log_every_n_steps=20"
).split()


def wait_for(path: Path, lines: int) -> None:
    deadline = time.monotonic() + 300
    while not (path.exists() and len(path.read_text().splitlines()) >= lines):
        assert time.monotonic() < deadline, path
        time.sleep(0.2)


@pytest.mark.slow
def test_usr2_saves_and_the_job_is_resumed_there(tmp_path):
    folder = tmp_path / "sweep"
    command = [sys.executable, "-m", "e2eve.train", "-m", f"study.dir={folder}", "seed=0"]
    sweep = subprocess.Popen(
        [*command, *TINY, *TRAINING, "hydra/launcher=e2eve_submitit_local"],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    run = folder / "cell"
    wait_for(run / "metrics.csv", lines=2)
    os.kill(json.loads((run / "status.json").read_text())["process"], signal.SIGUSR2)
    assert sweep.wait(timeout=600) == 0
    log = (run / "train.log").read_text()
    (saved,) = re.findall(r"Saved at step (\d+)", log)
    (resumed,) = re.findall(r"Resuming from \S+/step_(\d+)\.ckpt", log)
    assert 0 < int(saved) == int(resumed) < 800
    assert json.loads((run / "status.json").read_text())["state"] == "done"


PHOTOS = "+experiment=photos_block dataset.root=pictures tokenizer=shared,separate seed=0,7".split()


def test_jobs_are_told_from_cells_and_failures_named(stub_sweep):
    """Tokenizers that cells need are jobs too, and no cells of the sweep."""
    code, output = stub_sweep.run(*PHOTOS, "hydra/launcher=e2eve_submitit_local")
    assert code == 1
    assert sorted(stub_sweep.states().values()) == ["done", "done", "failed", "failed"]
    assert "2 of 4 cells are done" in output
    assert "seed-7+tokenizer-shared: failed, ValueError: seed 7 brings no luck" in output
    record = json.loads((stub_sweep.folder / "sweep.json").read_text())
    assert set(record["cells"]) == set(stub_sweep.states())
    tokenizers = {"photos_source_tokenizer", "photos_driver_tokenizer"}
    assert set(record["jobs"]) == {*record["cells"], *tokenizers}
    assert all((stub_sweep.folder / ".submitit" / job).is_dir() for job in record["jobs"].values())


def test_a_job_that_is_killed_is_a_failed_cell_and_not_awaited(stub_sweep):
    code, output = stub_sweep.run("seed=8,0", "hydra/launcher=e2eve_submitit_local")
    assert code == 1
    assert stub_sweep.states() == {"seed-0": "done", "seed-8": "failed"}
    assert "ended without a result" in output
