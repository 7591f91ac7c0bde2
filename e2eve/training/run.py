"""One training from start to report, resumable at any point."""

import logging
import os
import warnings
from pathlib import Path

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig

from e2eve.config import choose
from e2eve.training.run_folder import RunFolder
from e2eve.training.tasks import EditorTask, TokenizerTask
from e2eve.training.trainer import build_trainer

log = logging.getLogger(__name__)

TASKS = {
    "editor": EditorTask,
    "source_tokenizer": TokenizerTask,
    "driver_tokenizer": TokenizerTask,
}


def train(config: DictConfig) -> Path:
    """Train what the config describes, or go on with it; the path of the report.

    That is the bundle's path where no evaluation is asked for.
    """
    task_class = choose(config.task, TASKS, "task")
    if config.trainer.batch_limit:
        config.batch_size = min(config.batch_size, config.trainer.batch_limit)
    run = RunFolder(config.run_dir)
    if (result := run.result_of(config)) is not None:
        log.info("%s is done already.", run.path)
        return result
    run.open(config, task_class.unrelated)
    log.info("Run folder: %s", run.path)
    prepare(config)
    run.mark("running")
    try:
        task = task_class(config, run)
        fit(config, task, run)
        result = task.finish()
    except BaseException as error:
        run.mark("failed", error=f"{type(error).__name__}: {error}")
        raise
    run.mark("done", step=config.trainer.max_steps, result=str(result.relative_to(run.path)))
    return result


def prepare(config: DictConfig) -> None:
    """Seed everything and quieten what is not for people."""
    pl.seed_everything(config.seed, workers=True, verbose=False)
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    os.environ.setdefault("WANDB_SILENT", "true")
    # The data module goes on in mid-epoch by itself, and frozen networks are meant to be.
    warnings.filterwarnings("ignore", "You're resuming from a checkpoint that ended before")
    warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")
    warnings.filterwarnings("ignore", "Found .* module.* in eval mode")
    warnings.filterwarnings("ignore", ".*LeafSpec")
    if config.trainer.threads:
        torch.set_num_threads(config.trainer.threads)


def fit(config: DictConfig, task: EditorTask | TokenizerTask, run: RunFolder) -> None:
    """Fit from the last checkpoint where there is one, and export the bundle."""
    trainer = build_trainer(config, run, task.callbacks())
    last = run.last_checkpoint if run.last_checkpoint.exists() else None
    if last is not None:
        log.info("Going on from %s.", last)
    trainer.fit(task.module, datamodule=task.data, ckpt_path=last, weights_only=True)
    if trainer.interrupted:
        raise KeyboardInterrupt
    task.export()
