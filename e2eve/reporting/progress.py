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

# Told what is being done, how much of it is done, and how much there is.
Report = Callable[[str, float, int], None]

SECONDS_BETWEEN_LINES = 20.0


def silent(what: str, done: float, total: int) -> None:
    """No progress report."""


def labelled_bars(console: Console) -> Progress:
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
        disable=not console.is_terminal,
    )


@contextmanager
def progress_bars() -> Iterator[Report]:
    """Bars with the time left in a terminal; elsewhere a log line now and then."""
    tasks: dict[str, TaskID] = {}
    spoken: dict[str, float] = {}  # when a line about each was last logged
    told: dict[str, float] = {}
    with labelled_bars(Console(stderr=True)) as bars:

        def report(what: str, done: float, total: int) -> None:
            now = time.monotonic()
            if what not in tasks:
                tasks[what], spoken[what] = bars.add_task(what, total=total, note=""), now
            bars.update(tasks[what], completed=done)
            late = done in (0, total) or now - spoken[what] > SECONDS_BETWEEN_LINES
            if late and told.get(what) != done and not bars.console.is_terminal:
                spoken[what], told[what] = now, done
                log.info("%s: %d of %d", what, done, total)

        yield report
