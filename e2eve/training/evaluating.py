"""Evaluation of a run as it goes on."""

from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig

from e2eve.config import instantiate, plain
from e2eve.data.pictures import Pictures
from e2eve.evaluation.evaluator import Evaluator
from e2eve.evaluation.settings import EvaluationSettings
from e2eve.runs import RunFolder
from e2eve.training.averages import averaged
from e2eve.training.building import build_simulation
from e2eve.training.pictures import keep_picture
from e2eve.transformer import SamplingSettings

CAPTION = (
    "step {step}: source with its region, driver, paste, then samples, best first; the numbers are "
    "distances of the region to the driver in feature space"
)


def build_evaluator(config: DictConfig, images: Pictures, run: RunFolder) -> Evaluator:
    """The evaluator of a training run's configuration."""
    names = ("temperature", "top_k", "top_p", "guidance")
    settings = plain(config.evaluation)
    sampling = SamplingSettings(*(settings.pop(name) for name in names))
    return Evaluator(
        EvaluationSettings(**settings),
        sampling,
        images,
        build_simulation(config),
        run.path,
        config.name,
        list(instantiate(config.metrics).values()),
    )


class PeriodicEvaluation(pl.Callback):
    """Evaluates at the end of every nth epoch: curves in the logs, grids in samples/."""

    def __init__(self, evaluator: Evaluator, every_n_epochs: int, run: RunFolder) -> None:
        self.evaluator, self.every_n_epochs, self.run = evaluator, every_n_epochs, run

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        if (trainer.current_epoch + 1) % self.every_n_epochs:
            return
        with torch.random.fork_rng(), averaged(trainer, module):
            found = self.evaluator(module.editor)
        if found is None:
            return
        metrics = {f"evaluation/{name}": value for name, value in found.flat().items()}
        for logger in trainer.loggers:
            logger.log_metrics(metrics, step=trainer.global_step)
        keep_picture(trainer, self.run, found.picture(), CAPTION)
