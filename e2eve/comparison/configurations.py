"""Configurations: runs that differ in nothing but the seed, named by what tells them apart."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from e2eve.comparison.runs import Run

IGNORED = ("seed", "name", "tags", "run_dir", "logger", "study", "sweep")
"""Parts of a config that do not make two runs different configurations."""

MOST_FACTORS = 4
"""Choices in a label, where fewer can tell the configurations apart."""

ABSENT = "none"


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
    def seeds(self) -> tuple[Any, ...]:
        """Seeds of the runs with results."""
        return tuple(run.seed for run in self.finished)


class Grouping(NamedTuple):
    """`repeated` runs have the configuration and seed of another one that counts."""

    configurations: tuple[Configuration, ...]
    repeated: tuple[Run, ...]


def grouped(runs: Sequence[Run]) -> Grouping:
    """Configurations in the order of their labels' values.

    Of runs with the same configuration and seed the last one with results counts.
    """
    alike: dict[str, list[Run]] = {}
    for run in runs:
        settings = json.dumps(_settings(run), sort_keys=True, default=str)
        alike.setdefault(settings, []).append(run)
    groups = [_one_per_seed(group) for group in alike.values()]
    names = telling_factors(groups)
    found = [Configuration({name: value_of(g[0], name) for name in names}, g) for g in groups]
    found.sort(key=lambda one: [_natural(value) for value in one.factors.values()])
    used = {run.folder for group in groups for run in group}
    return Grouping(tuple(found), tuple(run for run in runs if run.folder not in used))


def differences(configurations: Sequence[Configuration]) -> pd.DataFrame:
    """Values of the configs' leaves that differ: one row per leaf, one column per configuration."""
    leaves = [flattened(_settings(one.runs[0])) for one in configurations]
    texts = [{name: _text(value) for name, value in one.items()} for one in leaves]
    table = pd.DataFrame(texts, dtype=object).fillna(ABSENT).T.sort_index()
    return table[table.nunique(axis=1) > 1]


def telling_factors(groups: Sequence[Sequence[Run]]) -> list[str]:
    """Names of the choices on command lines that differ between the groups.

    Of many only as many as it takes to tell the groups apart; where all of them do not, leaves of
    the config are added until they do.
    """
    if len(groups) < 2:
        return []
    firsts = [group[0] for group in groups]
    given = dict.fromkeys(name for group in groups for run in group for name in run.overridden)
    names = [name for name in given if name.split(".")[0] not in IGNORED and _tells(groups, name)]
    if len(names) > MOST_FACTORS:
        names = _enough(firsts, [], names)
    leaves = {name for run in firsts for name in flattened(_settings(run))}
    return _enough(firsts, names, sorted(leaves))


def value_of(run: Run, name: str) -> str:
    """What was chosen for a group of the config, or the value at a dotted name."""
    if name in run.choices:
        return run.choices[name]
    node: Any = run.config
    for part in name.split("."):
        if not isinstance(node, dict) or part not in node:
            return ABSENT
        node = node[part]
    return _text(node)


def flattened(node: Any, prefix: str = "") -> dict[str, Any]:
    """Dotted names of the leaves; a list is a leaf."""
    if not isinstance(node, dict) or not node:
        return {prefix: node}
    below = (flattened(value, f"{prefix}.{key}" if prefix else key) for key, value in node.items())
    return {name: value for leaves in below for name, value in leaves.items()}


def _settings(run: Run) -> dict[str, Any]:
    return {name: value for name, value in run.config.items() if name not in IGNORED}


def _one_per_seed(group: Sequence[Run]) -> tuple[Run, ...]:
    newest_last = sorted(group, key=lambda run: (run.results is not None, run.time))
    chosen = {run.seed: run for run in newest_last}
    return tuple(chosen[seed] for seed in sorted(chosen, key=lambda seed: _natural(str(seed))))


def _enough(runs: Sequence[Run], names: list[str], more: Sequence[str]) -> list[str]:
    """The names and those of the others that tell most, one by one, until all runs are told."""
    while (kinds := _kinds(runs, names)) < len(runs):
        best = max(more, key=lambda name: _kinds(runs, [*names, name]), default="")
        if not best or _kinds(runs, [*names, best]) == kinds:
            break
        names = [*names, best]
    return names


def _tells(groups: Sequence[Sequence[Run]], name: str) -> bool:
    """One value in each group, and not the same in all."""
    values = [{value_of(run, name) for run in group} for group in groups]
    return all(len(v) == 1 for v in values) and len(set.union(*values)) > 1


def _kinds(runs: Sequence[Run], names: Sequence[str]) -> int:
    return len({tuple(value_of(run, name) for name in names) for run in runs})


def _text(value: Any) -> str:
    if value is None:
        return ABSENT
    return json.dumps(value) if isinstance(value, dict | list | bool) else str(value)


def _natural(text: str) -> tuple[int, float, str]:
    """Numbers by size, before words."""
    try:
        return 0, float(text), text
    except ValueError:
        return 1, 0.0, text
