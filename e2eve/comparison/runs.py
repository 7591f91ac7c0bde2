"""Run folders as they are found on disk, finished or not, and configurations of them.

A configuration is the runs that differ in nothing but the seed, named by what tells it from others.
"""

import glob
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from e2eve.checks import read_yaml
from e2eve.evaluation.results import METRICS, Results, read_results
from e2eve.runs import Curve, RunFolder, read_curves

ABSENT = "none"
SKIPPED = ("wandb", "checkpoints", "bundle", "validation_set", "token_cache")
# Parts of a config that do not make two runs different configurations.
IGNORED = ("seed", "name", "tags", "run_dir", "logger", "study", "sweep")
MOST_FACTORS = 4  # in a label, where fewer can tell the configurations apart


@dataclass(frozen=True)
class Run:
    """One training run, or one evaluation in a folder of its own.

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

    @cached_property
    def leaves(self) -> dict[str, str]:
        """What stands at each dotted name of the config, as text; a list is a leaf."""
        flat = pd.json_normalize(self.config, sep=".").to_dict("records")
        return {str(name): _text(value) for found in flat for name, value in found.items()}

    @property
    def texts(self) -> dict[str, str]:
        """`leaves`, and what was chosen for each group of the config."""
        return self.leaves | self.choices

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

    @property
    def report(self) -> Path | None:
        """The page of what is compared, where there is one."""
        path = (self.results.folder if self.results else self.folder) / "report.html"
        return path if path.exists() else None

    @property
    def remark(self) -> str:
        """Why the run is not in the tables, or what went wrong with it; empty where it is."""
        said = [self.error, self.problem]
        if self.config and not self.is_editor:
            said.append("trains a tokenizer, which is not compared here")
        elif not self.config and self.state != "failed":
            said.append("has no config.yaml yet")
        elif self.state == "done" and not self.results and not self.problem:
            said.append(f"was not evaluated: python -m e2eve.evaluate run={self.folder}")
        return "; ".join(text for text in said if text)


@dataclass(frozen=True)
class Configuration:
    """Runs of one configuration, one per seed, in the order of seeds; some may lack results.

    `factors` are the choices that tell it from the others, by their names on a command line.
    """

    factors: Mapping[str, str]
    runs: tuple[Run, ...]

    @property
    def label(self) -> str:
        named = ", ".join(f"{name}={value}" for name, value in self.factors.items())
        return named or self.runs[0].config.get("name") or self.runs[0].folder.name

    @property
    def short_label(self) -> str:
        """The values alone, for where their names stand near by."""
        return ", ".join(self.factors.values()) or self.label

    @property
    def finished(self) -> list[Run]:
        """Runs with results."""
        return [run for run in self.runs if run.results]

    @property
    def results(self) -> list[Results]:
        return [run.results for run in self.runs if run.results]

    @property
    def seeds(self) -> tuple[Any, ...]:
        """Seeds of the runs with results."""
        return tuple(run.seed for run in self.finished)


def find_runs(places: Sequence[str | Path]) -> list[Path]:
    """Run folders among these folders and everywhere below them, each once; globs are expanded.

    The search does not go into run folders: an evaluation inside one is found where its folder, or
    one between them, is named.

    Raises ValueError if a place does not exist or holds no run.
    """
    found: dict[Path, Path] = {}
    for place in map(str, places):
        matches = [place] if Path(place).is_dir() else sorted(glob.glob(place, recursive=True))
        folders = [Path(match) for match in matches if Path(match).is_dir()]
        below = [run for folder in folders for run in _runs_below(folder)]
        if not below:
            lack = f"holds no run (no folder with a status.json or a {METRICS})"
            raise ValueError(
                f"{place} {lack if folders else 'is no folder'}: give runs=[<folders of training "
                "runs or sweeps>]."
            )
        found |= {run.resolve(): run for run in below}
    return list(found.values())


def read_run(folder: Path, evaluation: str | None = None) -> Run:
    """What the folder says; nothing that it lacks, that is half written or damaged raises.

    Args:
        evaluation: name of an evaluation in the folder that is read; None: the one that was part of
            the training run, or without one the newest.
    """
    try:
        return _read_run(folder, evaluation)
    except Exception as error:  # a damaged file may hold anything, and costs this run alone
        said = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        return Run(folder, {}, {}, (), "unknown", "", "", None, f"a file is damaged ({said})")


def _read_run(folder: Path, evaluation: str | None) -> Run:
    status, problem = _status(folder)
    trained = (folder / "status.json").exists()
    place = folder / "evaluation" / evaluation if evaluation else _evaluated_last(folder)
    config = _kept(read_yaml, folder / "config.yaml") or _config_above(folder)
    results = None
    if (place / METRICS).exists() and (evaluation or not trained or status["state"] == "done"):
        try:
            results = read_results(place).with_tables()
        except ValueError as error:
            problem = str(error)
    if results and not trained:
        config = _merged(config or {"evaluated_in": folder.as_posix()}, results.about)
        status["state"] = "done"
    hydra = _kept(read_yaml, folder / ".hydra/hydra.yaml").get("hydra", {})
    choices = hydra.get("runtime", {}).get("choices", {})
    overrides = hydra.get("overrides", {}).get("task", [])
    return Run(
        folder=folder,
        config=config,
        choices={k: str(v) for k, v in choices.items() if not k.startswith("hydra/")},
        overridden=tuple(text.lstrip("+~").partition("=")[0] for text in overrides),
        state=status["state"],
        error=status.get("error") or status.get("reason", ""),
        time=status.get("time", ""),
        results=results,
        problem=problem,
        curves=_kept(read_curves, folder / "metrics.csv"),
    )


# The folder itself where it holds results, else the newest evaluation in it.
def _evaluated_last(folder: Path) -> Path:
    later = [] if (folder / METRICS).exists() else [*folder.glob(f"evaluation/*/{METRICS}")]
    return max(later, key=lambda path: path.stat().st_mtime_ns).parent if later else folder


def _runs_below(top: Path) -> Iterator[Path]:
    for folder, below, files in os.walk(top):
        if "status.json" in files or METRICS in files:
            yield Path(folder)
            below.clear()
        below[:] = sorted(n for n in below if not n.startswith(".") and n not in SKIPPED)


def _status(folder: Path) -> tuple[dict[str, Any], str]:
    try:
        return RunFolder(folder).status(), ""
    except ValueError as error:
        return {"state": "unknown"}, str(error)


# The config of the run that an evaluation's folder lies in.
def _config_above(folder: Path) -> dict[str, Any]:
    for above in folder.resolve().parents:
        if (above / "status.json").exists():
            return _kept(read_yaml, above / "config.yaml")
    return {}


# The config with what a later evaluation has chosen itself.
def _merged(config: dict[str, Any], about: dict[str, Any]) -> dict[str, Any]:
    sampling = {**(config.get("sampling") or {}), **about["sampling"]}
    before = config.get("evaluation") or {}
    kept = {name: value for name, value in before.items() if name not in sampling}
    chosen = {name: about[name] for name in ("validation_set", "num_samples", "seed")}
    return {**config, "evaluation": {**kept, **chosen}, "sampling": sampling}


def _text(value: Any) -> str:
    if value is None:
        return ABSENT
    return json.dumps(value) if isinstance(value, dict | list | bool) else str(value)


# What is read from a file, empty without one.
#
# A live page reads the same files again and again: what has not changed since is kept.
def _kept(read: Callable[[Path], dict[str, Any]], path: Path) -> dict[str, Any]:
    return _read(read, path, path.stat().st_mtime_ns) if path.exists() else {}


@lru_cache(maxsize=4096)
def _read(read: Callable[[Path], dict[str, Any]], path: Path, changed: int) -> dict[str, Any]:
    return read(path)


def grouped(runs: Sequence[Run]) -> tuple[tuple[Configuration, ...], tuple[Run, ...]]:
    """Configurations in the order of their labels' values, and runs that are left out.

    Of runs with the same configuration and seed the last one with results counts.
    """
    alike: dict[str, list[Run]] = {}
    for run in runs:
        settings = {name: value for name, value in run.config.items() if name not in IGNORED}
        alike.setdefault(json.dumps(settings, sort_keys=True, default=str), []).append(run)
    groups = [_one_per_seed(group) for group in alike.values()]
    names = telling_factors(groups)
    found = [
        Configuration({name: group[0].texts.get(name, ABSENT) for name in names}, group)
        for group in groups
    ]
    found.sort(key=lambda one: [natural(value) for value in one.factors.values()])
    used = {run.folder for group in groups for run in group}
    return tuple(found), tuple(run for run in runs if run.folder not in used)


def _one_per_seed(group: Sequence[Run]) -> tuple[Run, ...]:
    newest_last = sorted(group, key=lambda run: (run.results is not None, run.time))
    chosen = {run.seed: run for run in newest_last}
    return tuple(chosen[seed] for seed in sorted(chosen, key=lambda seed: natural(str(seed))))


def natural(text: str) -> tuple[int, float, str]:
    """Numbers by size, before words."""
    try:
        return 0, float(text), text
    except ValueError:
        return 1, 0.0, text


def differences(runs: Sequence[Run]) -> pd.DataFrame:
    """Settings that differ between runs, as text: one row per leaf, one column per run."""
    table = pd.DataFrame([_telling(run) for run in runs], dtype=object).fillna(ABSENT)
    return table.loc[:, table.nunique() > 1].T.sort_index()


# Leaves of the config that make a difference.
def _telling(run: Run) -> dict[str, str]:
    return {name: text for name, text in run.leaves.items() if name.split(".")[0] not in IGNORED}


def telling_factors(groups: Sequence[Sequence[Run]]) -> list[str]:
    """Names of the choices on command lines that differ between the groups.

    Of many only as many as it takes to tell the groups apart; where all of them do not, leaves of
    the config are added until they do.
    """
    if len(groups) < 2:
        return []
    runs = [run for group in groups for run in group]
    given = dict.fromkeys(name for run in runs for name in run.overridden)
    own = [n for n, group in enumerate(groups) for _ in group]
    columns = {name: [run.texts.get(name, ABSENT) for run in runs] for name in given}
    texts = pd.DataFrame(columns, index=range(len(runs)))
    steady = texts.groupby(own).nunique().eq(1).all() & (texts.nunique() > 1)
    names = [name for name in given if steady[name] and name.split(".")[0] not in IGNORED]
    firsts = [group[0] for group in groups]
    if len(names) > MOST_FACTORS:
        names = _enough(firsts, [], names)
    return _enough(firsts, names, sorted({name for run in firsts for name in _telling(run)}))


# The names and those of the others that tell most, one by one, until all runs are told.
def _enough(runs: Sequence[Run], names: list[str], more: Sequence[str]) -> list[str]:
    def kinds(names: Sequence[str]) -> int:
        return len({tuple(run.texts.get(name, ABSENT) for name in names) for run in runs})

    while kinds(names) < len(runs):
        best = max(more, key=lambda name: kinds([*names, name]), default="")
        if not best or kinds([*names, best]) == kinds(names):
            break
        names = [*names, best]
    return names
