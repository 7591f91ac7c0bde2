"""One process at a time in a run folder."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

log = logging.getLogger(__name__)

# Seconds that a network file system may take to notice that a requeued job's node is gone.
REQUEUE_PATIENCE = 120.0


@contextmanager
def lock_run_dir(folder: Path) -> Iterator[None]:
    """Keep the folder for this process, until the block or the process ends, however it does.

    Raises:
        ValueError: if another process trains there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=REQUEUE_PATIENCE if "SLURM_RESTART_COUNT" in os.environ else 0)
    except Timeout:
        raise ValueError(
            f"Another process is training in {folder}: wait for it, end it, or give another name=…"
        ) from None
    except NotImplementedError:
        log.warning("%s lies where files cannot be locked: start only one run there.", folder)
    try:
        yield
    finally:
        lock.release()


def is_locked(folder: Path) -> bool:
    """Whether some process trains in the folder; False where files cannot be locked."""
    if not (folder / ".lock").exists():
        return False
    try:
        with FileLock(folder / ".lock", timeout=0):
            return False
    except Timeout:
        return True
    except NotImplementedError:
        return False
