"""Training runs that are interrupted are saved at the very step, to be resumed exactly.

Handlers of signals only take a note (`signals`), since nothing may be saved in the middle of a
step. Between two steps the processes of a run agree on what was noted, since signals reach them at
different steps, and act together.

A step after which there is a validation is over when that is: Lightning does not validate again
when it resumes. What a step logs is written after its checkpoint, and therefore in that too.

Private names of Lightning, seen in 2.6: `_should_check_val_fx`, `_data_fetcher`,
`_batches_that_stepped` and `_logger_connector`, with `should_update_logs` and `metrics`.
"""

import logging
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins import TorchCheckpointIO
from pytorch_lightning.callbacks import Checkpoint
from torch import distributed

from e2eve.limits import NonNegativeFloat, Positive, Text
from e2eve.runs import RunFolder, checkpoints_in
from e2eve.training.loggers import finish
from e2eve.training.signals import Listener, SignalAction, exit_code, listener

log = logging.getLogger(__name__)


class AtomicCheckpointIO(TorchCheckpointIO):
    """A checkpoint is complete or not there, whenever the process or the machine ends."""

    def save_checkpoint(
        self, checkpoint: Mapping[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")  # on the same file system
        with partial.open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)


class Between(Checkpoint):
    """Acts between two optimiser steps: after all that belongs to the first.

    A `Checkpoint`, since Lightning calls those last.
    """

    step = 0

    def on_train_start(self, trainer: pl.Trainer, module: Any) -> None:
        self.step = trainer.global_step

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *args: Any) -> None:
        loop = trainer.fit_loop
        assert loop._data_fetcher is not None  # batches come from it
        if not loop.epoch_loop._should_check_val_fx(loop._data_fetcher):
            self._between(trainer)

    def on_validation_end(self, trainer: pl.Trainer, module: Any) -> None:
        if not trainer.sanity_checking:
            self._between(trainer)

    def _between(self, trainer: pl.Trainer) -> None:
        if trainer.global_step != self.step:  # else gradients that still accumulate would be lost
            self.step = trainer.global_step
            self.after_step(trainer)

    def after_step(self, trainer: pl.Trainer) -> None:
        """Called once for each optimiser step, in all processes."""


class Checkpoints(Between):
    """The last states of a run: every so many steps, at the last one, and whenever it is asked for.

    The last two are kept, so that one remains whatever happens to the other.

    Args:
        folder: of the checkpoints.
        every_n_steps: optimiser steps between two of them.
    """

    KEPT = 2

    def __init__(self, folder: Text, every_n_steps: Positive) -> None:
        self.folder, self.every_n_steps = Path(folder), every_n_steps
        self.saved = 0  # the step that is saved
        self.row: dict[str, Any] | None = None

    def after_step(self, trainer: pl.Trainer) -> None:
        # At the last one: what is interrupted afterwards need not repeat any of the training.
        if self.step % self.every_n_steps == 0 or self.step >= trainer.max_steps > 0:
            self.save(trainer)

    def save(self, trainer: pl.Trainer) -> None:
        """Save now, unless this step has been saved; all processes at the same step."""
        if trainer.global_step == self.saved:
            return
        self.saved = trainer.global_step
        trainer.save_checkpoint(self.folder / f"step_{self.saved:06d}.ckpt")
        if trainer.is_global_zero:
            torn = self.folder.glob(".step_*.partial")  # of processes that were killed
            for old in (*torn, *checkpoints_in(self.folder)[: -self.KEPT]):
                old.unlink(missing_ok=True)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, module: Any, checkpoint: dict[str, Any]
    ) -> None:
        connector = trainer._logger_connector
        if not trainer.validating and connector.should_update_logs:
            values = {name: float(value) for name, value in connector.metrics["log"].items()}
            checkpoint["row"] = {
                "step": trainer.fit_loop.epoch_loop._batches_that_stepped,
                "values": values,
            }

    def on_load_checkpoint(
        self, trainer: pl.Trainer, module: Any, checkpoint: dict[str, Any]
    ) -> None:
        self.row = checkpoint.get("row")

    def on_train_start(self, trainer: pl.Trainer, module: Any) -> None:
        super().on_train_start(trainer, module)
        self.saved = self.step
        if self.row is not None:
            for logger in trainer.loggers:
                logger.log_metrics(self.row["values"], step=self.row["step"])
                logger.save()


class Interruptions(Between):
    """Acts on the signals that were noted.

    Args:
        run_dir: folder whose status says why the run ends before it is done.
        wait: seconds that the other processes of a requeued job give SLURM to end them.
    """

    def __init__(self, run_dir: Text, wait: NonNegativeFloat = 120.0) -> None:
        self.run, self.wait = RunFolder(run_dir), wait
        self.listener: Listener | None = None
        self.group: Any = None  # of all processes of a run that has several

    def on_train_start(self, trainer: pl.Trainer, module: Any) -> None:
        super().on_train_start(trainer, module)
        if trainer.world_size > 1:  # on the CPU: agreeing does not wait for the GPU
            self.group = distributed.new_group(backend="gloo")
        self.listener = listener()
        if self.listener is not None:
            self.listener.training = True
            if signal.SIGTERM in self.listener.actions:  # Lightning has put its own before it
                signal.signal(signal.SIGTERM, self.listener.handle)

    def on_train_end(self, trainer: pl.Trainer, module: Any) -> None:
        self.after_step(trainer)  # what came after the last one, while an epoch was evaluated
        self._stop_noting()

    def on_exception(self, trainer: pl.Trainer, module: Any, exception: BaseException) -> None:
        """Who leaves is not told again: Lightning still tidies up."""
        if not isinstance(exception, SystemExit):
            self._stop_noting()

    def _stop_noting(self) -> None:
        if self.listener is not None:
            self.listener.training = False

    def after_step(self, trainer: pl.Trainer) -> None:
        wanted = self._agreed()
        if wanted == SignalAction.NOTHING:
            return
        for callback in trainer.checkpoint_callbacks:
            if isinstance(callback, Checkpoints):
                callback.save(trainer)
        log.info("Saved at step %d, as a signal asked for.", trainer.global_step)
        if trainer.is_global_zero:
            finish(trainer.loggers)
        if wanted == SignalAction.SAVE:
            if self.listener:
                self.listener.number = 0
            return
        number = (self.listener and self.listener.number) or signal.SIGTERM
        if trainer.is_global_zero:
            requeued = wanted == SignalAction.REQUEUE
            self.run.mark(
                "interrupted", reason="requeued" if requeued else signal.Signals(number).name
            )
        if wanted == SignalAction.REQUEUE:
            self._requeue(trainer)
        trainer.strategy.barrier()  # nobody leaves while the first process still writes
        raise SystemExit(exit_code(number))

    def _agreed(self) -> SignalAction:
        """The greatest action that a process was asked for."""
        own = self.listener.wanted if self.listener else SignalAction.NOTHING
        if self.group is None:
            return own
        action = torch.tensor(int(own))
        distributed.all_reduce(action, op=distributed.ReduceOp.MAX, group=self.group)
        return SignalAction(int(action))

    def _requeue(self, trainer: pl.Trainer) -> None:
        """The first process puts the job back in line; the others end with the job step."""
        if trainer.is_global_zero:
            assert self.listener is not None
            self.listener.requeue()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        time.sleep(self.wait)
        raise SystemExit(exit_code(signal.SIGTERM))
