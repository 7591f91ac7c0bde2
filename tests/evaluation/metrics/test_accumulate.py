"""Batches and processes add up to the whole; an empty run has no result."""

import pytest
import torch

from e2eve.evaluation.metrics.accumulate import Collection, Mean, Recall


@pytest.mark.parametrize("metric_class", [Mean, Collection, Recall])
def test_batches_and_processes_give_what_one_batch_gives(metric_class):
    values = torch.arange(1.0, 8.0)
    whole, first, second = metric_class(), metric_class(), metric_class()
    whole.update(values)
    for metric, part in ((first, values[:2]), (first, values[2:3]), (second, values[3:])):
        metric.update(part)
    first.merge_state(second)
    assert torch.as_tensor(
        [first.compute() == whole.compute()]
        if metric_class is Recall
        else first.compute() == whole.compute()
    ).all()


def test_mean_is_weighted_and_does_not_look_at_weight_zero():
    mean = Mean()
    mean.update(torch.tensor([1.0, 4.0, torch.nan]), torch.tensor([2.0, 1.0, 0.0]))
    assert mean.compute() == 2
    mean.update(torch.tensor([torch.nan]))
    assert mean.compute().isnan()


def test_recall_is_by_k():
    recall = Recall(ks=(1, 3))
    recall.update(torch.tensor([1, 2, 3, 4]))
    assert recall.compute() == {1: 0.25, 3: 0.75}


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
@pytest.mark.parametrize("metric_class", [Mean, Collection, Recall])
def test_an_empty_run_is_refused(metric_class):
    with pytest.raises(ValueError, match=f"{metric_class.__name__} has seen no values"):
        metric_class().compute()
