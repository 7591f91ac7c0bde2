"""How long work reports its progress, and how people see it."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

log = logging.getLogger(__name__)

Report = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is."""

SECONDS_BETWEEN_LINES = 20.0


def silent(what: str, done: int, total: int) -> None:
    """No progress report."""


def house_bars(console: Console) -> Progress:
    """What, how much of it, the time taken and left, and a note (`fields={"note": …}`)."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
    )


@contextmanager
def progress_bars() -> Iterator[Report]:
    """Bars with the time left in a terminal; elsewhere a log line now and then."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines()
        return
    with house_bars(console) as bars:
        tasks: dict[str, TaskID] = {}

        def report(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total, note="")
            bars.update(tasks[what], completed=done)

        yield report


def _lines() -> Report:
    spoke: dict[str, float] = {}

    def report(what: str, done: int, total: int) -> None:
        now = time.monotonic()
        spoke.setdefault(what, now)
        if done == total or now - spoke[what] > SECONDS_BETWEEN_LINES:
            spoke[what] = now
            log.info("%s: %d of %d", what, done, total)

    return report
