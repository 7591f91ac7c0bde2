"""One bar for the whole training, with an estimate of the time left."""

import logging
import time
from typing import Any

import pytorch_lightning as pl
from rich.console import Console
from rich.progress import Progress

from e2eve.reporting.progress import labelled_bars

log = logging.getLogger(__name__)


class TrainingProgress(pl.callbacks.ProgressBar):
    """A rich bar in a terminal; elsewhere a plain line every `seconds`, for log files."""

    def __init__(self, seconds: float = 30.0) -> None:
        super().__init__()
        self.seconds = seconds
        self.bar: Progress | None = None

    def disable(self) -> None:
        self.seconds = float("inf")

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.first, self.began, self.spoke = trainer.global_step, time.monotonic(), 0.0
        console = Console(stderr=True)
        if console.is_terminal and trainer.is_global_zero:
            self.bar = labelled_bars(console)
            self.task = self.bar.add_task(
                "training", total=trainer.max_steps, completed=trainer.global_step, note=""
            )
            self.bar.start()

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *args: Any) -> None:
        super().on_train_batch_end(trainer, module, *args)
        shown = {k: v for k, v in self.get_metrics(trainer, module).items() if k != "v_num"}
        note = "  ".join(f"{k} {v:.4g}" for k, v in shown.items() if isinstance(v, float))
        if self.bar is not None:
            self.bar.update(self.task, completed=trainer.global_step, note=note)
        elif trainer.is_global_zero and time.monotonic() - self.spoke > self.seconds:
            self.spoke = time.monotonic()
            log.info("%s  %s", self._line(trainer), note)

    def _line(self, trainer: pl.Trainer) -> str:
        done = max(1, trainer.global_step - self.first)
        pace = (time.monotonic() - self.began) / done
        left = pace * (trainer.max_steps - trainer.global_step)
        return (
            f"step {trainer.global_step}/{trainer.max_steps}  {pace:.3f} s a step  "
            f"{int(left // 60)} min {int(left % 60)} s left"
        )

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._stop()

    def on_exception(self, trainer: pl.Trainer, module: Any, exception: BaseException) -> None:
        self._stop()

    def _stop(self) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None
