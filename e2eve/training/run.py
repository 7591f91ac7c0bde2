"""One training from start to report, resumable at any point."""

import logging
import os
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
    """Train what the config describes, or go on with it; the path of the report."""
    task_class = choose(config.task, TASKS, "task")
    run = RunFolder(config.run_dir).open(config)
    log.info("Run folder: %s", run.path)
    prepare(config)
    run.mark("running")
    try:
        task = task_class(config, run)
        fit(config, task, run)
        report = task.finish()
    except BaseException as error:
        run.mark("failed", error=f"{type(error).__name__}: {error}")
        raise
    run.mark("done", step=config.trainer.max_steps)
    return report


def prepare(config: DictConfig) -> None:
    """Seed everything and quieten what is not for people."""
    pl.seed_everything(config.seed, workers=True, verbose=False)
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    os.environ.setdefault("WANDB_SILENT", "true")
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
