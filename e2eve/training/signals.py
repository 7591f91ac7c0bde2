"""Signals that ask a training run to end: noted from the first line of the process on.

| signal | where | what is done |
|---|---|---|
| USR2: a time limit or preemption | submitit | saved; submitit puts the job back in line |
| TERM: cancelled, requeued, preempted | SLURM | saved; SLURM decides |
| TERM, and INT (Ctrl-C), HUP (a terminal closes) | elsewhere | saved; exits with 128 + its number |

While steps are trained, handlers only take a note, since nothing may be saved in the middle of one
(`resuming.Interruptions`). Before and after that there is no step to lose, and the process leaves
at once: files are written in one piece, and what is half encoded is kept. A second INT ends at once
wherever it comes. Imports nothing heavy, so that a command listens before it has loaded PyTorch.

Private names of submitit, seen in 1.5: `JobEnvironment._usr_sig`.
"""

import enum
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class SignalAction(enum.IntEnum):
    """What a signal asks for; of several, the greatest counts."""

    NOTHING = 0
    SAVE = 1
    STOP = 2
    REQUEUE = 3


class Listener:
    """The process's handlers, and what they have noted.

    Attributes:
        training: whether steps are under way, so that signals are only noted.
        number: the noted signal; 0 without one.
        before: handlers that the listener stands in for.
    """

    def __init__(self, actions: dict[int, SignalAction], first_rank: bool = True) -> None:
        self.actions, self.first_rank = actions, first_rank
        self.training, self.number = False, 0
        self.before: dict[int, Any] = {}

    @property
    def wanted(self) -> SignalAction:
        """What the noted signal asks for."""
        return self.actions.get(self.number, SignalAction.NOTHING)

    def handle(self, number: int, frame: FrameType | None) -> None:
        again = number == self.number == signal.SIGINT
        if self.actions[number] >= self.wanted:
            self.number = number
        if again:
            raise SystemExit(exit_code(number))
        if self.training:
            return
        if self.wanted == SignalAction.STOP:
            raise SystemExit(exit_code(number))
        if self.wanted == SignalAction.REQUEUE and self.first_rank:
            self.requeue()

    def requeue(self) -> None:
        """submitit's own handler puts the job back in line and exits."""
        number = next(n for n, action in self.actions.items() if action == SignalAction.REQUEUE)
        self.before[number](number, None)


_listener: Listener | None = None


def listener() -> Listener | None:
    """The one of this process, where it listens."""
    return _listener


@contextmanager
def listening() -> Iterator[None]:
    """Listen until the block ends, unless the process does already, or this is no main thread."""
    global _listener
    if _listener is not None or threading.current_thread() is not threading.main_thread():
        yield
        return
    rank = os.environ.get("SLURM_PROCID", os.environ.get("LOCAL_RANK", "0"))
    _listener = Listener(actions_of_signals(), first_rank=rank == "0")
    _listener.before = {n: signal.signal(n, _listener.handle) for n in _listener.actions}
    before = _listener.before
    try:
        yield
    finally:
        _listener = None
        for number, handler in before.items():
            signal.signal(number, handler)


def actions_of_signals() -> dict[int, SignalAction]:
    """What is listened to here."""
    actions: dict[int, SignalAction] = dict.fromkeys(ENDING, SignalAction.STOP)
    if under_slurm():
        actions[signal.SIGTERM] = SignalAction.SAVE
    if "SUBMITIT_EXECUTOR" in os.environ:
        import submitit

        actions[submitit.JobEnvironment._usr_sig()] = SignalAction.REQUEUE
    return actions


def under_slurm() -> bool:
    """Whether SLURM started this process as a task of a job, and not as somebody's shell."""
    return "SLURM_NTASKS" in os.environ and os.environ.get("SLURM_JOB_NAME") not in (
        "bash",
        "interactive",
    )


def exit_code(number: int) -> int:
    """What shells say of a process that a signal ended: 143 for TERM, 130 for INT, 129 for HUP."""
    return 128 + number


HELD_BACK = {*ENDING, signal.SIGUSR1, signal.SIGUSR2}


@contextmanager
def held_back() -> Iterator[None]:
    """Signals wait until the block ends; in processes that it starts, they wait for ever.

    SLURM, `timeout` and terminals send them to all processes of a group, of which the main one
    decides what is to be done.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def leave_with_main_process(worker: int) -> None:
    """For a `DataLoader` in `held_back`: its processes end when the main one says so."""

    def listen() -> None:
        while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
            pass
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
