"""One training from start to report, resumable at any point."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import Logger

from e2eve.config import choose, device_of
from e2eve.runs import RunFolder, lock_run_dir, run_metadata, run_settings
from e2eve.training.interruptions import termination_exits
from e2eve.training.loggers import build_loggers, finish
from e2eve.training.ranks import leads
from e2eve.training.tasks import EditorTask, EvaluationTask, Task, TokenizerTask
from e2eve.training.trainer import build_trainer

log = logging.getLogger(__name__)

TASKS: dict[str, type[Task]] = {
    "editor": EditorTask,
    "source_tokenizer": TokenizerTask,
    "driver_tokenizer": TokenizerTask,
    "evaluation": EvaluationTask,
}


def train(config: DictConfig) -> Path:
    """Train what the config describes, or go on with it; the path of the report.

    That is the bundle's path where no evaluation is asked for. Where a training has several
    processes all of them come through here, and the first one keeps the run folder.
    """
    task_class = choose(config.task, TASKS, "task")
    study, settings = config.get("study"), run_settings(config)
    config = OmegaConf.create(settings)
    if config.trainer.batch_limit:
        config.batch_size = min(config.batch_size, config.trainer.batch_limit)
    run = RunFolder(config.run_dir)
    if (result := run.result_of(settings)) is not None:
        log.info("%s is done already.", run.path)
        return result
    prepare(config)
    with lock_run_dir(run.path) if leads() else nullcontext():
        if leads():
            run.check_length(config.trainer.max_steps)
            run.open(settings, task_class.unrelated)
        log.info("Run folder: %s", run.path)
        loggers: list[Logger] = []
        with termination_exits(), recorded(run, loggers):
            loggers += build_loggers(config, run, study)
            task = task_class(config, run)
            device = fit(config, task, run, loggers)
            result = task.finish(loggers, device)
        if leads():
            done = str(result.relative_to(run.path))
            run.mark("done", step=config.trainer.max_steps, result=done)
    return result


def prepare(config: DictConfig) -> None:
    """Seed everything and quieten what is not for people."""
    pl.seed_everything(config.seed, workers=True, verbose=False)
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    if not leads():  # several processes do not say the same thing
        logging.getLogger("e2eve").setLevel(logging.WARNING)
    # The data module goes on in mid-epoch by itself, and frozen networks are meant to be.
    warnings.filterwarnings("ignore", "You're resuming from a checkpoint that ended before")
    warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")
    warnings.filterwarnings("ignore", "Found .* module.* in eval mode")
    warnings.filterwarnings("ignore", ".*LeafSpec")
    warnings.filterwarnings("ignore", "The `srun` command is available")
    if config.trainer.threads:
        torch.set_num_threads(config.trainer.threads)


@contextmanager
def recorded(run: RunFolder, loggers: list[Logger]) -> Iterator[None]:
    """The status says what goes on; whatever ends it, loggers write everything out."""
    if leads():
        run.mark("running", **run_metadata())
    try:
        yield
    except Exception as error:
        if leads() or run.status()["state"] == "running":  # not what follows another failure
            run.note_failure(error)
        finish(loggers, failed=True)
        raise
    except BaseException as stop:  # Ctrl-C, a signal, a requeue
        if leads() and run.status()["state"] == "running":
            run.mark("interrupted", reason=type(stop).__name__)
        finish(loggers)
        raise
    finish(loggers)


def fit(config: DictConfig, task: Task, run: RunFolder, loggers: list[Logger]) -> torch.device:
    """Fit from the last checkpoint where there is one, and export the bundle.

    Returns the device of this process.
    """
    if task.module is None:
        return torch.device("cpu" if config.trainer.accelerator == "cpu" else device_of("auto"))
    trainer = build_trainer(config, run, task.callbacks(), loggers)
    last = run.last_checkpoint
    if last is not None:
        log.info("Going on from %s.", last.resolve())
    trainer.fit(task.module, datamodule=task.data, ckpt_path=last, weights_only=True)
    if trainer.interrupted:
        raise KeyboardInterrupt
    if trainer.is_global_zero:
        task.export()
    trainer.strategy.barrier()  # until the bundle is there
    return trainer.strategy.root_device
