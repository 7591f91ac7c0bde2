"""Work that visitors wait for: one piece at a time, in the order of asking, within limits."""

import logging
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from e2eve.app_page.site import RequestError

log = logging.getLogger(__name__)

# Seconds after which nobody looks any more: a browser asks once a minute for a page in the back.
PATIENCE = 150.0

Progress = Callable[[int], None]
Work = Callable[[Progress], Any]


class StoppedError(Exception):
    """Ends a piece of work; the text says why."""


@dataclass(eq=False)
class Job:
    """One piece of work; `state` is waiting, running, done, failed or stopped."""

    work: Work | None
    state: str = "waiting"
    done: int = 0
    message: str = ""
    result: Any = None
    began: float = 0.0
    looked_at: float = field(default_factory=time.monotonic)


class WorkQueue:
    """Jobs by names that cannot be guessed; each is forgotten when nobody looks at it any more.

    Args:
        max_waiting: jobs that may wait at once.
        max_seconds: how long a job may run. Longer ones end when they next tell their progress.
        patience: seconds until a job that nobody looks at is dropped.
    """

    def __init__(self, max_waiting: int, max_seconds: float, patience: float = PATIENCE) -> None:
        self.max_waiting, self.max_seconds, self.patience = max_waiting, max_seconds, patience
        self._jobs: dict[str, Job] = {}  # in the order of asking
        self._changed = threading.Condition()
        threading.Thread(target=self._work, daemon=True).start()

    def __len__(self) -> int:
        """Jobs that wait or run."""
        with self._changed:
            return sum(job.state in ("waiting", "running") for job in self._jobs.values())

    def add(self, work: Work) -> str:
        """The name of a new job.

        Raises:
            RequestError: when too many wait.
        """
        with self._changed:
            waiting = sum(job.state == "waiting" for job in self._jobs.values())
            if waiting >= self.max_waiting:
                raise RequestError(
                    HTTPStatus.SERVICE_UNAVAILABLE,
                    f"The queue is full, {waiting} edits are waiting: try again in a minute.",
                )
            name = secrets.token_urlsafe(24)
            self._jobs[name] = Job(work)
            self._changed.notify_all()
            return name

    def look(self, name: str) -> tuple[Job, int]:
        """A job, and how many are to end before it begins.

        Raises:
            RequestError: when there is none of that name any more.
        """
        with self._changed:
            job = self._jobs.get(name)
            if job is None:
                raise RequestError(
                    HTTPStatus.NOT_FOUND, "This edit is no longer kept: ask for it again."
                )
            job.looked_at = time.monotonic()
            before = list(self._jobs.values())
            before = before[: before.index(job)]
            return job, sum(other.state in ("waiting", "running") for other in before)

    def drop(self, name: str) -> None:
        """Ends a job where it is not done, and forgets it."""
        with self._changed:
            job = self._jobs.pop(name, None)
            if job is not None and job.state in ("waiting", "running"):
                job.state = "stopped"

    def _work(self) -> None:
        while True:
            with self._changed:
                now = time.monotonic()
                for name, one in list(self._jobs.items()):
                    if one.state != "running" and now - one.looked_at > self.patience:
                        del self._jobs[name]
                waiting = (one for one in self._jobs.values() if one.state == "waiting")
                job = next(waiting, None)
                if job is None:
                    self._changed.wait(timeout=1)
                    continue
                job.state, job.began = "running", now
            work, job.work = job.work, None  # what was sent is not kept longer than needed
            assert work is not None  # each runs once
            self._run(job, work)

    def _run(self, job: Job, work: Work) -> None:

        def progress(done: int) -> None:
            job.done = done
            now = time.monotonic()
            if job.state == "stopped" or now - job.looked_at > self.patience:
                raise StoppedError("Stopped.")
            if now - job.began > self.max_seconds:
                raise StoppedError(
                    f"The edit took longer than the limit of {self.max_seconds:.0f} s and was "
                    "stopped: ask for fewer samples."
                )

        try:
            progress(0)
            job.result = work(progress)
            state = "done"
        except (ValueError, StoppedError) as error:
            state, job.message = "failed", str(error)
        except Exception as error:  # a device out of memory, say: the next edit may fit
            log.exception("An edit failed.")
            state = "failed"
            job.message = f"The edit failed ({type(error).__name__}); the server's log says why."
        with self._changed:
            job.state = state
