"""Only what was measured alike is ranked, and what is not is said."""

import math

import numpy as np
import pytest
from scipy import stats

from e2eve.comparison.comparison import Comparison, compare
from e2eve.comparison.findings import highlights, protocols
from e2eve.comparison.measures import Measure
from tests.comparison.factories import Made, sweep, write_run

TOKENIZERS = {"tokenizer": ["separate", "shared"]}


def measure(comparison: Comparison, key: str) -> Measure:
    return next(measure for measure in comparison.measures if measure.key == key)


@pytest.fixture(scope="module")
def three_cells(tmp_path_factory) -> Comparison:
    folder = tmp_path_factory.mktemp("three") / "sweep"
    return compare([sweep(folder, {"edit_simulation": ["block", "brush", "free_form"]})])


@pytest.fixture(scope="module")
def one_seed(tmp_path_factory) -> Comparison:
    return compare([sweep(tmp_path_factory.mktemp("one") / "sweep", TOKENIZERS, seeds=(0,))])


def test_the_best_follows_the_direction_of_the_measure(three_cells):
    for key in ("recall_20", "nll_right_inside", "outside_ratio"):
        found = measure(three_cells, key)
        means = [cell.mean(key) for cell in three_cells.cells]
        best = means.index(max(means) if found.best == "high" else min(means))
        marks = three_cells.ranking.marks(found)
        assert [place for place, mark in marks.items() if mark.best] == [best]
        assert not marks[best].worse


def test_over_seeds_differences_are_tested_with_seeds_as_blocks(three_cells):
    ranking, nll = three_cells.ranking, measure(three_cells, "nll_right_inside")
    assert ranking.over_seeds and "over the same seeds" in ranking.test
    expected = np.array([cell.values("nll_right_inside") for cell in three_cells.cells])
    assert np.array_equal(ranking.blocks(nll), expected)
    assert ranking.marks(nll)[0].worse  # far apart in the made-up runs


def test_with_one_seed_differences_are_tested_over_inputs(one_seed):
    ranking, nll = one_seed.ranking, measure(one_seed, "nll_right_inside")
    assert not ranking.over_seeds and "says nothing of another training" in ranking.test
    left, right = (cell.results[0].column("nll_right_inside") for cell in one_seed.cells)
    assert left.keys() == right.keys()
    expected = stats.ttest_rel(list(left.values()), [right[name] for name in left]).pvalue
    assert ranking.marks(nll)[0].p == pytest.approx(expected)


def test_distances_of_sets_are_ranked_and_not_tested_with_one_seed(one_seed):
    marks = one_seed.ranking.marks(measure(one_seed, "frechet"))
    assert sum(mark.best for mark in marks.values()) == 1
    assert all(mark.p is None and not mark.worse for mark in marks.values())


def test_what_has_no_better_end_is_not_ranked(three_cells):
    assert not three_cells.ranking.marks(measure(three_cells, "diversity"))


def test_different_validation_sets_are_not_ranked(tmp_path):
    write_run(tmp_path / "a", Made({"tokenizer": "shared"}))
    write_run(tmp_path / "b", Made({"tokenizer": "separate"}, validation_hash="cd" * 32))
    comparison = compare([tmp_path])
    (refusal,) = comparison.ranking.refusals
    assert "abababababab" in refusal and "cdcdcdcdcdcd" in refusal and "evaluation=NAME" in refusal
    assert comparison.ranking.ranked == ()
    assert not any(comparison.ranking.marks(m) for m in comparison.measures)
    assert not comparison.ranking.front(comparison.measures[:1]).any()
    assert highlights(comparison.ranking, comparison.measures) == []
    sets = next(row for row in protocols(comparison.cells) if row["fact"] == "its sha256")
    assert {sets["p0"], sets["p1"]} == {"ab" * 32, "cd" * 32}


def test_different_seeds_are_not_ranked(tmp_path):
    sweep(tmp_path / "s", TOKENIZERS)
    write_run(tmp_path / "s" / "more", Made({"tokenizer": "shared"}, seed=3))
    comparison = compare([tmp_path])
    (refusal,) = comparison.ranking.refusals
    assert "seeds 0, 1, 2: tokenizer=separate" in refusal
    assert "seeds 0, 1, 2, 3: tokenizer=shared" in refusal
    assert comparison.ranking.ranked == ()


def test_the_odd_one_out_is_named_and_the_majority_ranked(tmp_path):
    sweep(tmp_path / "s", {"edit_simulation": ["block", "brush"]})
    write_run(tmp_path / "s" / "odd", Made({"edit_simulation": "zigzag"}, seed=0, skill=9))
    comparison = compare([tmp_path])
    (refusal,) = comparison.ranking.refusals
    assert refusal.startswith("**edit_simulation=zigzag is not ranked**: it has results of seed 0")
    assert comparison.ranking.ranked == (0, 1)
    marks = comparison.ranking.marks(measure(comparison, "recall_5"))
    assert marks.keys() == {0, 1}


def test_seeds_with_validation_sets_of_their_own_are_paired_seed_by_seed(tmp_path):
    for tokenizer in TOKENIZERS["tokenizer"]:
        for seed, digest in enumerate(("ab" * 32, "cd" * 32)):
            made = Made({"tokenizer": tokenizer}, seed, validation_hash=digest)
            write_run(tmp_path / f"{tokenizer}{seed}", made)
    assert compare([tmp_path]).ranking.ranked == (0, 1)


def test_likelihoods_are_not_ranked_between_source_tokenizers(tmp_path):
    """A nat a token says nothing between two vocabularies."""
    for tokenizer in ("a", "b"):
        write_run(tmp_path / tokenizer, Made(overrides={"tokenizer.source": tokenizer}))
    comparison = compare([tmp_path])
    nll, recall = measure(comparison, "nll_right_inside"), measure(comparison, "recall_5")
    assert comparison.ranking.refusal(nll) == "not ranked: tokenizer.source differs"
    assert not comparison.ranking.marks(nll) and comparison.ranking.marks(recall)


def test_kept_samples_are_not_ranked_between_numbers_of_samples(tmp_path):
    for samples in (2, 4):
        overrides = {"evaluation.num_samples": samples}
        write_run(tmp_path / f"{samples}", Made(samples=samples, overrides=overrides))
    comparison = compare([tmp_path])
    assert not comparison.ranking.marks(measure(comparison, "recall_5_kept"))
    assert comparison.ranking.marks(measure(comparison, "recall_5"))


def test_the_front_trades_naturalness_for_faithfulness(tmp_path):
    abilities = {"a": (0.9, 0.0), "b": (0.0, 0.9), "c": (0.0, -0.9)}
    for name, (skill, naturalness) in abilities.items():
        made = Made({"tokenizer": name}, skill=skill, naturalness=naturalness)
        write_run(tmp_path / name, made)
    comparison = compare([tmp_path])
    pair = [measure(comparison, key) for key in ("frechet_region", "recall_20")]
    assert comparison.ranking.front(pair).tolist() == [True, True, False]


def test_findings_claim_no_more_than_the_tests_show(three_cells, one_seed):
    for comparison in (three_cells, one_seed):
        for highlight in highlights(comparison.ranking, comparison.measures):
            heading = highlight.label.partition(":")[0]
            found = next(m for m in comparison.measures if m.heading == heading)
            marks = comparison.ranking.marks(found)
            worse = sum(mark.worse for mark in marks.values())
            others = len(marks) - 1
            if any(mark.p is None for mark in marks.values()):
                assert "not tested" in highlight.note
            elif worse == 0:
                assert "no difference to any other cell" in highlight.note
            else:
                claim = {others: "Better than"}.get(worse, f"Better than {worse} of {others}")
                assert highlight.note.startswith(claim)


def test_a_single_cell_has_numbers_and_no_ranks(tmp_path):
    comparison = compare([sweep(tmp_path / "s", {"tokenizer": ["shared"]})])
    assert math.isfinite(comparison.cells[0].mean("recall_5"))
    assert not comparison.ranking.marks(measure(comparison, "recall_5"))


def test_losses_of_editors_that_bring_other_tokenizers_are_not_ranked(tmp_path):
    for editor in ("a", "b"):
        made = Made(task="evaluation", overrides={"init_from": f"converted/{editor}"})
        write_run(tmp_path / editor, made)
    comparison = compare([tmp_path])
    refusals = {m.key: comparison.ranking.refusal(m) for m in comparison.measures}
    assert refusals["nll_right_inside"] == "not ranked: tokenizer.source differs"
    assert refusals["recall_5"] == ""
