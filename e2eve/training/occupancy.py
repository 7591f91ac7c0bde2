"""One training at a time in a run folder."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

log = logging.getLogger(__name__)

SECONDS_TO_LET_GO = 120.0
"""A network file system may take so long to notice that the node of a requeued job is gone."""


@contextmanager
def occupied(folder: Path) -> Iterator[None]:
    """Keep the folder for this process; it becomes free when the process ends, however it does.

    Raises:
        ValueError: when another process trains there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    requeued = "SLURM_RESTART_COUNT" in os.environ
    lock = FileLock(folder / ".lock", timeout=SECONDS_TO_LET_GO if requeued else 0)
    try:
        lock.acquire()
    except Timeout:
        raise ValueError(
            f"Another process is training in {folder}: wait for it, end it, or give another name=…"
        ) from None
    except NotImplementedError:
        log.warning("%s lies where files cannot be locked: start only one training there.", folder)
        yield
        return
    try:
        yield
    finally:
        lock.release()


def is_occupied(folder: Path) -> bool:
    """Whether some process trains in the folder."""
    if not (folder / ".lock").exists():
        return False
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        return True
    except NotImplementedError:  # nobody can know
        return False
    lock.release()
    return False
