"""Variants of one piece of work, timed in turns by `torch.utils.benchmark`."""

import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.utils.benchmark import Measurement, Timer, timer

# Seconds that a measurement takes at least: what is quicker is called several times in it.
SHORTEST = 0.1

# Where Linux lets a process reset its peak of resident memory.
CLEAR_REFS = Path("/proc/self/clear_refs")


def processor_seconds() -> float:
    """Seconds of all processors together."""
    timer()  # which waits for a GPU
    return time.process_time()


CLOCKS: dict[str, Callable[[], float]] = {"wall": timer, "cpu": processor_seconds}


class Variant(NamedTuple):
    """One implementation of a piece of work.

    Calling `run` does the `share` of the whole; how often it is called must not matter.
    """

    name: str
    run: Callable[[], Any]
    share: float = 1.0


def timings(
    variants: Sequence[Variant],
    *,
    rounds: int,
    device: torch.device,
    clock: str = "wall",
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> list[dict[str, Any]]:
    """Each variant timed for so many rounds: A B A B, so that a busy machine disturbs all alike.

    Args:
        advance: told how many measurements of how many are done.

    Returns:
        For each variant its name, the median and the interquartile range of its seconds for the
        whole work, and the bytes of memory that its first round took.
    """
    taken: list[list[Measurement]] = [[] for _ in variants]
    memory: list[int | None] = []
    for _ in range(rounds):
        for variant, measurements in zip(variants, taken, strict=True):
            found, more = with_peak_memory(partial(measured, variant.run, clock), device)
            measurements.append(found)
            memory.append(more)
            advance(len(memory), rounds * len(variants))
    merged = [Measurement.merge(measurements)[0] for measurements in taken]
    return [
        {"name": v.name, "seconds": m.median / v.share, "spread": m.iqr / v.share, "memory": more}
        for v, m, more in zip(variants, merged, memory, strict=False)
    ]


def measured(run: Callable[[], Any], clock: str, least: float = SHORTEST) -> Measurement:
    """Calls warm up, then fill `least` seconds, with as many threads as PyTorch is set to."""
    timer = Timer(
        "run()",
        globals={"run": run},
        timer=CLOCKS[clock],
        num_threads=torch.get_num_threads(),
    )
    return timer.blocked_autorange(min_run_time=least)


def with_peak_memory(
    run: Callable[[], Measurement], device: torch.device
) -> tuple[Measurement, int | None]:
    """What `run` returns, and by how many bytes the memory in use rose; None: unknown."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        start = torch.cuda.memory_allocated(device)
        return run(), torch.cuda.max_memory_allocated(device) - start
    if not os.access(CLEAR_REFS, os.W_OK):
        return run(), None
    CLEAR_REFS.write_text("5")  # the high-water mark starts again from what is in use
    start = _resident("VmRSS")
    return run(), _resident("VmHWM") - start


def _resident(name: str) -> int:
    """Bytes that Linux says this process uses."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name + ":"))
