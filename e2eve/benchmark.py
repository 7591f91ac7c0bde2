"""Time the parts of the work: `python -m e2eve.benchmark [parts=[sample] batch=[1,16] …]`."""

from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from e2eve.config import choose, device_of, listed, verb

if TYPE_CHECKING:
    from e2eve.benchmarks.setting import Setting


@verb("benchmark")
def main(config: DictConfig) -> None:
    # Heavy imports wait until here, so that --help and a typo answer at once.
    benchmark(config)


def benchmark(config: DictConfig) -> list[str]:
    """Prints a table for each part and batch, then a line of JSON for each, which are returned."""
    from rich.console import Console

    from e2eve.benchmarks.parts import measured
    from e2eve.benchmarks.registry import PARTS
    from e2eve.benchmarks.results import json_line, table
    from e2eve.reporting.progress import progress_bars

    names = [name for name in listed(config.parts) if choose(name, PARTS, "A part")]
    jobs = [(name, setting) for name in names for setting in settings_of(config)]
    lines: list[str] = []
    console = Console(width=None if Console().is_terminal else 120)
    try:
        with progress_bars() as report:
            for name, setting in jobs:
                report(f"{name}, batch {setting.batch}: preparing", 0, 1)
                part = PARTS[name](setting)
                report(f"{name}, batch {setting.batch}: preparing", 1, 1)
                if config.ways is not None:
                    part = part.only(listed(config.ways))
                result = measured(part, rounds=config.rounds, setting=setting, report=report)
                console.print(table(result, setting))
                lines.append(json_line(result, setting))
                write(lines, config.out)
    finally:  # what was measured before a part failed is not lost
        console.print("\n".join(lines), soft_wrap=True, highlight=False, markup=False)
    return lines


def write(lines: list[str], out: str | None) -> None:
    """After every part, so that an interruption loses nothing."""
    if out is not None:
        path = Path(out)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def settings_of(config: DictConfig) -> list["Setting"]:
    """One for each batch.

    Raises:
        ValueError: for a number below 1, or a choice that there is not.
    """
    batches, threads = listed(config.batch), config.threads
    counts = [("batch", batch) for batch in batches] + [("rounds", config.rounds)]
    counts += [("threads", threads)] if threads is not None else []
    for name, value in counts:
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} is {value}: give 1 or more.")

    import torch

    from e2eve.benchmarks.setting import PRECISIONS, PRESETS, Setting
    from e2eve.benchmarks.timing import CLOCKS

    for name, known in (("precision", PRECISIONS), ("clock", CLOCKS)):
        choose(config[name], known, name)
    if threads is not None:
        torch.set_num_threads(threads)
    return [
        Setting(
            preset=choose(config.preset, PRESETS, "preset"),
            batch=batch,
            device=torch.device(device_of(config.device)),
            precision=config.precision,
            workers=config.workers,
            clock=config.clock,
            seed=config.seed,
            trained=config.editor and Path(config.editor),
            inputs=config.validation_set and Path(config.validation_set),
        )
        for batch in batches
    ]


if __name__ == "__main__":
    main()
