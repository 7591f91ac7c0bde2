"""Cells: runs that differ in nothing but the seed, named by the choices that tell them apart."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from e2eve.comparison.results import Results
from e2eve.comparison.runs import Run

IGNORED = ("seed", "name", "run_dir", "logger", "study", "sweep")
"""Parts of a config that do not make two runs different settings."""

MOST_FACTORS = 4
"""Choices in a label, where fewer can tell the cells apart."""

ABSENT = "none"


@dataclass(frozen=True)
class Cell:
    """Runs of one setting, one of each seed, in the order of seeds; some may lack results."""

    factors: Mapping[str, str]
    runs: tuple[Run, ...]

    @property
    def label(self) -> str:
        """What tells this cell from the others, as on a command line."""
        named = ", ".join(f"{name}={value}" for name, value in self.factors.items())
        return named or self.runs[0].config.get("name") or self.runs[0].folder.name

    @property
    def short_label(self) -> str:
        """The values alone, for where the names stand near by."""
        return ", ".join(self.factors.values()) or self.label

    @property
    def finished(self) -> list[Run]:
        return [run for run in self.runs if run.results]

    @property
    def results(self) -> list[Results]:
        return [run.results for run in self.runs if run.results]

    @property
    def seeds(self) -> tuple[Any, ...]:
        """Of the runs with results."""
        return tuple(run.seed for run in self.finished)

    def values(self, measure: str) -> Float[np.ndarray, " seeds"]:
        """Not a number where a run lacks the measure."""
        means = [results.means.get(measure, math.nan) for results in self.results]
        return np.array(means, dtype=np.float64)

    def mean(self, measure: str) -> float:
        """Over seeds; not a number without results."""
        values = self.values(measure)
        return float(values.mean()) if len(values) else math.nan

    def deviation(self, measure: str) -> float:
        """Standard deviation over seeds, with n − 1; not a number for fewer than two."""
        values = self.values(measure)
        return float(values.std(ddof=1)) if len(values) > 1 else math.nan


@dataclass(frozen=True)
class Cells:
    """`factors` are what the labels are made of; `doubles` repeat a setting and seed."""

    cells: tuple[Cell, ...]
    factors: tuple[str, ...]
    doubles: tuple[Run, ...]

    def __iter__(self) -> Iterator[Cell]:
        return iter(self.cells)

    def __len__(self) -> int:
        return len(self.cells)

    def __getitem__(self, index: int) -> Cell:
        return self.cells[index]


def grouped(runs: Sequence[Run]) -> Cells:
    """Cells in the order of their labels' values.

    Of runs with the same settings and the same seed the last one with results counts.
    """
    settings: dict[str, list[Run]] = {}
    for run in runs:
        settings.setdefault(_identity(run), []).append(run)
    groups, doubles = [], []
    for group in settings.values():
        chosen = _one_of_each_seed(group)
        groups.append(chosen)
        doubles += [run for run in group if run not in chosen]
    names = telling_factors(groups)
    made = [Cell({name: value_of(group[0], name) for name in names}, group) for group in groups]
    made.sort(key=lambda cell: [_natural(value) for value in cell.factors.values()])
    return Cells(tuple(made), tuple(names), tuple(doubles))


def differences(cells: Sequence[Cell]) -> dict[str, list[str]]:
    """Leaves of the configs that differ between cells, with the value in each."""
    leaves = [flattened(_settings(cell.runs[0])) for cell in cells]
    names = sorted({name for leaf in leaves for name in leaf})
    rows = {name: [_text(leaf.get(name)) for leaf in leaves] for name in names}
    return {name: values for name, values in rows.items() if len(set(values)) > 1}


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


def _enough(runs: Sequence[Run], names: list[str], more: Sequence[str]) -> list[str]:
    """The names and those of the others that tell most, one by one, until all runs are told."""
    kinds = _kinds(runs, names)
    while kinds < len(runs):
        best = max(more, key=lambda name: _kinds(runs, [*names, name]), default="")
        if not best or _kinds(runs, [*names, best]) == kinds:
            break
        names = [*names, best]
        kinds = _kinds(runs, names)
    return names


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


def _identity(run: Run) -> str:
    return json.dumps(_settings(run), sort_keys=True, default=str)


def _one_of_each_seed(group: Sequence[Run]) -> tuple[Run, ...]:
    chosen: dict[Any, Run] = {}
    for run in sorted(group, key=lambda run: (run.results is not None, run.time)):
        chosen[run.seed] = run
    return tuple(chosen[seed] for seed in sorted(chosen, key=lambda seed: _natural(str(seed))))


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
