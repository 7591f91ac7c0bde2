"""What a benchmark found, for people and for programs."""

import json
from typing import Any

import torch
from rich import box
from rich.table import Table

from e2eve.benchmarks.parts import Result
from e2eve.benchmarks.setting import Setting
from e2eve.benchmarks.timing import Timing


def table(result: Result, setting: Setting) -> Table:
    """A row for each way, the plain one first; where the floor comes from is written below."""
    part = result.part
    shown = Table(
        title=f"{part.name}, batch {part.batch} ({setting.words})",
        title_justify="left",
        caption=caption(result),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
    )
    shown.add_column("way", min_width=34)
    for name in ("seconds", "±", "plain ÷ this", "this ÷ floor", "memory"):
        shown.add_column(name, justify="right")
    for timing in result.timings:
        shown.add_row(timing.name, *cells(result, timing))
    return shown


def cells(result: Result, timing: Timing) -> tuple[str, ...]:
    speedup, above = result.speedup(timing), result.above_floor(timing)
    return (
        f"{timing.seconds:.3g}",
        f"{timing.spread / 2:.1g}",
        "" if speedup is None else f"{speedup:.3g}",
        "" if above is None else f"{above:.3g}",
        "" if timing.memory is None else f"{timing.memory / 2**20:.0f} MiB",
    )


def caption(result: Result) -> str:
    floor, facts = result.part.floor, result.part.facts
    lines = [f"floor {floor.seconds:.3g} s: {floor.arithmetic}"] if floor else []
    if facts:
        lines.append(", ".join(f"{name} {value:.3g}" for name, value in facts.items()))
    return "\n".join(lines)


def json_line(result: Result, setting: Setting) -> str:
    """One object; `seconds` are ours."""
    part, floor = result.part, result.part.floor
    line: dict[str, Any] = {
        "part": part.name,
        "batch": part.batch,
        "seconds": result.ours.seconds,
        "speedup": result.speedup(result.ours),
        "above_floor": result.above_floor(result.ours),
        "floor": floor._asdict() if floor else None,
        "ways": [timing._asdict() for timing in result.timings],
        "facts": dict(part.facts),
        "preset": setting.preset.name,
        "precision": setting.precision,
        "device": setting.device_name,
        "threads": torch.get_num_threads(),
        "clock": setting.clock,
        "torch": torch.__version__,
    }
    return json.dumps(line)
