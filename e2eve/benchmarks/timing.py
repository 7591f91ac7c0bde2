"""Ways to do one thing, timed in turns: A B A B, so that a busy machine disturbs all alike."""

import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

SHORTEST = 0.1
"""Seconds that a measurement takes at least: what is quicker is called several times in it."""

RESETS = Path("/proc/self/clear_refs")
"""Where Linux lets a process forget its peak of memory."""

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


class Case(NamedTuple):
    """One way to do a thing.

    Calling `run` does the `share` of the whole; how often it is called must not matter.
    """

    name: str
    run: Callable[[], Any]
    share: float = 1.0


class Timing(NamedTuple):
    """Of a case, the whole of it."""

    name: str
    seconds: float  # the median
    spread: float  # from the fastest to the slowest, in seconds
    memory: float | None  # bytes that its first run took beyond what was in use; None: unknown


def timings(
    cases: Sequence[Case],
    *,
    rounds: int,
    device: torch.device,
    clock: str = "wall",
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> list[Timing]:
    """Each case once to warm up, then all of them in turns.

    Args:
        clock: "wall", or "cpu" for the seconds of all processors, where others use the machine.
        advance: told how many measurements of how many are done.
    """
    now, total = CLOCKS[clock], len(cases) * (rounds + 1)

    def seconds(case: Case, calls: int) -> float:
        began = now()
        for _ in range(calls):
            case.run()
        finish(device)
        return (now() - began) / calls

    calls, memory = [], []
    for case in cases:
        peak = Peak(device)
        first = seconds(case, 1)
        memory.append(peak.read())
        calls.append(1 if first > SHORTEST else round(SHORTEST / max(first, 1e-6)) + 1)
        advance(len(calls), total)
    taken: list[list[float]] = [[] for _ in cases]
    for turn in range(1, rounds + 1):
        for case, count, mine in zip(cases, calls, taken, strict=True):
            mine.append(seconds(case, count) / case.share)
        advance(len(cases) * (turn + 1), total)
    return [
        Timing(case.name, statistics.median(mine), max(mine) - min(mine), bytes_)
        for case, mine, bytes_ in zip(cases, taken, memory, strict=True)
    ]


def finish(device: torch.device) -> None:
    """Wait for what a GPU was told to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Peak:
    """The most memory that is in use from now on, beyond what is in use now."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            self.start = torch.cuda.memory_allocated(device)
        elif os.access(RESETS, os.W_OK):
            RESETS.write_text("5")  # the high-water mark starts again from what is in use
            self.start = _status("VmRSS")

    def read(self) -> float | None:
        """Bytes; None where the system does not say."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) - self.start
        return _status("VmHWM") - self.start if hasattr(self, "start") else None


def _status(name: str) -> int:
    """Bytes that Linux says this process uses."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name + ":"))
