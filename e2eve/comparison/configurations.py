"""Configurations: runs that differ in nothing but the seed, named by what tells them apart."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from e2eve.comparison.runs import ABSENT, Run
from e2eve.evaluation.results import Results

# Parts of a config that do not make two runs different configurations.
IGNORED = ("seed", "name", "tags", "run_dir", "logger", "study", "sweep")
MOST_FACTORS = 4  # in a label, where fewer can tell the configurations apart


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


def _telling(run: Run) -> dict[str, str]:
    """Leaves of the config that make a difference."""
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


def _enough(runs: Sequence[Run], names: list[str], more: Sequence[str]) -> list[str]:
    """The names and those of the others that tell most, one by one, until all runs are told."""

    def kinds(names: Sequence[str]) -> int:
        return len({tuple(run.texts.get(name, ABSENT) for name in names) for run in runs})

    while kinds(names) < len(runs):
        best = max(more, key=lambda name: kinds([*names, name]), default="")
        if not best or kinds([*names, best]) == kinds(names):
            break
        names = [*names, best]
    return names
