"""Only what was measured alike is ranked, and what is not is said."""

import math

import numpy as np
import pytest
from scipy import stats

from e2eve.comparison.comparison import Comparison, compare, highlights, protocols
from e2eve.metrics.info import MetricInfo
from tests.comparison.factories import Made, sweep, write_run

TOKENIZERS = {"tokenizer": ["separate", "shared"]}


def info(comparison: Comparison, key: str) -> MetricInfo:
    return next(metric for metric in comparison.metrics if metric.key == key)


def marks(comparison: Comparison, key: str):
    """The summary of the ranked configurations; empty where the metric is not ranked."""
    rows = comparison.of(key).loc[list(comparison.ranked)]
    return rows if rows["best"].any() else rows.iloc[:0]


@pytest.fixture(scope="module")
def three(tmp_path_factory) -> Comparison:
    folder = tmp_path_factory.mktemp("three") / "sweep"
    return compare([sweep(folder, {"edit_simulation": ["block", "brush", "free_form"]})])


@pytest.fixture(scope="module")
def one_seed(tmp_path_factory) -> Comparison:
    return compare([sweep(tmp_path_factory.mktemp("one") / "sweep", TOKENIZERS, seeds=(0,))])


def test_the_best_follows_the_direction_of_the_metric(three):
    for key in ("recall_20", "nll_inside", "outside_ratio"):
        means = three.of(key)["mean"].tolist()
        best = means.index(max(means) if info(three, key).best == "high" else min(means))
        found = marks(three, key)
        assert found.index[found["best"]].tolist() == [best]
        assert not found["worse"][best]


def test_over_seeds_differences_are_tested_with_seeds_as_blocks(three):
    assert three.over_seeds and "over the same seeds" in three.test
    expected = [[r.means["nll_inside"] for r in one.results] for one in three.configurations]
    assert np.array_equal(three.blocks("nll_inside"), expected)
    assert marks(three, "nll_inside")["worse"][0]  # far apart in the made-up runs


def test_with_one_seed_differences_are_tested_over_inputs(one_seed):
    assert not one_seed.over_seeds and "says nothing about another" in one_seed.test
    left, right = (one.results[0].column("nll_inside") for one in one_seed.configurations)
    assert left.keys() == right.keys()
    expected = stats.ttest_rel(list(left.values()), [right[name] for name in left]).pvalue
    assert marks(one_seed, "nll_inside")["p"][0] == pytest.approx(expected)


def test_distances_of_sets_are_ranked_and_not_tested_with_one_seed(one_seed):
    found = marks(one_seed, "frechet")
    assert found["best"].sum() == 1
    assert found["p"].isna().all() and not found["worse"].any()


def test_what_has_no_better_end_is_not_ranked(three):
    assert marks(three, "diversity").empty


def test_different_validation_sets_are_not_ranked(tmp_path):
    write_run(tmp_path / "a", Made({"tokenizer": "shared"}))
    write_run(tmp_path / "b", Made({"tokenizer": "separate"}, validation_hash="cd" * 32))
    comparison = compare([tmp_path])
    (refusal,) = comparison.refusals
    assert (
        "abababababab" in refusal and "cdcdcdcdcdcd" in refusal and "evaluated_on=NAME" in refusal
    )
    assert comparison.ranked == ()
    assert not comparison.summary["best"].any()
    assert comparison.front(*comparison.metrics[:2]) == []
    assert highlights(comparison) == []
    assert set(protocols(comparison).loc["its sha256"]) == {"ab" * 32, "cd" * 32}


def test_different_seeds_are_not_ranked(tmp_path):
    sweep(tmp_path / "s", TOKENIZERS)
    write_run(tmp_path / "s" / "more", Made({"tokenizer": "shared"}, seed=3))
    comparison = compare([tmp_path])
    (refusal,) = comparison.refusals
    assert "seeds 0, 1, 2: tokenizer=separate" in refusal
    assert "seeds 0, 1, 2, 3: tokenizer=shared" in refusal
    assert comparison.ranked == ()


def test_the_odd_one_out_is_named_and_the_majority_ranked(tmp_path):
    sweep(tmp_path / "s", {"edit_simulation": ["block", "brush"]})
    write_run(tmp_path / "s" / "odd", Made({"edit_simulation": "zigzag"}, seed=0, skill=9))
    comparison = compare([tmp_path])
    (refusal,) = comparison.refusals
    assert refusal.startswith("**edit_simulation=zigzag is not ranked**: it has results of seed 0")
    assert comparison.ranked == (0, 1)
    assert marks(comparison, "recall_5").index.tolist() == [0, 1]


def test_seeds_with_validation_sets_of_their_own_are_paired_seed_by_seed(tmp_path):
    for tokenizer in TOKENIZERS["tokenizer"]:
        for seed, digest in enumerate(("ab" * 32, "cd" * 32)):
            made = Made({"tokenizer": tokenizer}, seed, validation_hash=digest)
            write_run(tmp_path / f"{tokenizer}{seed}", made)
    assert compare([tmp_path]).ranked == (0, 1)


def test_likelihoods_are_not_ranked_between_source_tokenizers(tmp_path):
    """Nats per token say nothing between two vocabularies."""
    for tokenizer in ("a", "b"):
        write_run(tmp_path / tokenizer, Made(overrides={"tokenizer.source": tokenizer}))
    comparison = compare([tmp_path])
    assert comparison.unranked["nll_inside"] == "not ranked: tokenizer.source differs"
    assert marks(comparison, "nll_inside").empty and len(marks(comparison, "recall_5"))


@pytest.mark.parametrize("name", ["_target_", "targets", "rim"])
def test_likelihoods_are_not_ranked_between_what_predicts_other_things(tmp_path, name):
    """Token models of other families, or of other cells; drivers are shown by all of them."""
    for value in ("a", "b"):
        write_run(tmp_path / value, Made(overrides={f"transformer.{name}": value}))
    comparison = compare([tmp_path])
    for key in ("nll_inside", "nll_gap"):
        assert comparison.unranked[key] == f"not ranked: transformer.{name} differs"
    assert marks(comparison, "nll_inside").empty and len(marks(comparison, "recall_5"))


def test_best_samples_are_not_ranked_between_numbers_of_samples(tmp_path):
    for samples in (2, 4):
        overrides = {"evaluation.num_samples": samples}
        write_run(tmp_path / f"{samples}", Made(samples=samples, overrides=overrides))
    comparison = compare([tmp_path])
    assert marks(comparison, "recall_5_best_of_n").empty
    assert len(marks(comparison, "recall_5"))


def test_the_front_trades_naturalness_for_faithfulness(tmp_path):
    abilities = {"a": (0.9, 0.0), "b": (0.0, 0.9), "c": (0.0, -0.9)}
    for name, (skill, naturalness) in abilities.items():
        made = Made({"tokenizer": name}, skill=skill, naturalness=naturalness)
        write_run(tmp_path / name, made)
    comparison = compare([tmp_path])
    pair = [info(comparison, key) for key in ("frechet_region", "recall_20")]
    assert comparison.front(*pair) == [0, 1]


def test_findings_claim_no_more_than_the_tests_show(three, one_seed):
    for comparison in (three, one_seed):
        for highlight in highlights(comparison):
            label = highlight.label.partition(":")[0]
            key = next(metric.key for metric in comparison.metrics if metric.label == label)
            worse, others = marks(comparison, key)["worse"].sum(), len(comparison.ranked) - 1
            if marks(comparison, key)["p"].isna().any():
                assert "not tested" in highlight.note
            elif worse == 0:
                assert "no difference to any other" in highlight.note
            else:
                claim = {others: "Better than"}.get(worse, f"Better than {worse} of {others}")
                assert highlight.note.startswith(claim)


def test_a_single_configuration_has_numbers_and_no_ranks(tmp_path):
    comparison = compare([sweep(tmp_path / "s", {"tokenizer": ["shared"]})])
    assert math.isfinite(comparison.of("recall_5")["mean"][0])
    assert marks(comparison, "recall_5").empty


def test_losses_of_editors_that_bring_other_tokenizers_are_not_ranked(tmp_path):
    for editor in ("a", "b"):
        made = Made(task="evaluation", overrides={"init_from": f"converted/{editor}"})
        write_run(tmp_path / editor, made)
    comparison = compare([tmp_path])
    assert comparison.unranked["nll_inside"] == "not ranked: tokenizer.source differs"
    assert "recall_5" not in comparison.unranked


def test_metrics_of_other_packages_are_compared_by_what_the_evaluation_says_of_them(tmp_path):
    sharper = MetricInfo("sharpness", "Sharpness", "dB", "high", ".1f", "sharpness", shown=True)
    for number, value in enumerate((3.0, 5.0)):
        made = Made({"tokenizer": f"{number}"}, foreign={sharper: value})
        write_run(tmp_path / f"{number}", made)
    write_run(tmp_path / "without", Made({"tokenizer": "2"}))
    comparison = compare([tmp_path])
    assert info(comparison, "sharpness") == sharper
    assert comparison.of("sharpness")["text"].tolist() == ["3.0", "5.0", "–"]
    assert not comparison.of("sharpness")["best"].any()  # one lacks it
    comparison = compare([tmp_path / "0", tmp_path / "1"])
    assert comparison.of("sharpness")["best"].tolist() == [False, True]
    assert ("5.0", "Sharpness: 1") in [found[:2] for found in highlights(comparison)]


def test_results_of_both_formats_are_compared_and_alike(tmp_path):
    for number in (1, 2):
        sweep(tmp_path / f"{number}", TOKENIZERS, format=number)
    one, two = (compare([tmp_path / f"{number}"]) for number in (1, 2))
    assert one.metrics == two.metrics
    assert one.summary.equals(two.summary)
