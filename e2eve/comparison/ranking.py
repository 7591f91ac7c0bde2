"""Which cells may be compared, which is best, and whether that is more than chance."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from e2eve.comparison.cells import Cell, Cells, value_of
from e2eve.comparison.measures import SAMPLES, TOKENIZER, Measure
from e2eve.comparison.statistics import adjusted_pairs, pair_p_values, pareto_front

LEVEL = 0.05


class Terms(NamedTuple):
    """What has to be the same in two cells for their numbers to be compared, seed by seed."""

    validation: tuple[str, ...]
    seeds: tuple[object, ...]


class Mark(NamedTuple):
    """`p` is the adjusted p of the difference to the best cell, None where nothing was tested."""

    best: bool
    p: float | None

    @property
    def worse(self) -> bool:
        return self.p is not None and self.p < LEVEL


@dataclass(frozen=True)
class Ranking:
    """`ranked` holds the places of the cells that are compared, `refusals` why others are not."""

    cells: Cells
    ranked: tuple[int, ...]
    refusals: tuple[str, ...]

    @property
    def over_seeds(self) -> bool:
        """Otherwise, each cell has a single run, over inputs."""
        return bool(self.ranked) and len(self.cells[self.ranked[0]].seeds) > 1

    @property
    def test(self) -> str:
        """How differences were tested, and what that says, in one line."""
        if not self.ranked:
            return ""
        if self.over_seeds:
            return (
                "t-tests over the same seeds in all cells (spread pooled, Holm-adjusted for all "
                "pairs). They ask whether other seeds, on these inputs, would tell the cells apart"
            )
        return (
            "paired t-tests over the same inputs (Holm-adjusted for all pairs). They ask whether "
            "other inputs would tell these very trainings apart: one seed a cell says nothing of "
            "another training"
        )

    def marks(self, measure: Measure) -> dict[int, Mark]:
        """Of the ranked cells; empty where the measure has no best or cannot be compared."""
        if measure.best is None or self.refusal(measure):
            return {}
        means = np.array([self.cells[place].mean(measure.key) for place in self.ranked])
        if not np.isfinite(means).all() or len(means) < 2:
            return {}
        best = int(means.argmin() if measure.best == "low" else means.argmax())
        p = self.p_values(measure)
        return {
            place: Mark(bool(means[n] == means[best]), None if p is None else float(p[n, best]))
            for n, place in enumerate(self.ranked)
        }

    def refusal(self, measure: Measure) -> str:
        """Why this measure is not ranked although the cells are; empty where it is."""
        if measure.needs is None:
            return ""
        values = {_need(self.cells[place], measure.needs) for place in self.ranked}
        return f"not ranked: {measure.needs} differs" if len(values) > 1 else ""

    def p_values(self, measure: Measure) -> Float[np.ndarray, "ranked ranked"] | None:
        """Adjusted, of all pairs; None where there is nothing to test with."""
        blocks = self.blocks(measure)
        if len(blocks) < 2 or blocks.shape[1] < 2:
            return None
        return adjusted_pairs(pair_p_values(blocks, pooled=self.over_seeds))

    def blocks(self, measure: Measure) -> Float[np.ndarray, "ranked blocks"]:
        """The measure by seed, or by input; only blocks where every cell has a number."""
        cells = [self.cells[place] for place in self.ranked]
        if self.over_seeds:
            values = np.array([cell.values(measure.key) for cell in cells])
            return values[:, np.isfinite(values).all(0)]
        columns = [cell.results[0].column(measure.key) for cell in cells]
        common = sorted(set.intersection(*map(set, columns))) if columns else []
        shared = [[column[name] for name in common] for column in columns]
        return np.array(shared, dtype=np.float64).reshape(len(cells), len(common))

    def front(self, measures: Sequence[Measure]) -> Bool[np.ndarray, " cells"]:
        """Cells that no other ranked cell beats in all these measures."""
        costs = np.full((len(self.cells), len(measures)), math.nan)
        for place in self.ranked:
            means = (self.cells[place].mean(m.key) for m in measures)
            signs = (1 if m.best == "low" else -1 for m in measures)
            costs[place] = [sign * mean for sign, mean in zip(signs, means, strict=True)]
        return pareto_front(costs)


def ranking(cells: Cells) -> Ranking:
    """Ranks the cells that more than half of those with results share their terms with.

    Without such a majority nothing is ranked.
    """
    terms = {n: terms_of(cell) for n, cell in enumerate(cells) if cell.results}
    if len(terms) < 2:
        return Ranking(cells, tuple(terms), ())
    (common, count), *_ = Counter(terms.values()).most_common()
    if count == len(terms):
        return Ranking(cells, tuple(terms), ())
    if 2 * count <= len(terms) or count < 2:
        return Ranking(cells, (), _why_nothing(cells, terms))
    ranked = tuple(n for n, own in terms.items() if own == common)
    odd = [(cells[n], own) for n, own in terms.items() if own != common]
    return Ranking(cells, ranked, tuple(_why_not(cell, own, common) for cell, own in odd))


def terms_of(cell: Cell) -> Terms:
    hashes = tuple(results.about["validation_hash"] for results in cell.results)
    return Terms(hashes, cell.seeds)


def _need(cell: Cell, name: str) -> str:
    if name == SAMPLES:
        return str(cell.results[0].about[SAMPLES])
    run = cell.runs[0]
    if name == TOKENIZER and (run.config.get("init_from") or "tokenizer" not in run.config):
        return str(run.config.get("init_from") or run.folder)  # which brings its tokenizers
    return value_of(run, name)


def _why_nothing(cells: Cells, terms: dict[int, Terms]) -> tuple[str, ...]:
    refusals = []
    by_hash: dict[str, list[str]] = {}
    by_seeds: dict[str, list[str]] = {}
    for n, own in terms.items():
        by_hash.setdefault(_hashes(own), []).append(cells[n].label)
        by_seeds.setdefault(_seeds(own), []).append(cells[n].label)
    if len(by_hash) > 1:
        refusals.append(
            "**Nothing is ranked: the cells were measured on different inputs** "
            f"({_named(by_hash)}). Measure every run on the same validation set, "
            "`python -m e2eve.evaluate run=… validation_set=FOLDER`, and "
            "give the folder's name here as `evaluation=NAME`."
        )
    if len(by_seeds) > 1:
        refusals.append(
            "**Nothing is ranked: the cells have results of different seeds** "
            f"({_named(by_seeds)}). Finish the missing runs."
        )
    return tuple(refusals)


def _why_not(cell: Cell, own: Terms, common: Terms) -> str:
    reasons = []
    if own.seeds == common.seeds or set(own.validation) != set(common.validation):
        reasons.append(f"measured on {_hashes(own)}, the others on {_hashes(common)}")
    if own.seeds != common.seeds:
        reasons.append(f"it has results of {_seeds(own)}, the others of {_seeds(common)}")
    return f"**{cell.label} is not ranked**: {'; '.join(reasons)}."


def _hashes(terms: Terms) -> str:
    return "sha256 " + ", ".join(f"{value[:12]}…" for value in dict.fromkeys(terms.validation))


def _seeds(terms: Terms) -> str:
    return f"seed{'s' if len(terms.seeds) != 1 else ''} {', '.join(map(str, terms.seeds))}"


def _named(groups: dict[str, list[str]]) -> str:
    """Each group with at most three of its cells."""
    texts = []
    for name, labels in groups.items():
        more = f" and {len(labels) - 3} more" if len(labels) > 3 else ""
        texts.append(f"{name}: {'; '.join(labels[:3])}{more}")
    return " — ".join(texts)
