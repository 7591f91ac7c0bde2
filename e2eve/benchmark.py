"""Time the parts of the work: `python -m e2eve.benchmark [parts=[sample] batch=[1,16] …]`."""

import functools
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from e2eve.checks import check_writable
from e2eve.commands import command
from e2eve.config import choose, device_of, listed, plain, read_settings

References = Mapping[str, Callable[[Any, Any], Any]]

log = logging.getLogger(__name__)


@command("benchmark")
def main(config: DictConfig) -> None:
    log.info("Comparisons with references need a checkout: python scripts/benchmark_references.py")
    benchmark(config)


def benchmark(config: DictConfig, references: References | None = None) -> list[dict[str, Any]]:
    """Prints a table for each part and batch, and then what is returned as lines of JSON.

    Args:
        references: functions of a setting and a part that add reference implementations to it, by
            the part's name.

    Raises:
        ValueError: if a setting is out of range, or a choice that there is not.
    """
    # Heavy imports wait until here, so that --help and a typo answer at once.
    import torch

    from e2eve.benchmarks.parts import PARTS
    from e2eve.benchmarks.setting import Setting
    from e2eve.benchmarks.timing import timings
    from e2eve.reporting.progress import progress_bars

    values = {**plain(config), "device": device_of(config.device)}
    jobs = [
        (name, read_settings({**values, "batch": batch}, Setting))
        for name in listed(config.parts)
        if choose(name, PARTS, "parts")
        for batch in listed(config.batch)
    ]
    if config.out is not None:
        check_writable(Path(config.out).parent, "out")
    torch.set_num_threads(config.threads or torch.get_num_threads())
    found: list[dict[str, Any]] = []
    try:
        for name, setting in jobs:
            title = f"{name}, batch {setting.batch}"
            log.info("%s: preparing", title)
            part = PARTS[name](setting)
            if references and name in references:
                part = references[name](setting, part)
            with progress_bars() as report:
                taken = timings(
                    chosen(part.variants, setting.variants),
                    rounds=setting.rounds,
                    device=torch.device(setting.device),
                    clock=setting.clock,
                    advance=functools.partial(report, title),
                )
            found.append(result(name, setting, part, taken))
            print(table(found[-1]))
            if setting.out:  # after every part, so that an interruption loses nothing
                setting.out.parent.mkdir(parents=True, exist_ok=True)
                setting.out.write_text("".join(json.dumps(one) + "\n" for one in found))
    finally:  # what was measured before a part failed is not lost
        print("\n".join(map(json.dumps, found)))
    return found


def chosen(variants: Sequence[Any], names: str | Sequence[str] | None) -> list[Any]:
    """The variant "e2eve", and of the others those that are named; all without names."""
    known = {variant.name: variant for variant in variants}
    wanted = [names] if isinstance(names, str) else known if names is None else names
    assert all(choose(name, known, "variants") for name in wanted)
    return [variant for variant in variants if variant.name in {"e2eve", *wanted}]


def result(name: str, setting: Any, part: Any, taken: list[dict[str, Any]]) -> dict[str, Any]:
    """What was found; `seconds` are those of the variant "e2eve".

    Ratios above 1 mean: the baseline is slower, the roofline is lower.
    """
    import torch

    seconds = {one["name"]: one["seconds"] for one in taken}
    baseline, least = seconds.get(part.baseline), sum(part.roofline.values())
    for one in taken:
        one["speedup"] = baseline and baseline / one["seconds"]
        one["above_roofline"] = one["seconds"] / least if least else None
    ours = next(one for one in taken if one["name"] == "e2eve")
    cuda = setting.device.startswith("cuda")
    capability = f"CPU, {torch.backends.cpu.get_cpu_capability()}"
    return {
        "part": name,
        "batch": part.batch or setting.batch,
        **{key: ours[key] for key in ("seconds", "speedup", "above_roofline")},
        "roofline": {"seconds": least, "arithmetic": " + ".join(part.roofline)} if least else None,
        "variants": taken,
        "facts": dict(part.facts),
        "preset": setting.preset,
        "precision": setting.precision,
        "device": torch.cuda.get_device_name(setting.device) if cuda else capability,
        "threads": torch.get_num_threads(),
        "clock": setting.clock,
        "torch": torch.__version__,
    }


def table(found: Mapping[str, Any]) -> str:
    """A row for each variant, the baseline first; what the roofline is made of stands below."""
    import pandas as pd

    frame = pd.DataFrame(found["variants"]).set_index("name").astype(float).rename_axis(None)
    frame["memory"] = frame["memory"] / 2**20
    columns = ["seconds", "±", "MiB", "baseline ÷ this", "this ÷ roofline"]
    shown = frame.set_axis(columns, axis=1).dropna(axis=1, how="all")
    lines = [f"{name} {value:.3g}" for name, value in found["facts"].items()]
    if found["roofline"]:
        lines.insert(0, "roofline {seconds:.3g} s: {arithmetic}".format(**found["roofline"]))
    where = "{part}, batch {batch} ({preset}, {precision}, {device}, {threads} threads)"
    body = shown.to_string(float_format="{:.3g}".format, na_rep="")
    return "\n".join([where.format(**found), body, *lines, ""])


if __name__ == "__main__":
    main()
