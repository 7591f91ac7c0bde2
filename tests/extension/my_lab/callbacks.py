"""A callback: any of Lightning's."""

import logging

import pytorch_lightning as pl

log = logging.getLogger(__name__)


class Greeting(pl.Callback):
    def __init__(self, words: str = "Hello from my lab.") -> None:
        self.words = words

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        log.info("%s", self.words)
