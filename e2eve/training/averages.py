"""Averages of the weights (`trainer.ema_decay`) in the place of the weights themselves."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import EMAWeightAveraging


class Averages(EMAWeightAveraging):
    """What a training with averages ends with, also where nothing was left to train."""

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._copy_average_to_current(pl_module)  # Lightning: at the end of a training only


@contextmanager
def averaged(trainer: Any, module: Any) -> Iterator[None]:
    """Meanwhile the module has the averages, where the training keeps any.

    Lightning does so itself from the start to the end of a validation epoch.
    """
    kept = [callback for callback in trainer.callbacks if isinstance(callback, Averages)]
    for averages in kept:
        averages._swap_models(module)
    yield
    for averages in kept:
        averages._swap_models(module)
