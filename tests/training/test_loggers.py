"""Metrics reach metrics.csv always, and W&B as one run however often it goes on."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import pytorch_lightning as pl

from e2eve.config import read_settings
from e2eve.runs import RunFolder, run_settings
from e2eve.training import tasks
from e2eve.training.loggers import SECONDS_KEPT_BACK, build_loggers, membership
from e2eve.training.run import train
from e2eve.training.settings import TrainSettings
from tests.factories import TINY, UNTRAINED, compose
from tests.training.test_evaluating import SMALL
from tests.training.wandb_files import OfflineRun, read_offline

ROOT = Path(__file__).parents[2]
CELL = ["study.dir=runs/some_sweep", "study.cell=tokenizer-shared+seed-0"]


@pytest.fixture
def without_wandb(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)


def chosen(logger: str, tmp_path) -> list[str]:
    """Names of the loggers that a choice of the group builds."""
    config = compose(*TINY, f"logger={logger}", f"run_dir={tmp_path}")
    run = RunFolder(tmp_path).open(run_settings(config))
    loggers = build_loggers(read_settings(config, TrainSettings), run)
    return [type(one).__name__ for one in loggers]


def test_without_wandb_only_those_who_ask_for_it_are_refused(without_wandb, tmp_path):
    assert chosen("csv", tmp_path) == chosen("auto", tmp_path) == ["MetricsLog"]
    with pytest.raises(ValueError, match=r"logger=wandb needs .* pip install 'e2eve\[wandb\]'"):
        chosen("wandb", tmp_path)


def test_with_wandb_only_those_who_refuse_it_go_without(tmp_path):
    assert chosen("auto", tmp_path) == chosen("wandb", tmp_path) == ["MetricsLog", "WandbRun"]
    assert chosen("csv", tmp_path) == ["MetricsLog"]


@pytest.mark.slow
@pytest.mark.parametrize("logger", ["csv", "auto"])
def test_a_training_needs_no_wandb(logger, tmp_path):
    """In a process of its own, where importing it fails."""
    overrides = [*TINY, *UNTRAINED, f"run_dir={tmp_path}", f"logger={logger}"]
    code = (
        f"import sys; sys.modules['wandb'] = None; sys.argv = ['train', *{overrides!r}]\n"
        "from e2eve.train import main; main()"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    assert (tmp_path / "metrics.csv").is_file()
    assert not (tmp_path / "wandb").exists()


def test_a_run_keeps_its_id_and_another_folder_has_another(tmp_path):
    first, second = (RunFolder(tmp_path / name) for name in ("a=b, c", "second"))
    for run in (first, second):
        run.path.mkdir()
    assert first.wandb_id() == RunFolder(tmp_path / "a=b, c").wandb_id()
    assert first.wandb_id() != second.wandb_id()
    assert first.wandb_id().startswith("a_b__c-")


def test_cells_are_grouped_by_study_and_tagged_by_choices():
    def place(*overrides: str):
        return membership(read_settings(compose(*TINY, *overrides), TrainSettings))

    assert place(*CELL) == ("some_sweep", ["editor", "tokenizer-shared", "seed-0"])
    assert place("tags=[first,paper]") == (None, ["editor", "first", "paper"])


@pytest.fixture(scope="module")
def lives(tmp_path_factory) -> list[OfflineRun]:
    """A cell that was broken off after two of four steps, then taken up again."""
    folder = tmp_path_factory.mktemp("runs") / "cell"
    settings = [*TINY, *UNTRAINED, *SMALL, *CELL, "logger=wandb", f"run_dir={folder}"]
    for steps in (2, 4):
        train(compose(*settings, f"trainer.max_steps={steps}"))
    return read_offline(folder)


def test_a_run_that_goes_on_is_one_run(lives):
    assert len(lives) == 2
    assert lives[0].id == lives[1].id
    assert [life.exit_code for life in lives] == [0, 0]
    assert max(lives[0].steps()) <= min(lives[1].steps())
    assert lives[1].steps()[-1] == 4


def test_curves_lie_over_the_training_step(lives):
    assert lives[1].metrics["*"] == "trainer/global_step"
    logged = [row for row in lives[1].history if "train/loss" in row]
    assert logged
    assert all("trainer/global_step" in row for row in logged)


def test_w_and_b_knows_settings_code_and_place_in_the_sweep(lives):
    life = lives[1]
    assert life.config["transformer"]["width"] == 32
    assert "git_revision" in life.config
    assert (life.group, life.tags) == ("some_sweep", ["editor", "tokenizer-shared", "seed-0"])
    assert life.name.endswith("cell")


def test_grids_have_captions(lives):
    pictures = [row["samples"] for row in lives[1].history if "samples" in row]
    assert pictures
    (caption,) = pictures[-1]["captions"]
    assert caption.startswith("step 4: source with its region")
    assert (lives[1].files / pictures[-1]["filenames"][0]).is_file()


def test_the_final_table_is_a_table_and_a_summary(lives):
    tables = [row["final"] for row in lives[1].history if "final" in row]
    assert (lives[1].files / tables[0]["path"]).is_file()
    assert "final/editor/recall_1" in lives[1].summary
    assert "final/editor/nll_gap" in lives[1].summary


class EndsWandb(pl.Callback):
    """Sends SIGTERM to W&B's process at a step, as SLURM does."""

    def on_train_batch_end(self, trainer, *args) -> None:
        if trainer.global_step == 2:
            time.sleep(2 * SECONDS_KEPT_BACK)
            for process in children(os.getpid()):
                if "wandb-core" in (process / "cmdline").read_text():
                    os.kill(int(process.name), signal.SIGTERM)
            time.sleep(1)


def children(parent: int) -> list[Path]:
    """In /proc."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(stat.parent)
    return found


def test_a_training_outlives_the_process_of_w_and_b(tmp_path, monkeypatch):
    monkeypatch.setattr(tasks.EditorTask, "callbacks", lambda self: [EndsWandb()])
    settings = ["logger=wandb", "trainer.max_steps=4", f"run_dir={tmp_path}"]
    train(compose(*TINY, *UNTRAINED, *settings))
    first, second = read_offline(tmp_path)
    assert first.id == second.id
    assert sorted({*first.steps(), *second.steps()}) == [0, 1, 2, 3]
    assert second.exit_code == 0
