"""Which configurations may be compared, which differences are more than chance, what is best."""

import gc
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats

from e2eve.comparison.runs import Configuration

LEVEL = 0.05  # adjusted p below which a difference is called one

OVER_SEEDS = (
    "t-tests over the same seeds in all configurations (spread pooled, Holm-adjusted for all "
    "pairs). They ask whether other seeds, on these inputs, would tell the configurations apart"
)
OVER_INPUTS = (
    "paired t-tests over the same inputs (Holm-adjusted for all pairs). They ask whether other "
    "inputs would tell these very training runs apart: one seed per configuration says nothing "
    "about another training run"
)


class Terms(NamedTuple):
    """What two configurations must share for their numbers to be compared, seed by seed."""

    validation: tuple[str, ...]  # hash of each run's validation set
    seeds: tuple[object, ...]

    @property
    def hashes(self) -> str:
        return "sha256 " + ", ".join(f"{value[:12]}…" for value in dict.fromkeys(self.validation))

    @property
    def named_seeds(self) -> str:
        return f"seed{'s' if len(self.seeds) != 1 else ''} {', '.join(map(str, self.seeds))}"


def comparable(
    configurations: Sequence[Configuration],
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Places of the configurations that are ranked, and sentences why others are not.

    Ranked are those that more than half of those with results share their terms with; without
    such a majority none.
    """
    terms = {
        n: Terms(tuple(r.about["validation_hash"] for r in one.results), one.seeds)
        for n, one in enumerate(configurations)
        if one.results
    }
    (common, count), *_ = Counter(terms.values()).most_common() or [(Terms((), ()), 0)]
    if count == len(terms):
        return tuple(terms), ()
    labels = [one.label for one in configurations]
    if 2 * count <= len(terms) or count < 2:
        return (), _why_nothing({labels[n]: own for n, own in terms.items()})
    odd = {n: own for n, own in terms.items() if own != common}
    refusals = tuple(_why_not(labels[n], own, common) for n, own in odd.items())
    return tuple(n for n in terms if n not in odd), refusals


# Sentences with the labels of the configurations that have the same terms.
def _why_nothing(terms: dict[str, Terms]) -> tuple[str, ...]:
    by_hash = _named([(own.hashes, label) for label, own in terms.items()])
    by_seeds = _named([(own.named_seeds, label) for label, own in terms.items()])
    inputs = (
        "**Nothing is ranked: the configurations were measured on different inputs** "
        f"({' — '.join(by_hash)}). Measure every run on the same validation set, "
        "`python -m e2eve.evaluate run=… validation_set=FOLDER`, and give the folder's name here "
        "as `evaluated_on=NAME`."
    )
    seeds = (
        "**Nothing is ranked: the configurations have results of different seeds** "
        f"({' — '.join(by_seeds)}). Finish the missing runs."
    )
    return tuple(t for t, groups in ((inputs, by_hash), (seeds, by_seeds)) if len(groups) > 1)


# Each first of the pairs with at most three of its seconds.
def _named(pairs: Sequence[tuple[str, str]]) -> list[str]:
    texts = []
    for name in dict.fromkeys(name for name, _ in pairs):
        labels = [label for other, label in pairs if other == name]
        more = f" and {len(labels) - 3} more" if len(labels) > 3 else ""
        texts.append(f"{name}: {'; '.join(labels[:3])}{more}")
    return texts


def _why_not(label: str, own: Terms, common: Terms) -> str:
    reasons = []
    if own.seeds == common.seeds or set(own.validation) != set(common.validation):
        reasons.append(f"measured on {own.hashes}, the others on {common.hashes}")
    if own.seeds != common.seeds:
        reasons.append(f"it has results of {own.named_seeds}, the others of {common.named_seeds}")
    return f"**{label} is not ranked**: {'; '.join(reasons)}."


def pair_p_values(
    values: Float[np.ndarray, "configurations blocks"], pooled: bool
) -> Float[np.ndarray, "configurations configurations"]:
    """Two-sided p of every pair of configurations measured in the same blocks (seeds, inputs).

    With d_b = x_ib − x_jb, C configurations and B blocks, t = mean(d) / √(s² / B), where s² is the
    variance of the d_b with B − 1 degrees of freedom, or, pooled, twice the residual variance of

        x_ib = configuration i + block b + residual

    with (C − 1)(B − 1) degrees of freedom: it takes the spread to be the same in all
    configurations, and finds more where blocks are few. For two both are the paired t-test.

    Raises ValueError with fewer than two configurations or two blocks.
    """
    count, blocks = values.shape
    if count < 2 or blocks < 2:
        raise ValueError(
            f"{count} configurations in {blocks} blocks have no spread to test against, give two "
            "of each."
        )
    differences = values[:, None] - values[None, :]
    if pooled:
        centred = values - values.mean(1, keepdims=True) - values.mean(0) + values.mean()
        freedom = (count - 1) * (blocks - 1)
        variance = np.full((count, count), 2 * (centred**2).sum() / freedom)
    else:
        freedom = blocks - 1
        variance = differences.var(axis=2, ddof=1)
    means = np.abs(differences.mean(2))
    error = np.sqrt(variance / blocks)
    alike = means <= 1e-12 * np.abs(values).max()  # apart by rounding at most
    with np.errstate(divide="ignore", invalid="ignore"):
        p = 2 * stats.t.sf(means / error, freedom)
    return np.where(alike, 1.0, p)


def adjusted_pairs(
    p: Float[np.ndarray, "configurations configurations"],
) -> Float[np.ndarray, "configurations configurations"]:
    """Holm's adjustment over all pairs: the best one is known from the same numbers only.

    It keeps the chance of any false alarm among all pairs at 5 % (Holm 1979).
    """
    from statsmodels.stats.multitest import multipletests  # takes a second

    pairs = np.triu_indices(len(p), k=1)
    adjusted = np.ones_like(p)
    gc.freeze()  # it collects garbage, which takes a quarter of a second where much is alive
    adjusted[pairs] = multipletests(p[pairs], method="holm")[1]
    gc.unfreeze()
    return np.minimum(adjusted, adjusted.T)


def pareto_front(costs: Float[np.ndarray, "points costs"]) -> Bool[np.ndarray, " points"]:
    """Points that no other is at least as good as in every cost and better in one.

    Less is better; a point with an undefined cost is not on the front and beats none.
    """
    as_good = (costs[:, None] <= costs[None, :]).all(2)
    better = (costs[:, None] < costs[None, :]).any(2)
    return ~(as_good & better).any(0) & np.isfinite(costs).all(1)
