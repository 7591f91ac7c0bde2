"""References compute the same as the fast ways: ids, losses, metrics, distributions of edits."""

from functools import partial

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp

from e2eve.benchmarks import parts
from e2eve.benchmarks.setting import Setting
from e2eve.edit_simulation import Block, CentreView, DriverCrop, EditSimulation, FreeForm
from e2eve.metrics.feature_distances import frechet_distance, kernel_distance
from e2eve.transformer import GPT
from scripts.benchmark_references import REFERENCES, loss_curves
from tests.factories import random_ids, random_images, tiny_editor, tiny_tokenizer
from tests.references import edits, metrics, networks

TINY = Setting("tiny", batch=2)


@pytest.mark.parametrize("changes", [{}, {"attention_levels": 2}, {"patch": 1}])
def test_tokenizers_give_the_same_ids_and_images(changes):
    tokenizer = tiny_tokenizer(**changes).double()
    images = random_images(3).double()
    with torch.no_grad():
        ids = networks.encode(tokenizer, images)
        assert torch.equal(tokenizer.encode(images), ids)
        torch.testing.assert_close(
            tokenizer.decode(ids), networks.decode(tokenizer, ids), rtol=1e-9, atol=1e-9
        )


def test_logits_are_the_same():
    editor = tiny_editor()
    assert isinstance(editor.transformer, GPT)
    ids = random_ids(2, 4), random_ids(2, 16), random_ids(2, 16)
    with torch.no_grad():
        reference = networks.all_logits(editor.transformer, torch.cat(ids, 1))[:, 19:-1]
        torch.testing.assert_close(editor.logits(*ids), reference)


def test_both_ways_to_train_have_the_same_losses():
    curves = loss_curves(TINY, steps=20)
    assert curves["reference"][-1] < curves["reference"][0], "something is learnt"
    assert curves["e2eve"] == pytest.approx(curves["reference"], rel=1e-4)


def test_metrics_are_the_same_to_a_millionth(monkeypatch):
    """But for the kernel distance, which triples the rounding of a network's features."""
    monkeypatch.setattr(parts, "REFERENCES", 24)
    monkeypatch.setattr(parts, "DISTRACTORS", 22)
    setting = Setting("tiny", batch=3, rounds=1)
    reference, ours = REFERENCES["metrics"](setting, parts.metrics(setting)).variants
    found = ours.run()
    for name, value in reference.run().items():
        close = 1e-5 if name.startswith("kernel") else 1e-6
        assert found[name] == pytest.approx(value, rel=close, abs=close), name


def test_distances_of_the_same_features_are_the_same_to_a_millionth():
    a, b = torch.randn(20, 12), torch.randn(30, 12) + 0.2
    for ours in (frechet_distance, kernel_distance):
        reference = getattr(metrics, ours.__name__)
        assert ours(a, b) == pytest.approx(reference(a, b), rel=1e-6)


def placements(place, count: int) -> np.ndarray:
    """Area and extent of regions, and side of drivers, a row each."""
    found = [place() for _ in range(count)]
    return np.array(
        [
            [p.region.mask.sum(), p.region.box.width, p.region.box.height, p.driver_box.width]
            for p in found
        ]
    ).T


def simulation(region, alpha: float) -> EditSimulation:
    return EditSimulation(64, 32, CentreView(), region, DriverCrop(alpha, 1.0))


@pytest.mark.parametrize(
    ("region", "alpha"), [(FreeForm(), 1.0), (FreeForm(), 0.5), (Block(), 0.5)]
)
def test_regions_and_drivers_have_the_distribution_of_the_reference(region, alpha):
    simulated = simulation(region, alpha)
    ours = placements(partial(simulated.place, np.random.default_rng(0)), 300)
    reference = placements(partial(edits.place, simulated, np.random.default_rng(1)), 300)
    for mine, theirs in zip(ours, reference, strict=True):
        assert ks_2samp(mine, theirs).pvalue > 1e-3


def test_another_distribution_of_regions_would_be_noticed():
    ours = placements(partial(simulation(FreeForm(), 1.0).place, np.random.default_rng(0)), 300)
    smaller = simulation(FreeForm(max_area=0.45), 1.0)
    other = placements(partial(smaller.place, np.random.default_rng(1)), 300)
    assert all(ks_2samp(a, b).pvalue < 1e-3 for a, b in zip(ours, other, strict=True))
