"""Hydra's own launchers run cells as ours do, and no cell depends on the one before it."""

import random
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning  # noqa: F401  # importing it draws a number
import torch
from hydra import compose as compose_config
from hydra import initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from e2eve.config import conf_dir
from e2eve.sweeps.hooks import check_direction, check_single_process, process_state_restored
from tests.factories import TINY, UNTRAINED, compose

ROOT = Path(__file__).parents[2]


def test_basic_runs_what_is_not_done_and_reports_what_failed(stub_sweep):
    code, output = stub_sweep.run("hydra/launcher=basic", "seed=7,0")
    assert code == 1
    assert stub_sweep.states() == {"seed-0": "done", "seed-7": "failed"}
    assert "1 of 2 cells are done" in output
    assert "seed-7: failed, ValueError: seed 7 brings no luck" in output
    assert "Traceback" not in output
    (stub_sweep.folder / "healed").touch()
    code, output = stub_sweep.run("hydra/launcher=basic", "seed=7,0,1")
    assert code == 1
    assert "seed-7 failed before (study.retry_failed=true runs it again)" in output
    assert stub_sweep.lives() == {"seed-0": 1, "seed-1": 1, "seed-7": 1}
    overrides = (stub_sweep.folder / "seed-7" / ".hydra" / "overrides.yaml").read_text()
    assert "seed=7" in overrides  # Hydra's files lie in the run folder too


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_cells_of_other_processes_are_the_same_cells(stub_sweep, launcher):
    code, output = stub_sweep.run(f"hydra/launcher={launcher}", "seed=0,7")
    assert code == 1
    assert "1 of 2 cells are done" in output
    assert "seed-7: failed, ValueError: seed 7 brings no luck" in output
    code, _ = stub_sweep.run("hydra/launcher=e2eve_local", "seed=0")
    assert code == 0
    assert stub_sweep.lives() == {"cell": 1, "seed-0": 1, "seed-7": 1}


def test_plain_m_is_hydra_s_basic_and_the_command_line_wins():
    assert chosen("seed=0,1") == "basic"
    assert chosen("+sweep=size") == "e2eve_local"
    assert chosen("+sweep=size", "hydra/launcher=joblib") == "joblib"


def chosen(*overrides: str) -> str:
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        config = compose_config(
            "train", [one for one in overrides if "," not in one], return_hydra_config=True
        )
    return config.hydra.runtime.choices["hydra/launcher"]


def test_any_sweeper_is_told_the_objective(stub_sweep):
    """Of stock Optuna and the basic launcher; a failed cell is a failed trial."""
    pytest.importorskip("optuna")
    code, output = stub_sweep.run(
        *("hydra/launcher=basic", "hydra/sweeper=optuna", "study.objective=val/loss"),
        *("hydra.sweeper.n_trials=4", "hydra.sweeper.n_jobs=2", "hydra.sweeper.sampler.seed=0"),
        *("optimizer.base_learning_rate=choice(1e-5,3e-5)", "seed=choice(0,7)"),
        "hydra.sweeper.max_failure_rate=1.0",
    )
    assert code == 1  # the report: seed 7 has failed
    best = (stub_sweep.folder / "optimization_results.yaml").read_text()
    assert "base_learning_rate: 3.0e-05" in best
    assert "brings no luck" in output


@pytest.mark.slow
def test_the_second_cell_of_a_process_trains_as_it_does_alone(tmp_path):
    """Losses to the last digit; each has a W&B run of its own."""
    small = [
        *TINY,
        *UNTRAINED,
        "logger=wandb",
        "trainer.max_steps=4",
        "trainer.log_every_n_steps=1",
    ]
    study = [f"study.dir={tmp_path}/s", "hydra/launcher=basic"]
    command = [sys.executable, "-m", "e2eve.train"]
    subprocess.run([*command, "-m", *small, *study, "seed=0,1"], cwd=ROOT, check=True)
    alone = [f"run_dir={tmp_path}/alone", "seed=1"]
    subprocess.run([*command, *small, *alone], cwd=ROOT, check=True)
    curves = [(tmp_path / run / "metrics.csv").read_text() for run in ("s/seed-1", "alone")]
    assert curves[0] == curves[1]
    runs = [path for path in (tmp_path / "s").glob("*/wandb/offline-run-*")]
    assert sorted(path.parts[-3] for path in runs) == ["seed-0", "seed-1"]


def test_what_a_cell_sets_for_the_process_ends_with_it():
    torch.manual_seed(3), np.random.seed(3), random.seed(3)
    with process_state_restored():
        torch.set_num_threads(2)
        torch.use_deterministic_algorithms(True)
        torch.manual_seed(0), np.random.seed(0), random.seed(0)
    assert torch.get_num_threads() == 1
    assert not torch.are_deterministic_algorithms_enabled()
    drawn = torch.rand(1).item(), np.random.rand(), random.random()
    torch.manual_seed(3), np.random.seed(3), random.seed(3)
    assert drawn == (torch.rand(1).item(), np.random.rand(), random.random())


@pytest.mark.parametrize("devices", [2, "auto", "[0,1]", -1])
def test_training_runs_of_several_processes_are_refused_with_ours(devices):
    config = compose(f"trainer.devices={devices}")
    with pytest.raises(ValueError, match=r"joblib runs cells of one process: give .*=e2eve_local"):
        check_single_process(config, "joblib")
    with pytest.raises(ValueError, match="hydra/launcher=e2eve_slurm"):
        check_single_process(config, "submitit_slurm")
    check_single_process(compose("trainer.devices=[1]"), "joblib")


@pytest.mark.parametrize(
    ("objective", "given", "known"),
    [
        ("editor/nll_inside", None, "minimize"),
        ("nll/right_inside", None, "minimize"),
        ("editor/recall_5", None, "maximize"),
        ("editor/recall_5", "maximize", "maximize"),
        ("val/loss", "minimize", "minimize"),
    ],
)
def test_the_direction_is_the_metric_s(objective, given, known):
    config = search(objective, given)
    check_direction(config)
    assert config.hydra.sweeper.direction == known


@pytest.mark.parametrize(
    ("objective", "given", "message"),
    [
        ("editor/recall_5", "minimize", "give hydra.sweeper.direction=maximize"),
        ("val/loss", None, "are val/loss and None"),
        (None, "minimize", "A search needs study.objective"),
    ],
)
def test_a_direction_that_contradicts_is_refused(objective, given, message):
    with pytest.raises(ValueError, match=message):
        check_direction(search(objective, given))


def search(objective: str | None, direction: str | None) -> DictConfig:
    hydra = OmegaConf.create({"hydra": {"sweeper": {"direction": direction}}})
    config = compose(f"study.objective={objective or 'null'}")
    return DictConfig({**config, **hydra})


WITHOUT_EXTRAS = (
    "import hydra_plugins\n"
    "import e2eve.config, pathlib\n"
    "ours = pathlib.Path(e2eve.config.__file__).parent / 'sweeps/plugins/hydra_plugins'\n"
    "hydra_plugins.__path__ = [str(ours)]\n"
    "from e2eve.train import main; main()"
)


@pytest.mark.parametrize(
    ("choice", "package"),
    [
        ("hydra/launcher=joblib hydra.launcher.n_jobs=2", "hydra-joblib-launcher.*e2eve.sweep"),
        ("hydra/launcher=submitit_slurm", "hydra-submitit-launcher.*e2eve.slurm"),
        ("hydra/launcher=e2eve_slurm hydra.launcher.partition=gpu", "hydra-submitit-launcher"),
        ("+sweep=search", "hydra-optuna-sweeper.*e2eve.sweep"),
    ],
)
def test_a_missing_extra_is_one_sentence(tmp_path, choice, package):
    command = [sys.executable, "-c", WITHOUT_EXTRAS, "-m", "seed=0,1", f"study.dir={tmp_path}/s"]
    done = subprocess.run([*command, *choice.split()], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    (line,) = (done.stdout + done.stderr).strip().splitlines()
    assert "is not installed" in line
    assert re.search(package, line)
