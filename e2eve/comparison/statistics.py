"""Which differences are more than chance, and which points nothing else beats."""

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats


def pair_p_values(
    values: Float[np.ndarray, "cells blocks"], pooled: bool
) -> Float[np.ndarray, "cells cells"]:
    """Two-sided p of every pair of cells that were measured in the same blocks (seeds, inputs).

    With d_b = x_ib − x_jb, C cells and B blocks, t = mean(d) / √(s² / B), where s² is the variance
    of the d_b with B − 1 degrees of freedom, or, pooled, twice the residual variance of

        x_ib = cell i + block b + residual

    with (C − 1)(B − 1) degrees of freedom: it takes the spread to be the same in all cells, and
    finds more where blocks are few. For two cells both are the paired t-test.

    Raises:
        ValueError: with fewer than two cells or two blocks.
    """
    cells, blocks = values.shape
    if cells < 2 or blocks < 2:
        raise ValueError(
            f"{cells} cells in {blocks} blocks have no spread to test against, give two of each."
        )
    differences = values[:, None] - values[None, :]
    if pooled:
        centred = values - values.mean(1, keepdims=True) - values.mean(0) + values.mean()
        freedom = (cells - 1) * (blocks - 1)
        variance = np.full((cells, cells), 2 * (centred**2).sum() / freedom)
    else:
        freedom = blocks - 1
        variance = differences.var(axis=2, ddof=1)
    means = np.abs(differences.mean(2))
    error = np.sqrt(variance / blocks)
    alike = means <= 1e-12 * np.abs(values).max()  # apart by rounding at most
    with np.errstate(divide="ignore", invalid="ignore"):
        p = 2 * stats.t.sf(means / error, freedom)
    return np.where(alike, 1.0, p)


def holm(p_values: Float[np.ndarray, " tests"]) -> Float[np.ndarray, " tests"]:
    """Adjusted so that 5 % is the chance of any false alarm among all tests (Holm 1979).

    In ascending order, p̃_(i) = max over j ≤ i of min(1, (m − j + 1) · p_(j)).
    """
    order = np.argsort(p_values, kind="stable")
    steps = np.minimum(1, np.arange(len(p_values), 0, -1) * p_values[order])
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.maximum.accumulate(steps)
    return adjusted


def adjusted_pairs(p: Float[np.ndarray, "cells cells"]) -> Float[np.ndarray, "cells cells"]:
    """Holm's adjustment over all pairs: the best cell is known from the same numbers only."""
    rows, columns = np.triu_indices(len(p), k=1)
    adjusted = np.ones_like(p)
    adjusted[rows, columns] = adjusted[columns, rows] = holm(p[rows, columns])
    return adjusted


def pareto_front(costs: Float[np.ndarray, "points costs"]) -> Bool[np.ndarray, " points"]:
    """Points that no other is at least as good as in every cost and better in one.

    Less is better; a point with an undefined cost is not on the front and beats none.
    """
    as_good = (costs[:, None] <= costs[None, :]).all(2)
    better = (costs[:, None] < costs[None, :]).any(2)
    return ~(as_good & better).any(0) & np.isfinite(costs).all(1)
