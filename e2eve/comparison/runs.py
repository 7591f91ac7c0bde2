"""Run folders as they are found on disk, finished or not, and what each says."""

import glob
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import yaml

from e2eve.comparison.results import Results, read_results
from e2eve.evaluation.files import METRICS
from e2eve.runs import Curve, RunFolder, read_curves

SKIPPED = ("wandb", "checkpoints", "bundle", "validation_set", "token_cache")


@dataclass(frozen=True)
class Run:
    """One training, or one evaluation in a folder of its own.

    `config` is resolved and empty where there is none; `choices` are Hydra's groups and
    `overridden` the keys given on the command line. `problem` says what cannot be read.
    """

    folder: Path
    config: dict[str, Any]
    choices: dict[str, str]
    overridden: tuple[str, ...]
    state: str
    error: str
    time: str
    results: Results | None
    problem: str = ""
    curves: dict[str, Curve] = field(default_factory=dict)

    @property
    def is_editor(self) -> bool:
        """Rather than a tokenizer, which has no validation inputs to compare."""
        return bool(self.config) and not str(self.config.get("task")).endswith("_tokenizer")

    @cached_property
    def seed(self) -> int | None:
        if "seed" in self.config:
            return self.config["seed"]
        return self.results.about.get("seed") if self.results else None

    @cached_property
    def steps(self) -> tuple[int, int | None]:
        """The last step in the log, counted from 1, and how many are planned."""
        last = max((int(steps[-1]) + 1 for steps, _ in self.curves.values() if steps), default=0)
        return last, self.config.get("trainer", {}).get("max_steps")


def find_runs(places: Sequence[str | Path]) -> list[Path]:
    """Run folders among these folders and everywhere below them, each once; globs are expanded.

    The search does not go into run folders: an evaluation inside one is found where its folder, or
    one between them, is named.

    Raises:
        ValueError: when a place does not exist or holds no run.
    """
    found: dict[Path, Path] = {}
    for place in map(str, places):
        below = [run for folder in _folders(place) for run in _runs_below(folder)]
        if not below:
            raise ValueError(
                f"{place} holds no run (no folder with a status.json or a {METRICS}): give "
                "runs=[<folders of trainings or sweeps>]."
            )
        found |= {run.resolve(): run for run in below}
    return list(found.values())


def _folders(place: str) -> list[Path]:
    matches = [place] if Path(place).is_dir() else sorted(glob.glob(place, recursive=True))
    folders = [Path(match) for match in matches if Path(match).is_dir()]
    if not folders:
        raise ValueError(f"{place} is no folder: give runs=[<folders of trainings or sweeps>].")
    return folders


def _runs_below(top: Path) -> Iterator[Path]:
    for folder, below, files in os.walk(top):
        if "status.json" in files or METRICS in files:
            yield Path(folder)
            below.clear()
        below[:] = sorted(n for n in below if not n.startswith(".") and n not in SKIPPED)


def read_run(folder: Path, evaluation: str | None = None) -> Run:
    """What the folder says; nothing that it lacks or that is half written raises.

    Args:
        evaluation: name of an evaluation in the folder that is read instead of the training's own.
    """
    status, problem = _status(folder)
    trained = (folder / "status.json").exists()
    place = folder / "evaluation" / evaluation if evaluation else folder
    config = _yaml(folder / "config.yaml") or _config_above(folder)
    results = None
    if (place / METRICS).exists() and (evaluation or not trained or status["state"] == "done"):
        try:
            results = read_results(place)
        except ValueError as error:
            problem = str(error)
    if results and not trained:
        config = config or {"evaluated_in": folder.as_posix()}
        config = _merged(config, results.about)
        status["state"] = "done"
    hydra = _yaml(folder / ".hydra/hydra.yaml").get("hydra", {})
    overrides = hydra.get("overrides", {}).get("task", [])
    return Run(
        folder=folder,
        config=config,
        choices=_choices(hydra),
        overridden=tuple(text.lstrip("+~").partition("=")[0] for text in overrides),
        state=status["state"],
        error=status.get("error") or status.get("reason", ""),
        time=status.get("time", ""),
        results=results,
        problem=problem,
        curves=_curves(folder / "metrics.csv"),
    )


def _status(folder: Path) -> tuple[dict[str, Any], str]:
    try:
        return RunFolder(folder).status(), ""
    except json.JSONDecodeError:
        return {"state": "unknown"}, "status.json cannot be read"


def _config_above(folder: Path) -> dict[str, Any]:
    """Of the run that an evaluation's folder lies in."""
    for above in folder.resolve().parents:
        if (above / "status.json").exists():
            return _yaml(above / "config.yaml")
    return {}


def _merged(config: dict[str, Any], about: dict[str, Any]) -> dict[str, Any]:
    """The config with what a later evaluation has chosen itself."""
    chosen = {name: about[name] for name in ("validation_set", "num_samples", "seed")}
    before = config.get("evaluation") or {}
    return {**config, "evaluation": {**before, **chosen, **about["sampling"]}}


def _choices(hydra: dict[str, Any]) -> dict[str, str]:
    chosen = hydra.get("runtime", {}).get("choices", {})
    return {group: str(name) for group, name in chosen.items() if not group.startswith("hydra/")}


def _curves(path: Path) -> dict[str, Curve]:
    return _read_curves(path, path.stat().st_mtime_ns) if path.exists() else {}


@lru_cache(maxsize=1024)
def _read_curves(path: Path, changed: int) -> dict[str, Curve]:
    return read_curves(path)


def _yaml(path: Path) -> dict[str, Any]:
    """Empty where there is no such file."""
    return _read_yaml(path, path.stat().st_mtime_ns) if path.exists() else {}


@lru_cache(maxsize=4096)
def _read_yaml(path: Path, changed: int) -> dict[str, Any]:
    """With the parser that is written in C: OmegaConf takes ten times as long."""
    with path.open(encoding="utf-8") as file:
        return yaml.load(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {}
