"""What every metric has from its base class: order, intervals, undefined values."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from e2eve.evaluation.evaluator import build_metrics, by_key, standard_metrics
from e2eve.metrics.base import EditMetric, EvaluatedBatch, MetricInfo, margin

RECALL = {"_target_": "e2eve.metrics.recall.Recall", "k": 1}


class Given(EditMetric):
    """Values that a batch brings along."""

    info = MetricInfo("given", "Given")

    def measure(self, batch: Any) -> torch.Tensor | None:
        return batch.given


class GivenByInput(Given):
    per = "input"


class GivenRange(Given):
    per = "set"

    def summary(self, values: torch.Tensor) -> float:
        return (values.max() - values.min()).item()


def measured(metric: EditMetric, *batches: tuple[range, Any]) -> EditMetric:
    """The metric after batches of these rows and values."""
    for rows, values in batches:
        given = None if values is None else torch.tensor(values)
        batch = object.__new__(EvaluatedBatch)
        inputs, edits = SimpleNamespace(rows=rows), torch.zeros(len(rows), 2, 3, 1, 1)
        vars(batch).update(given=given, references=None, inputs=inputs, edits=edits)
        metric.update(batch)
    return metric


def test_batches_may_come_in_any_order_and_count_once():
    one = measured(GivenByInput(), (range(4), [1.0, 2.0, 3.0, 6.0]))
    first, second = (range(2), [1.0, 2.0]), (range(2, 4), [3.0, 6.0])
    many = measured(GivenByInput(), second, first, second)
    assert many.measured().equal(one.measured())  # type: ignore[arg-type, union-attr]
    assert many.compute() == one.compute() == 3
    assert measured(GivenRange(), second, first).compute() == 5


def test_samples_count_alike_and_inputs_have_their_mean():
    metric = measured(Given(), (range(2), [[True, False], [True, True]]))
    assert metric.compute() == 0.75
    assert metric.per_input().tolist() == [0.5, 1]  # type: ignore[union-attr]
    assert measured(GivenRange(), (range(1), [1.0])).per_input() is None


def test_what_is_undefined_is_left_out():
    nothing = measured(Given(), (range(2), None))
    assert torch.tensor(nothing.compute()).isnan() and nothing.per_input() is None
    assert measured(GivenByInput(), (range(2), [torch.nan, 3.0])).compute() == 3
    assert margin(torch.tensor([1.0, torch.nan, 3.0])) == pytest.approx(1.96)
    assert torch.tensor(margin(torch.tensor([1.0]))).isnan()


def test_values_are_as_many_as_the_metric_says():
    with pytest.raises(
        ValueError, match=r"shape \(3,\) for a batch of \(3, 2\): give one for each"
    ):
        measured(Given(), (range(3), [1.0, 2.0, 3.0]))


def test_keys_are_names_and_unique():
    with pytest.raises(ValueError, match='key of a metric is "a b"'):
        MetricInfo("a b", "A")
    with pytest.raises(ValueError, match='Two metrics have the key "given"'):
        by_key([Given(), Given()])
    nodes = {"r": {**RECALL}, "s": {**RECALL, "best_of_n": 0}}
    sentence = (
        r"metrics.s both have the key .* \(metrics.s.k=1, metrics.s.best_of_n=0\): leave one out"
    )
    with pytest.raises(ValueError, match=sentence):
        build_metrics(nodes)


def test_what_is_no_metric_is_named():
    sentence = r"The group metrics names fractions.Fraction, give a e2eve.*\.EditMetric"
    with pytest.raises(ValueError, match=sentence):
        build_metrics({"mine": {"_target_": "fractions.Fraction"}})
    unnamed = type("Unnamed", (Given,), {"info": None})
    with pytest.raises(ValueError, match=r"Unnamed has no info: give it one, such as info = Metr"):
        unnamed()


def test_every_standard_metric_has_a_note_and_a_format():
    infos = [metric.info for metric in standard_metrics()]
    assert len({info.key for info in infos}) == len(infos) == 38
    assert all(info.note and format(0.5, info.spec) for info in infos)
