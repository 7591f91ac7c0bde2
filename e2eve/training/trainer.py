"""Lightning's Trainer: what its arguments may be, whether this machine has what they ask for."""

import inspect
import os
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins import CheckpointIO, ClusterEnvironment
from pydantic import Field
from pytorch_lightning import profilers
from pytorch_lightning.loggers import Logger
from pytorch_lightning.plugins.environments import SLURMEnvironment
from pytorch_lightning.strategies import DDPStrategy, StrategyRegistry
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from e2eve.config import check_arguments, choose, instantiate, listed, names_target
from e2eve.limits import MOST, NonNegative, NonNegativeFloat, Positive, Processes, Share, Text
from e2eve.naming import unknown_key
from e2eve.training.resuming import AtomicCheckpointIO
from e2eve.training.settings import TrainSettings
from e2eve.training.signals import under_slurm

# The longest that processes wait for each other: the first one alone encodes the edits.
PREPARATION = timedelta(hours=2)

PROFILERS = {
    "simple": profilers.SimpleProfiler,
    "advanced": profilers.AdvancedProfiler,
    "pytorch": profilers.PyTorchProfiler,
}

GIVEN_APART = ("callbacks", "logger")  # from groups of their own

# What Lightning refuses where a module optimises by hand, and a tokenizer's does itself.
BY_HAND = ("accumulate_grad_batches", "gradient_clip_val", "gradient_clip_algorithm")

PRECISIONS = Literal[
    "16-true", "16-mixed", "bf16-true", "bf16-mixed", "32-true", "64-true", "transformer-engine",
    "transformer-engine-float16", "16", "bf16", "32", "64", 16, 32, 64, "auto",
]  # fmt: skip
MOST_DEVICES = 1024  # of a machine
SomeBatches = Positive | Annotated[float, Field(gt=0, le=1)]  # so many, or a share of them
Batches = NonNegative | Share
Limit = Annotated[int, Field(ge=-1, le=MOST)]  # -1: none

# What Lightning's own types leave open; other arguments are checked by those.
LIMITS: Mapping[str, Any] = {
    "accelerator": Literal["auto", "cpu", "gpu", "cuda", "mps"],
    "strategy": Text,
    "devices": Annotated[int, Field(ge=-1, le=MOST_DEVICES)] | str | list[NonNegative],
    "num_nodes": Processes,
    "precision": PRECISIONS | None,
    "max_steps": Limit,
    "max_epochs": Limit | None,
    "min_steps": NonNegative | None,
    "min_epochs": NonNegative | None,
    "limit_train_batches": SomeBatches | None,
    "limit_val_batches": Batches | None,
    "overfit_batches": Batches,
    "val_check_interval": SomeBatches | str | dict[str, NonNegative],
    "check_val_every_n_epoch": Positive | None,
    "num_sanity_val_steps": Limit | None,
    "log_every_n_steps": NonNegative | None,
    "accumulate_grad_batches": Positive,
    "gradient_clip_val": NonNegativeFloat | None,
    "gradient_clip_algorithm": Literal["norm", "value"] | None,
    "fast_dev_run": bool | NonNegative,
    "profiler": Text | None,
    "plugins": list[Any] | None,
    "default_root_dir": Text | None,
    "reload_dataloaders_every_n_epochs": NonNegative,
}

DURATION = r"\d+:\d\d:\d\d:\d\d"


def check_trainer(trainer: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments, once nothing is wrong with them.

    Raises:
        ValueError: for what is no argument of Lightning's Trainer, is out of its range, never
            ends, or asks for devices that are not there.
    """
    for name in GIVEN_APART:
        if name in trainer:
            raise ValueError(unknown_key(f"trainer.{name}", ()))
    parameters = inspect.signature(pl.Trainer).parameters.values()
    absent = {one.name: one.default for one in parameters if one.name not in GIVEN_APART}
    given = absent | check_arguments(pl.Trainer, trainer, "trainer", LIMITS)
    strategy, known = given["strategy"], ["auto", *StrategyRegistry.available_strategies()]
    if isinstance(strategy, str):
        choose(strategy, dict.fromkeys(known, True), "trainer.strategy")
    if isinstance(given["profiler"], str):
        choose(given["profiler"], PROFILERS, "trainer.profiler")
    if not all(names_target(one) for one in given["plugins"] or ()):
        raise ValueError(
            f"trainer.plugins is {given['plugins']}: give a list of groups with _target_, or null."
        )
    check_times(given)
    check_end(given)
    check_devices(given)
    check_nodes(given)
    check_slurm(given)
    return given


def check_times(trainer: Mapping[str, Any]) -> None:
    """Raises ValueError for what is no duration, and a validation at a share of no epoch."""
    for name in ("max_time", "val_check_interval"):
        value = trainer[name]
        if isinstance(value, str) and not re.fullmatch(DURATION, value):
            raise ValueError(
                f'trainer.{name} is "{value}": give days:hours:minutes:seconds, such as '
                "'00:12:00:00'."
            )
    interval = trainer["val_check_interval"]
    if isinstance(interval, float) and trainer["check_val_every_n_epoch"] is None:
        raise ValueError(
            f"trainer.val_check_interval is {interval}, a share of an epoch, and "
            "trainer.check_val_every_n_epoch is null, which counts batches: give a whole number, "
            "or trainer.check_val_every_n_epoch=1."
        )


def check_end(trainer: Mapping[str, Any]) -> None:
    """Raises ValueError for a training run that does nothing or never ends."""
    steps, epochs = trainer["max_steps"], trainer["max_epochs"]
    if epochs == 0:
        raise ValueError("trainer.max_epochs is 0: give at least 1, or null.")
    if steps == 0 or (steps == -1 and epochs in (None, -1) and trainer["max_time"] is None):
        raise ValueError(
            f"trainer.max_steps is {steps}: give at least 1, or -1 with trainer.max_epochs or "
            "trainer.max_time, which end the run instead."
        )


def check_devices(trainer: Mapping[str, Any]) -> None:
    """Raises ValueError where the accelerator or so many devices are not there."""
    accelerator, devices = trainer["accelerator"], trainer["devices"]
    gpus, mps = torch.cuda.device_count(), torch.backends.mps.is_available()
    if {"cuda": not gpus, "mps": not mps, "gpu": not (gpus or mps)}.get(str(accelerator), False):
        raise ValueError(
            f"trainer.accelerator is {accelerator} and PyTorch finds no GPU of that kind: give "
            "trainer=cpu, or trainer.accelerator=auto trainer.precision=auto."
        )
    if not isinstance(accelerator, str) or devices == "auto":
        return
    on_gpu = accelerator != "cpu" and bool(gpus)
    text = ",".join(map(str, devices)) if isinstance(devices, list) else str(devices)
    several = isinstance(devices, list) or "," in text
    if not re.fullmatch(r"\d+(,\d+)*,?" if several else r"-1|[1-9]\d*", text) or (
        not on_gpu and (several or text == "-1")
    ):
        lists = ", or [0,1] for some of several GPUs" if on_gpu else ""
        raise ValueError(f"trainer.devices is {devices}: give auto, a number from 1 on{lists}.")
    numbers = [int(one) for one in text.split(",") if one]
    least = max(numbers) + 1 if several else numbers[0]
    if least > MOST_DEVICES:
        raise ValueError(f"trainer.devices is {devices}: give at most {MOST_DEVICES}.")
    if on_gpu and least > gpus:
        raise ValueError(
            f"trainer.devices is {devices} and PyTorch finds {gpus} GPUs: give at most {gpus}, or "
            f"numbers from 0 to {gpus - 1} in brackets."
        )


# By which Lightning knows that others are started elsewhere.
OTHERS = ("MASTER_ADDR", "SLURM_NTASKS", "LSB_DJOB_HOSTFILE", "OMPI_COMM_WORLD_SIZE")


def check_nodes(trainer: Mapping[str, Any]) -> None:
    """Raises ValueError where a run would wait for other machines, which nobody starts."""
    nodes = trainer["num_nodes"]
    if nodes > 1 and not trainer["plugins"] and not any(name in os.environ for name in OTHERS):
        raise ValueError(
            f"trainer.num_nodes is {nodes} and nothing here starts processes on other machines: "
            "start them with srun or torchrun, or give trainer.num_nodes=1."
        )


# What SLURM tells a task of a job step about itself.
OF_A_TASK = ("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID")


def check_slurm(trainer: Mapping[str, Any]) -> None:
    """Raises ValueError where SLURM's tasks are not those that the trainer waits for."""
    tasks = os.environ.get("SLURM_NTASKS", "1")
    per_node, nodes = (os.environ.get(f"SLURM_{n}") for n in ("NTASKS_PER_NODE", "NNODES"))
    if tasks != "1" and per_node is None:
        raise ValueError(
            f"SLURM gave --ntasks={tasks}, and processes are counted by node: ask for "
            f"--ntasks-per-node={tasks}, or in a shell of salloc, to train with one process, "
            "unset SLURM_NTASKS."
        )
    if not under_slurm():
        return
    started = all(name in os.environ for name in OF_A_TASK)
    if not started or (tasks != "1" and "SLURM_STEP_ID" not in os.environ):
        raise ValueError(
            f"SLURM_NTASKS is {tasks} and this process is no task of a job step: start it with "
            "srun, or unset SLURM_NTASKS to train with one process."
        )
    for name, own, given, option in (
        ("devices", trainer["devices"], per_node, "--ntasks-per-node"),
        ("num_nodes", trainer["num_nodes"], nodes, "--nodes"),
    ):
        if given is not None and isinstance(own, int) and own != int(given):
            raise ValueError(
                f"trainer.{name} is {own} and SLURM gave {option}={given}: give "
                f"trainer.{name}={given} or {option}={own}."
            )


def build_trainer(
    settings: TrainSettings,
    folder: Path,
    loggers: list[Logger] | bool = False,
    callbacks: list[pl.Callback] | None = None,
    module: pl.LightningModule | None = None,
) -> pl.Trainer:
    """Lightning's Trainer with the arguments of the group `trainer`.

    Args:
        folder: of the run.
        module: what is trained; None to try the arguments.

    Raises:
        ValueError: for what Lightning refuses.
    """
    values = {
        name: instantiate(value, f"trainer.{name}") if names_target(value) else value
        for name, value in settings.trainer.items()
        if name != "plugins"
    }
    if values["precision"] == "auto":
        values["precision"] = "bf16-mixed" if settings.on_gpu else "32-true"
    if module is not None and not module.automatic_optimization:
        values = {name: value for name, value in values.items() if name not in BY_HAND}
    if values["strategy"] == "ddp":
        turns = settings.task != "editor"  # so that no backward pass reaches all weights
        values["strategy"] = DDPStrategy(timeout=PREPARATION, find_unused_parameters=turns)
    given = listed(settings.trainer["plugins"] or [])
    plugins = [instantiate(one, f"trainer.plugins.{n}") for n, one in enumerate(given)]
    own: list[Any] = [AtomicCheckpointIO()]
    if under_slurm():
        own.append(SLURMEnvironment(auto_requeue=False))
    for plugin, kind in zip(own, (CheckpointIO, ClusterEnvironment), strict=False):
        if not any(isinstance(one, kind) for one in plugins):  # of each kind there is one
            plugins.append(plugin)
    if isinstance(values["profiler"], str):  # what Lightning would only log
        values["profiler"] = PROFILERS[values["profiler"]](dirpath=folder, filename="profile")
    values["default_root_dir"] = values["default_root_dir"] or folder
    try:
        return pl.Trainer(**values, plugins=plugins, callbacks=callbacks or [], logger=loggers)
    except (MisconfigurationException, RuntimeError, TypeError, ImportError, ValueError) as error:
        said = " ".join(str(error).split())
        raise ValueError(f"The group trainer does not work here, correct it: {said}") from error
