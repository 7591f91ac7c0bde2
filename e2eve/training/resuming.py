"""Training runs that are interrupted are saved at the very step, to be resumed exactly.

| where | signal | what follows the checkpoint |
|---|---|---|
| submitit, SLURM or local | USR2: a time limit or preemption | submitit puts the job back in line |
| SLURM | TERM: cancelled, requeued by an administrator, or preempted | SLURM decides |
| elsewhere | TERM | the process exits with 143 |

Handlers only take a note, since nothing may be saved in the middle of a step. Between two steps the
processes of a run agree on what was noted, since signals reach them at different steps, and act
together.

Private names of Lightning, seen in 2.6: `_should_skip_saving_checkpoint`, `_monitor_candidates`,
`_save_topk_checkpoint` and `_save_last_checkpoint` of ModelCheckpoint. Of submitit, seen in 1.5:
`JobEnvironment._usr_sig`.
"""

import enum
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.plugins.environments import SLURMEnvironment
from torch import distributed

from e2eve.runs import RunFolder
from e2eve.training.loggers import finish

log = logging.getLogger(__name__)

# Exit code of a process that SIGTERM ended.
TERMINATED = 128 + signal.SIGTERM


class SignalAction(enum.IntEnum):
    """What a signal asks for; of several, the greatest counts."""

    NOTHING = 0
    SAVE = 1
    STOP = 2
    REQUEUE = 3


class Checkpoints(ModelCheckpoint):
    """The last state of a run: every so many steps, at the last one, and whenever it is asked for.

    Args:
        folder: of the checkpoints.
        every_n_steps: optimiser steps between two of them.
    """

    def __init__(self, folder: str, every_n_steps: int) -> None:
        super().__init__(
            dirpath=folder,
            filename="step_{step:06d}",
            auto_insert_metric_name=False,
            every_n_train_steps=every_n_steps,
            save_last="link",  # to the newest, so that nothing is stored twice
            save_top_k=1,
            save_on_train_epoch_end=False,
        )

    def save(self, trainer: pl.Trainer) -> None:
        """Save now, unless this step has been saved; all processes at the same step."""
        if not self._should_skip_saving_checkpoint(trainer):
            candidates = self._monitor_candidates(trainer)
            self._save_topk_checkpoint(trainer, candidates)
            self._save_last_checkpoint(trainer, candidates)

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        """The last step too: what is interrupted afterwards need not repeat any of the training."""
        super().on_train_batch_end(trainer, *args)
        if trainer.global_step >= trainer.max_steps > 0:
            self.save(trainer)


class Interruptions(pl.Callback):
    """Listens while a run trains.

    Args:
        run_dir: folder whose status says why the run ends before it is done.
        wait: seconds that the other processes of a requeued job give SLURM to end them.
    """

    def __init__(self, run_dir: str, wait: float = 120.0) -> None:
        self.run, self.wait = RunFolder(run_dir), wait
        self.wanted = SignalAction.NOTHING
        self.actions = actions_of_signals()
        self.before: dict[int, Any] = {}
        self.group: Any = None  # of all processes of a run that has several
        self.step = 0

    def on_train_start(self, trainer: pl.Trainer, module: Any) -> None:
        """Lightning has installed its own handlers by now, which these replace."""
        self.step = trainer.global_step
        if trainer.world_size > 1:  # on the CPU: agreeing does not wait for the GPU
            self.group = distributed.new_group(backend="gloo")
        if threading.current_thread() is threading.main_thread():
            self.before = {one: signal.signal(one, self._note) for one in self.actions}

    def on_train_end(self, trainer: pl.Trainer, module: Any) -> None:
        for one, handler in self.before.items():
            signal.signal(one, handler)
        self.before = {}

    def on_exception(self, trainer: pl.Trainer, module: Any, exception: BaseException) -> None:
        """Who leaves is not told again: Lightning's handler talks to processes that are gone."""
        if self.before and isinstance(exception, SystemExit):
            self.before[signal.SIGTERM] = signal.SIG_IGN
        self.on_train_end(trainer, module)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.wanted = max(self.wanted, self.actions[number])

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *args: Any) -> None:
        if trainer.global_step == self.step:
            return  # gradients that still accumulate would be lost
        self.step = trainer.global_step
        wanted, self.wanted = self._agreed(), SignalAction.NOTHING
        if wanted == SignalAction.NOTHING:
            return
        for callback in trainer.checkpoint_callbacks:
            if isinstance(callback, Checkpoints):
                callback.save(trainer)
        log.info("Saved at step %d, as a signal asked for.", trainer.global_step)
        if trainer.is_global_zero:
            finish(trainer.loggers)
        if wanted == SignalAction.SAVE:
            return
        if trainer.is_global_zero:
            requeued = wanted == SignalAction.REQUEUE
            self.run.mark("interrupted", reason="requeued" if requeued else "SIGTERM")
        if wanted == SignalAction.REQUEUE:
            self._requeue(trainer)
        trainer.strategy.barrier()  # nobody leaves while the first process still writes
        raise SystemExit(TERMINATED)

    def _agreed(self) -> SignalAction:
        """The greatest action that a process was asked for."""
        if self.group is None:
            return self.wanted
        action = torch.tensor(int(self.wanted))
        distributed.all_reduce(action, op=distributed.ReduceOp.MAX, group=self.group)
        return SignalAction(int(action))

    def _requeue(self, trainer: pl.Trainer) -> None:
        """submitit's own handler puts the job back in line and exits, in the first process."""
        number = next(n for n, action in self.actions.items() if action == SignalAction.REQUEUE)
        if trainer.is_global_zero:
            self.before[number](number, None)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the others end with the job step
        time.sleep(self.wait)
        raise SystemExit(TERMINATED)


def actions_of_signals() -> dict[int, SignalAction]:
    """What is listened to here."""
    stop = SignalAction.SAVE if under_slurm() else SignalAction.STOP
    actions: dict[int, SignalAction] = {signal.SIGTERM: stop}
    if "SUBMITIT_EXECUTOR" in os.environ:
        import submitit

        actions[submitit.JobEnvironment._usr_sig()] = SignalAction.REQUEUE
    return actions


def under_slurm() -> bool:
    """Whether SLURM started this process as a task of a job."""
    return SLURMEnvironment.detect()


@contextmanager
def termination_exits() -> Iterator[None]:
    """Outside SLURM, SIGTERM ends whatever is under way as an exit that can be tidied up after."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(TERMINATED)

    if under_slurm() or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
