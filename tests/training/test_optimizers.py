"""Laws of learning rates and weight decay."""

import math

import pytest
from torch import nn

from e2eve.training.optimizers import OptimizerSettings, split_for_decay
from tests.factories import tiny_editor

PUBLISHED = OptimizerSettings(4.5e-6, (0.9, 0.95), 0.01, warmup_steps=500, decay_steps=300_000)


def test_schedule_rises_linearly_then_falls_as_a_cosine():
    assert PUBLISHED.factor(0) == 0
    assert PUBLISHED.factor(250) == 250 / 499
    assert PUBLISHED.factor(499) == PUBLISHED.factor(500) == 1
    assert PUBLISHED.factor(300_000) == 0
    halfway = (500 + 300_000) // 2
    assert math.isclose(PUBLISHED.factor(halfway), 0.5, abs_tol=1e-9)


def test_without_decay_steps_the_rate_stays():
    assert OptimizerSettings(1.0).factor(10**6) == 1


@pytest.mark.parametrize("pictures", [1, 8, 96])
def test_rate_grows_with_the_pictures_a_step(pictures):
    assert PUBLISHED.learning_rate(pictures) == pytest.approx(4.5e-6 * pictures)


def test_decay_touches_matrices_of_linear_layers_only():
    gpt = tiny_editor().transformer
    decayed, rest = split_for_decay(gpt)
    matrices = {id(m.weight) for m in gpt.modules() if isinstance(m, nn.Linear)}
    assert {id(p) for p in decayed} == matrices
    assert len(decayed) + len(rest) == len(list(gpt.parameters()))
    assert id(gpt.tokens.weight) in {id(p) for p in rest}  # type: ignore[union-attr]
