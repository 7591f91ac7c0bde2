"""A training with two processes is one training: one folder, one set of files, the same numbers."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from e2eve.evaluate import evaluate
from e2eve.evaluation.results import read_results
from e2eve.tokenizers import Tokenizer
from tests.factories import TINY, UNTRAINED, compose
from tests.training.test_evaluating import SMALL

ROOT = Path(__file__).parents[2]
TWO = (
    "trainer.devices=2 trainer.strategy=ddp token_cache=8 dataset.train.length=8 "
    "evaluation.num_inputs=5 evaluation.batch_size=2 evaluation.every_n_epochs=1"
).split()

SHARED = [
    "study.validation=['edit_simulation=mixed']",
    "evaluation.validation_set=${study.dir}/validation_set",
]

pytestmark = pytest.mark.slow


def trained(*overrides: str, flags: Sequence[str] = ()) -> str:
    """What the command has said."""
    done = subprocess.run(
        [sys.executable, "-m", "e2eve.train", *flags, *TINY, *overrides],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def sweep(tmp_path_factory) -> Path:
    """A sweep of two cells with one validation set, each trained by two processes."""
    folder = tmp_path_factory.mktemp("two") / "sweep"
    output = trained(
        f"study.dir={folder}",
        "hydra/launcher=e2eve_local",
        "seed=0,1",
        *UNTRAINED,
        *SMALL,
        *TWO,
        *SHARED,
        flags=["-m"],
    )
    assert output.count("Sweep in") == 2  # its plan and its report
    return folder


def test_no_process_runs_the_sweep_again(sweep):
    assert sorted(path.parent.name for path in sweep.glob("*/status.json")) == ["seed-0", "seed-1"]
    assert not any(path.is_dir() for path in sweep.glob("*/seed-*"))


def test_both_processes_evaluate_as_one_does(sweep, tmp_path):
    run = sweep / "seed-0"
    settings = ["device=cpu", "num_samples=2", "batch_size=2", f"out={tmp_path}", f"run={run}"]
    inputs = [f"validation_set={sweep / 'validation_set'}", "sampling=guided"]  # as it was trained
    evaluate(compose(*settings, *inputs, config_name="evaluate"))
    two, one = read_results(run).numbers(), read_results(tmp_path).numbers()
    assert two == pytest.approx(one, rel=1e-5, abs=1e-5)


def test_cells_share_their_validation_set(sweep):
    manifest = json.loads((sweep / "validation_set" / "manifest.json").read_text())
    assert manifest["region"]["kind"] == "Mixed"
    for cell in ("seed-0", "seed-1"):
        about = json.loads((sweep / cell / "metrics.json").read_text())["about"]
        assert about["validation_hash"] == manifest["content_hash"]
        assert not (sweep / cell / "validation_set").exists()


def test_evaluations_on_the_way_are_logged_once(sweep):
    header, *rows = (sweep / "seed-0" / "metrics.csv").read_text().splitlines()
    column = header.split(",").index("evaluation/editor/recall_1")
    steps = [row.split(",")[0] for row in rows if row.split(",")[column]]
    assert steps == ["2", "4"]
    assert sorted(path.name for path in (sweep / "seed-0" / "samples").glob("*.png")) == [
        "step_000002.png",
        "step_000004.png",
    ]


def test_a_tokenizer_and_its_discriminator_are_trained_by_two_processes(tmp_path):
    adversary = ["tokenizer_loss.discriminator={channels: 4, layers: 1}"]
    adversary += ["tokenizer_loss.adversarial_weight=0.8", "tokenizer_loss.adversarial_start=2"]
    task = ["task=source_tokenizer", "optimizer=tokenizer", "trainer.max_steps=4"]
    trained(f"run_dir={tmp_path}", *TWO[:4], *task, *adversary)
    assert Tokenizer.from_pretrained(tmp_path).image_size == 32
    header = (tmp_path / "metrics.csv").read_text().splitlines()[0]
    assert "train/discriminator" in header
