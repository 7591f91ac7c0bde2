"""Signals end a training gracefully: saved at the very step, to go on there later.

| where | signal | what follows the checkpoint |
|---|---|---|
| submitit, SLURM or local | USR2: a time limit or preemption | submitit puts the job back in line |
| SLURM | TERM: cancelled, requeued by an administrator, or preempted | SLURM decides; goes on |
| elsewhere | TERM | the process exits with 143 |

Handlers only take a note. Between two training batches the processes of a training agree on what
was noted, since signals reach them at different steps, and act together.
"""

import enum
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.plugins.environments import SLURMEnvironment
from torch import distributed

from e2eve.training.loggers import finish

log = logging.getLogger(__name__)

TERMINATED = 128 + signal.SIGTERM
"""Exit code of a process that SIGTERM ended."""


class Wanted(enum.IntEnum):
    """What signals ask for; of several, the greatest."""

    NOTHING = 0
    SAVE = 1
    STOP = 2
    REQUEUE = 3


class Checkpoints(ModelCheckpoint):
    """Lightning's checkpoints, and one whenever it is asked for."""

    def save(self, trainer: pl.Trainer) -> None:
        """Now, unless this step has been saved; collective, all processes at the same step."""
        if not self._should_skip_saving_checkpoint(trainer):
            candidates = self._monitor_candidates(trainer)
            self._save_topk_checkpoint(trainer, candidates)
            self._save_last_checkpoint(trainer, candidates)

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        """The last step too: what is interrupted afterwards need not repeat any of the training."""
        super().on_train_batch_end(trainer, *args)
        if trainer.global_step >= trainer.max_steps:
            self.save(trainer)


class Interruptions(pl.Callback):
    """Listens while a training runs.

    Args:
        checkpoints: save the training.
        note: told why the run ends before it is done.
        wait: seconds that the other processes of a requeued job give SLURM to end them.
    """

    def __init__(
        self, checkpoints: Checkpoints, note: Callable[[str], None], wait: float = 120.0
    ) -> None:
        self.checkpoints, self.note, self.wait = checkpoints, note, wait
        self.wanted = Wanted.NOTHING
        self.meaning = meaning_of_signals()
        self.before: dict[int, Any] = {}
        self.group: Any = None  # of all processes of a training that has several

    def on_train_start(self, trainer: pl.Trainer, module: Any) -> None:
        """Lightning has installed its own handlers by now, which these replace."""
        if trainer.world_size > 1:  # on the CPU: agreeing does not wait for the GPU
            self.group = distributed.new_group(backend="gloo")
        if threading.current_thread() is threading.main_thread():
            self.before = {one: signal.signal(one, self._note) for one in self.meaning}

    def on_train_end(self, trainer: pl.Trainer, module: Any) -> None:
        self._restore()

    def on_exception(self, trainer: pl.Trainer, module: Any, exception: BaseException) -> None:
        """Who leaves is not told again: Lightning's handler talks to processes that are gone."""
        if self.before and isinstance(exception, SystemExit):
            self.before[signal.SIGTERM] = signal.SIG_IGN
        self._restore()

    def _restore(self) -> None:
        for one, handler in self.before.items():
            signal.signal(one, handler)
        self.before = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.wanted = max(self.wanted, self.meaning[number])

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *args: Any) -> None:
        wanted, self.wanted = self._agreed(), Wanted.NOTHING
        if wanted == Wanted.NOTHING:
            return
        self.checkpoints.save(trainer)
        log.info("Saved at step %d, as a signal asked for.", trainer.global_step)
        if trainer.is_global_zero:
            finish(trainer.loggers)
        if wanted == Wanted.SAVE:
            return
        if trainer.is_global_zero:
            self.note("requeued" if wanted == Wanted.REQUEUE else "SIGTERM")
        if wanted == Wanted.STOP:
            trainer.strategy.barrier()  # nobody leaves while the first process still writes
            raise SystemExit(TERMINATED)
        self._requeue(trainer)

    def _agreed(self) -> Wanted:
        """The greatest wish of all processes."""
        if self.group is None:
            return self.wanted
        wish = torch.tensor(int(self.wanted))
        distributed.all_reduce(wish, op=distributed.ReduceOp.MAX, group=self.group)
        return Wanted(int(wish))

    def _requeue(self, trainer: pl.Trainer) -> None:
        """submitit's own handler puts the job back in line and exits, in the first process."""
        number = next(one for one, wish in self.meaning.items() if wish == Wanted.REQUEUE)
        if trainer.is_global_zero:
            self.before[number](number, None)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the others end with the job step
        time.sleep(self.wait)
        raise SystemExit(TERMINATED)


def meaning_of_signals() -> dict[int, Wanted]:
    """What is listened to here."""
    meaning: dict[int, Wanted] = {signal.SIGTERM: Wanted.SAVE if under_slurm() else Wanted.STOP}
    if "SUBMITIT_EXECUTOR" in os.environ:
        import submitit

        meaning[submitit.JobEnvironment._usr_sig()] = Wanted.REQUEUE
    return meaning


def under_slurm() -> bool:
    """Whether SLURM started this process as a task of a job."""
    return SLURMEnvironment.detect()


@contextmanager
def termination_exits() -> Iterator[None]:
    """Outside SLURM, SIGTERM ends whatever is going on as an exit that can be tidied up after."""

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
