"""One training run from start to report, resumable at any point."""

import filecmp
import logging
import shlex
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from pytorch_lightning.callbacks import Checkpoint, ModelCheckpoint, ProgressBar
from pytorch_lightning.loggers import Logger

from e2eve.bundle import locate
from e2eve.checks import all_of
from e2eve.config import device_of, instantiate_all, plain, read_settings
from e2eve.naming import unknown_choice
from e2eve.runs import RunFolder, checkpoints_in, lock_run_dir, run_metadata, run_settings
from e2eve.training.callbacks import RandomState, StopNotFinite
from e2eve.training.loggers import build_loggers, finish, is_rank_zero
from e2eve.training.settings import TrainSettings
from e2eve.training.signals import exit_code, listening
from e2eve.training.tasks import DecoderTask, EditorTask, EvaluationTask, Task, TokenizerTask
from e2eve.training.trainer import build_trainer, check_trainer

log = logging.getLogger(__name__)

TASKS: dict[str, type[Task]] = {
    "editor": EditorTask,
    "source_tokenizer": TokenizerTask,
    "driver_tokenizer": TokenizerTask,
    "decoder": DecoderTask,
    "evaluation": EvaluationTask,
}

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
    trainer = check_trainer(plain(config.trainer))
    settings = replace(read_settings(config, TrainSettings), trainer=trainer)
    kept = run_settings(config)
    task_class = TASKS[settings.task]
    run = RunFolder(settings.run_dir)
    if (result := run.result_of(kept)) is not None:
        log.info("%s is done already.", run.path)
        for where in changed_tokenizers(settings, run):
            log.warning(
                "%s has been trained further since: give this run another name=… or remove %s to "
                "train with it.",
                where,
                run.path,
            )
        return result
    start = settings.ckpt_path  # may lie on another host
    if start and "://" not in start and not (run.last_checkpoint or Path(start).is_file()):
        raise ValueError(
            f"ckpt_path is {start}, and there is no such file: give a checkpoint, such as "
            "runs/<name>/checkpoints/step_001000.ckpt."
        )
    prepare(settings)
    # What a user can get wrong in a moment comes before what takes minutes.
    build_trainer(settings, run.path)
    callbacks = build_callbacks(settings, task_class)
    with lock_run_dir(run.path) if is_rank_zero() else nullcontext():
        if is_rank_zero():
            run.check_length(settings.trainer["max_steps"])
            run.open(kept, task_class.unrelated)
        log.info("Run folder: %s", run.path)
        loggers: list[Logger] = []
        with listening(), recorded(run, loggers):
            loggers += build_loggers(settings, run)
            task = task_class(settings, run)
            log.info("Images: %d for training, %d for validation.", *map(len, settings.images))
            step, device = fit(settings, task, run, loggers, callbacks)
            result = task.finish(loggers, step, device)
        if is_rank_zero():
            run.mark("done", step=step, result=str(result.relative_to(run.path)))
    return result


def changed_tokenizers(settings: TrainSettings, run: RunFolder) -> Iterator[str]:
    """Where the tokenizers lie whose weights are no longer those of an editor's bundle."""
    for role in ("source", "driver") if settings.init_from is None else ():
        where = getattr(settings.tokenizer, role)
        own = run.bundle / f"{role}_tokenizer.safetensors"
        if where in (None, "untrained") or not own.exists():
            continue
        with suppress(ValueError):  # it is gone
            now = locate(where) / "tokenizer.safetensors"
            if now.exists() and not filecmp.cmp(own, now, shallow=False):
                yield where


def build_callbacks(settings: TrainSettings, task: type[Task]) -> list[pl.Callback]:
    """All of the group `callbacks`.

    Raises:
        ValueError: when one cannot be built, is none, or monitors what nobody logs.
    """
    made = {name: node for name, node in settings.callbacks.items() if node}
    callbacks = all_of(pl.Callback, instantiate_all(made, "callbacks"), "callbacks")
    if all(type(one).__module__.startswith("e2eve.") for one in callbacks):  # others may log more
        for name, one in zip(made, callbacks, strict=True):
            monitor = getattr(one, "monitor", None)
            if monitor is not None and monitor not in task.monitored:
                key = f"callbacks.{name}.monitor"
                raise ValueError(unknown_choice(monitor, task.monitored, key))
    return callbacks


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
    callbacks = [*task.callbacks(), RandomState(), StopNotFinite(), *callbacks]
    if settings.trainer["enable_progress_bar"] is False:
        callbacks = [one for one in callbacks if not isinstance(one, ProgressBar)]
    if settings.trainer["enable_checkpointing"] is False or settings.trainer["fast_dev_run"]:
        callbacks = [one for one in callbacks if not isinstance(one, Checkpoint)]
    trainer = build_trainer(settings, run.path, loggers, callbacks, task.module)
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
