"""What this machine or its scheduler lacks is said before any work, in one sentence."""

import json
import types
from dataclasses import replace

import pytest
import torch

from e2eve.config import device_of, plain, read_settings
from e2eve.runs import RunFolder, run_settings
from e2eve.training.loggers import WandbRun, build_loggers
from e2eve.training.settings import TrainSettings
from e2eve.training.trainer import build_trainer, check_trainer
from tests.factories import TINY, compose

SLURM = {"SLURM_JOB_NAME": "mine", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"}


def checked(*overrides: str) -> dict:
    return check_trainer(plain(compose(*TINY, *overrides).trainer))


@pytest.fixture(autouse=True)
def bare(monkeypatch):
    """No scheduler, no GPU."""
    for name in (*SLURM, "SLURM_NTASKS", "SLURM_NTASKS_PER_NODE", "SLURM_NNODES", "SLURM_STEP_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        (
            "trainer=gpu",
            r"trainer.accelerator is gpu and PyTorch finds no .*: give trainer=cpu",
        ),
        ("trainer.accelerator=mps", r"trainer.accelerator is mps and PyTorch finds no GPU"),
        ("trainer.devices=0", r"trainer.devices is 0: give auto, a number from 1 on"),
        ("trainer.devices=[0,1]", r"trainer.devices is \[0, 1\]: give auto, a number"),
        ("trainer.num_nodes=2", r"trainer.num_nodes is 2 and nothing here starts .*: start them"),
        ("trainer.strategy=dpp", r'trainer.strategy is "dpp", the choices are .*"ddp"'),
        ("trainer.plugins=[word]", r"trainer.plugins is \['word'\]: give a list of groups"),
        ("trainer.val_check_interval=0.5", r"is 0.5, a share of an epoch, and .*: give a whole"),
    ],
)
def test_a_trainer_that_cannot_start_is_refused(override, sentence):
    overrides = [override] if override == "trainer=gpu" else ["trainer=cpu", override]
    with pytest.raises(ValueError, match=sentence):
        check_trainer(plain(compose(*overrides).trainer))


FITS = {"2": True, "[0,1]": True, "-1": True, "auto": True, "3": False, "[2]": False}


@pytest.mark.parametrize(("devices", "fits"), FITS.items())
def test_devices_are_those_that_are_there(monkeypatch, devices, fits):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    given = plain(compose("trainer=gpu", f"trainer.devices={devices}").trainer)
    if fits:
        check_trainer(given)
    else:
        with pytest.raises(ValueError, match=r"and PyTorch finds 2 GPUs: give at most 2"):
            check_trainer(given)


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        (
            {"SLURM_NTASKS": "2", "SLURM_JOB_NAME": "interactive"},
            r"--ntasks=2, .* ask for --nt",
        ),
        ({"SLURM_NTASKS": "1", "SLURM_JOB_NAME": "mine"}, r"is 1 and .* no task of a job step: st"),
        ({**SLURM, "SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2"}, r"start it with srun"),
        (
            {**SLURM, "SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2", "SLURM_STEP_ID": "0"},
            r"devices is 1 and SLURM gave --ntasks-per-node=2: give trainer.devices=2",
        ),
        (
            {**SLURM, "SLURM_NTASKS": "1", "SLURM_NNODES": "2"},
            r"num_nodes is 1 and SLURM gave --nodes=2: give",
        ),
    ],
)
def test_tasks_of_slurm_that_nobody_starts_are_told(monkeypatch, environment, sentence):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=sentence):
        checked()


def test_an_interactive_job_of_one_task_trains(monkeypatch):
    monkeypatch.setenv("SLURM_NTASKS", "1")
    monkeypatch.setenv("SLURM_JOB_NAME", "interactive")
    assert checked()["devices"] == 1


def test_a_trainer_is_tried_before_anything_is_built(tmp_path):
    settings = read_settings(compose(*TINY), TrainSettings)
    trainer = checked("+trainer.barebones=true", "trainer.detect_anomaly=true")
    with pytest.raises(ValueError, match="The group trainer does not work here, correct it: "):
        build_trainer(replace(settings, trainer=trainer), tmp_path)
    build_trainer(replace(settings, trainer=checked()), tmp_path)


@pytest.mark.parametrize("name", ["mps", "cuda", "cuda:1", "cpu:1", "gpu", 1.5, None])
def test_a_device_that_is_not_there_is_refused(name):
    with pytest.raises(ValueError, match=r"^device is .*: give (auto|device=auto)"):
        device_of(name)
    assert device_of("auto") == device_of("cpu") == "cpu"


def test_a_tracker_that_cannot_be_reached_ends_no_training(tmp_path, monkeypatch, caplog):
    wandb, begun = pytest.importorskip("wandb"), []

    def init(mode=None, **given):
        begun.append(mode)
        if mode != "offline":
            raise wandb.Error("No API key configured. Use `wandb login` to log in.")
        return types.SimpleNamespace(define_metric=lambda *a, **k: None)

    monkeypatch.setattr(wandb, "init", init)
    overrides = ["logger=wandb", "logger.wandb.offline=false", f"run_dir={tmp_path}"]
    config = compose(*TINY, *overrides)
    run = RunFolder(tmp_path).open(run_settings(config))
    loggers = build_loggers(read_settings(config, TrainSettings), run)
    assert begun == [None, "offline"]  # at once, before there is anything to log
    assert any(isinstance(one, WandbRun) and one.offline for one in loggers)
    (record,) = [one for one in caplog.records if "W&B" in one.message]
    assert "(No API key configured): the run is kept offline, and sent later by" in record.message
    assert json.loads((tmp_path / "status.json").read_text())["state"] == "new"
