"""Tests of differences are calibrated and blind to what does not matter; fronts are fronts."""

import numpy as np
import pytest
from scipy import stats

from e2eve.comparison.ranking import adjusted_pairs, pair_p_values, pareto_front


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("pooled", [True, False])
def test_for_two_configurations_it_is_the_paired_t_test(rng, pooled):
    values = rng.standard_normal((2, 6))
    expected = stats.ttest_rel(*values).pvalue
    p = pair_p_values(values, pooled)
    assert p[0, 1] == p[1, 0] == pytest.approx(expected)
    assert p[0, 0] == p[1, 1] == 1


@pytest.mark.parametrize("pooled", [True, False])
def test_what_all_configurations_of_a_block_share_changes_nothing(rng, pooled):
    values = rng.standard_normal((4, 5))
    moved = 3 * (values + 100 * rng.standard_normal(5))
    assert np.allclose(pair_p_values(moved, pooled), pair_p_values(values, pooled))


@pytest.mark.parametrize("pooled", [True, False])
def test_the_order_of_configurations_and_blocks_changes_nothing(rng, pooled):
    values = rng.standard_normal((4, 5))
    order = rng.permutation(4)
    p = pair_p_values(values[order][:, rng.permutation(5)], pooled)
    assert np.allclose(p, pair_p_values(values, pooled)[np.ix_(order, order)])


def test_the_pooled_variance_is_the_residual_of_configurations_and_blocks(rng):
    """The slow way: fit configurations and blocks by least squares."""
    values = rng.standard_normal((3, 4))
    cells, blocks = np.divmod(np.arange(12), 4)
    design = np.concatenate([np.eye(3)[cells], np.eye(4)[blocks][:, 1:]], axis=1)
    residual = values.ravel() - design @ np.linalg.lstsq(design, values.ravel(), rcond=None)[0]
    error = np.sqrt(2 * (residual**2).sum() / 6 / 4)
    t = (values[0] - values[2]).mean() / error
    assert pair_p_values(values, pooled=True)[0, 2] == pytest.approx(2 * stats.t.sf(abs(t), 6))


def test_without_any_difference_one_in_twenty_comparisons_raises_an_alarm(rng):
    """Four equal configurations over three seeds: 5 % of all sweeps, whatever pair it is."""
    alarms = 0
    for _ in range(1000):
        values = rng.standard_normal((4, 3)) + 5 * rng.standard_normal(3)
        alarms += bool((adjusted_pairs(pair_p_values(values, pooled=True)) < 0.05).any())
    assert 20 <= alarms <= 65


def test_configurations_that_agree_do_not_differ_and_constant_shifts_do():
    values = np.array([[0.1, 0.3, 0.2], [0.1, 0.3, 0.2], [1.1, 1.3, 1.2]])
    for pooled in (True, False):
        p = pair_p_values(values, pooled)
        assert p[0, 1] == 1
        assert p[0, 2] < 1e-6


@pytest.mark.parametrize("shape", [(1, 5), (5, 1)])
def test_one_configuration_or_one_block_is_refused(shape):
    with pytest.raises(ValueError, match="have no spread to test against"):
        pair_p_values(np.zeros(shape), pooled=True)


def test_holm_equals_its_definition(rng):
    """p̃_(i) = max over j ≤ i of min(1, (m − j + 1) · p_(j)), in ascending order."""
    p = np.ones((4, 4))
    pairs = np.triu_indices(4, k=1)
    p[pairs] = rng.random(6) ** 3
    ascending = sorted(p[pairs])
    expected = {
        value: max(min(1, (6 - j) * ascending[j]) for j in range(i + 1))
        for i, value in enumerate(ascending)
    }
    assert np.allclose(adjusted_pairs(p)[pairs], [expected[value] for value in p[pairs]])
    assert np.array_equal(adjusted_pairs(p[:2, :2])[0], p[0, :2])


def test_pairs_are_adjusted_for_their_number(rng):
    p = pair_p_values(rng.standard_normal((3, 4)), pooled=True)
    adjusted = adjusted_pairs(p)
    assert np.array_equal(adjusted, adjusted.T)
    smallest = p[~np.eye(3, dtype=bool)].min()
    assert adjusted.min() == pytest.approx(min(1, 3 * smallest))
    assert (adjusted >= p).all()


def test_the_front_is_what_nothing_beats(rng):
    costs = rng.integers(0, 6, (30, 2)).astype(float)
    front = pareto_front(costs)

    def beats(a, b) -> bool:
        return all(a <= b) and any(a < b)

    assert front.tolist() == [not any(beats(other, point) for other in costs) for point in costs]
    assert pareto_front(costs[front]).all()
    assert front[costs.sum(1).argmin()]


def test_points_that_are_not_measured_are_on_no_front_and_beat_nobody():
    costs = np.array([[1.0, np.nan], [2.0, 2.0], [np.nan, np.nan], [3.0, 1.0]])
    assert pareto_front(costs).tolist() == [False, True, False, True]
