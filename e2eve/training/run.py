"""One training run from start to report, resumable at any point."""

import logging
import shlex
import signal
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins import CheckpointIO, ClusterEnvironment
from omegaconf import DictConfig
from pytorch_lightning import profilers
from pytorch_lightning.callbacks import Checkpoint, ModelCheckpoint
from pytorch_lightning.loggers import Logger
from pytorch_lightning.plugins.environments import SLURMEnvironment
from pytorch_lightning.strategies import DDPStrategy
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from e2eve.checks import all_of
from e2eve.config import (
    check_arguments,
    choose,
    device_of,
    instantiate,
    instantiate_all,
    listed,
    names_target,
    plain,
    read_settings,
)
from e2eve.naming import unknown_key
from e2eve.runs import RunFolder, checkpoints_in, lock_run_dir, run_metadata, run_settings
from e2eve.training.callbacks import RandomState, StopNotFinite
from e2eve.training.loggers import build_loggers, finish, is_rank_zero
from e2eve.training.resuming import AtomicCheckpointIO
from e2eve.training.settings import TrainSettings
from e2eve.training.signals import exit_code, listening, under_slurm
from e2eve.training.tasks import DecoderTask, EditorTask, EvaluationTask, Task, TokenizerTask

log = logging.getLogger(__name__)

# The longest that processes wait for each other: the first one alone encodes the edits.
PREPARATION = timedelta(hours=2)

TASKS: dict[str, type[Task]] = {
    "editor": EditorTask,
    "source_tokenizer": TokenizerTask,
    "driver_tokenizer": TokenizerTask,
    "decoder": DecoderTask,
    "evaluation": EvaluationTask,
}

PROFILERS = {
    "simple": profilers.SimpleProfiler,
    "advanced": profilers.AdvancedProfiler,
    "pytorch": profilers.PyTorchProfiler,
}

# What Lightning refuses where a module optimises by hand, and a tokenizer's does itself.
BY_HAND = ("accumulate_grad_batches", "gradient_clip_val", "gradient_clip_algorithm")

QUIET = (
    "You're resuming from a checkpoint that ended before",  # the data module knows where
    "Checkpoint directory .* exists and is not empty",
    "Found .* module.* in eval mode",  # frozen networks are meant to be
    "Using ModelCheckpoint with manual optimization",
    ".*LeafSpec",
    "The `srun` command is available",
)


def train(config: DictConfig) -> Path:
    """Train what the config describes, or resume it; the path of the report.

    That is the bundle's path where no evaluation is asked for. Where a run has several processes
    all of them come through here, and the first one keeps the run folder.

    Raises:
        ValueError: for what is wrong with the config or with what it names.
    """
    check_trainer(plain(config.trainer))
    settings, kept = read_settings(config, TrainSettings), run_settings(config)
    task_class = TASKS[settings.task]
    run = RunFolder(settings.run_dir)
    if (result := run.result_of(kept)) is not None:
        log.info("%s is done already.", run.path)
        return result
    prepare(settings)
    with lock_run_dir(run.path) if is_rank_zero() else nullcontext():
        if is_rank_zero():
            run.check_length(settings.trainer["max_steps"])
            run.open(kept, task_class.unrelated)
        log.info("Run folder: %s", run.path)
        loggers: list[Logger] = []
        with listening(), recorded(run, loggers):
            # What a user can get wrong in a moment comes before what takes minutes.
            loggers += build_loggers(settings, run)
            made = instantiate_all(settings.callbacks, "callbacks")
            callbacks = all_of(pl.Callback, made, "callbacks")
            task = task_class(settings, run)
            step, device = fit(settings, task, run, loggers, callbacks)
            result = task.finish(loggers, step, device)
        if is_rank_zero():
            run.mark("done", step=step, result=str(result.relative_to(run.path)))
    return result


def check_trainer(trainer: Mapping[str, Any]) -> None:
    """Raises ValueError for what is no argument of Lightning's Trainer, or of another type."""
    for name in ("callbacks", "logger"):
        if name in trainer:
            raise ValueError(unknown_key(f"trainer.{name}", ()))
    given = {name: v for name, v in trainer.items() if (name, v) != ("precision", "auto")}
    check_arguments(pl.Trainer, given, "trainer")


def prepare(settings: TrainSettings) -> None:
    """Seed everything and quieten what is not for people."""
    pl.seed_everything(settings.seed, workers=True, verbose=False)
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    if not is_rank_zero():  # several processes do not say the same thing
        logging.getLogger("e2eve").setLevel(logging.WARNING)
    for message in QUIET:
        warnings.filterwarnings("ignore", message)
    if settings.compute.threads:
        torch.set_num_threads(settings.compute.threads)


@contextmanager
def recorded(run: RunFolder, loggers: list[Logger]) -> Iterator[None]:
    """The status says what is under way; whatever ends it, loggers write everything out."""
    if is_rank_zero():
        run.mark("running", **run_metadata())
    try:
        yield
    except Exception as error:
        if is_rank_zero() or run.status()["state"] == "running":  # not what follows another failure
            with suppress(OSError):  # where nothing can be written any more
                run.note_failure(error)
        finish(loggers, failed=True)
        raise
    except BaseException as stop:  # a signal, a requeue, or Ctrl-C where nobody listens
        if is_rank_zero():
            if run.status()["state"] == "running":
                run.mark("interrupted", reason=_reason(stop))
            log.info("%s", resumption(run))
        finish(loggers)
        raise
    finish(loggers)


def _reason(stop: BaseException) -> str:
    """The signal's name; that of the exception where it was none."""
    numbers = {exit_code(number): number.name for number in signal.Signals}
    code = stop.code if isinstance(stop, SystemExit) else None
    return numbers.get(code, type(stop).__name__) if isinstance(code, int) else type(stop).__name__


def resumption(run: RunFolder) -> str:
    """What is kept of an interrupted run, and how it is resumed."""
    last = run.last_checkpoint
    kept = f"{last} is kept" if last else "No step was trained yet"
    return f"Interrupted. {kept}; resume with: python -m e2eve.train {shlex.join(sys.argv[1:])}"


def fit(
    settings: TrainSettings,
    task: Task,
    run: RunFolder,
    loggers: list[Logger],
    callbacks: list[pl.Callback],
) -> tuple[int, torch.device]:
    """Fit from the last checkpoint where there is one, and export the bundle.

    Returns the last step, and the device of this process.
    """
    if task.module is None:
        accelerator = settings.trainer["accelerator"]
        return 0, torch.device(device_of("cpu" if accelerator == "cpu" else "auto"))
    trainer = build_trainer(settings, task, run, loggers, callbacks)
    last = run.last_checkpoint or settings.ckpt_path
    if last is not None:
        for damaged in checkpoints_in(run.checkpoints)[::-1]:
            if damaged == last:
                break
            log.warning("%s is incomplete: the one before it is used.", damaged)
        log.info("Resuming from %s.", last)
    trainer.fit(task.module, datamodule=task.data, ckpt_path=last, weights_only=True)
    if trainer.interrupted:
        raise KeyboardInterrupt
    if trainer.is_global_zero:
        if settings.export == "best":
            load_best(trainer, task.module)
        task.export()
    trainer.strategy.barrier()  # until the bundle is there
    return trainer.global_step, trainer.strategy.root_device


def load_best(trainer: pl.Trainer, module: pl.LightningModule) -> None:
    """Fill the module with its weights at the monitored metric's best value."""
    paths = [
        callback.best_model_path
        for callback in trainer.checkpoint_callbacks
        if isinstance(callback, ModelCheckpoint) and callback.monitor and callback.best_model_path
    ]
    if not paths:
        raise ValueError(
            "export=best finds no checkpoint of a monitored metric: give callbacks=standard and "
            "let the run validate, or export=last."
        )
    module.load_state_dict(torch.load(paths[0], weights_only=True)["state_dict"])


def build_trainer(
    settings: TrainSettings,
    task: Task,
    run: RunFolder,
    loggers: list[Logger],
    callbacks: list[pl.Callback],
) -> pl.Trainer:
    """Lightning's Trainer with the arguments of the group `trainer`, and what a run adds.

    Raises:
        ValueError: for what Lightning refuses.
    """
    assert task.module is not None  # what is fitted
    values = {
        name: instantiate(value, f"trainer.{name}") if names_target(value) else value
        for name, value in settings.trainer.items()
    }
    if values["precision"] == "auto":
        values["precision"] = "bf16-mixed" if settings.on_gpu else "32-true"
    if not task.module.automatic_optimization:
        values = {name: value for name, value in values.items() if name not in BY_HAND}
    if values["strategy"] == "ddp":
        turns = settings.task != "editor"  # so that no backward pass reaches all weights
        values["strategy"] = DDPStrategy(timeout=PREPARATION, find_unused_parameters=turns)
    plugins = [*listed(values["plugins"] or [])]
    own: list[Any] = [AtomicCheckpointIO()]
    if under_slurm():
        own.append(SLURMEnvironment(auto_requeue=False))
    for plugin, kind in zip(own, (CheckpointIO, ClusterEnvironment), strict=False):
        if not any(isinstance(given, kind) for given in plugins):  # of each kind there is one
            plugins.append(plugin)
    values["plugins"] = plugins
    if isinstance(values["profiler"], str):  # what Lightning would only log
        profiler = choose(values["profiler"], PROFILERS, "trainer.profiler")
        values["profiler"] = profiler(dirpath=run.path, filename="profile")
    values["default_root_dir"] = values["default_root_dir"] or run.path
    callbacks = [*task.callbacks(), RandomState(), StopNotFinite(), *callbacks]
    if values["enable_checkpointing"] is False or values["fast_dev_run"]:
        callbacks = [one for one in callbacks if not isinstance(one, Checkpoint)]
    try:
        return pl.Trainer(**values, callbacks=callbacks, logger=loggers)
    except (MisconfigurationException, TypeError) as error:
        raise ValueError(f"trainer: {error}") from error
