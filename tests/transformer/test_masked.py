"""Laws of the masked family: what is hidden, what is drawn, and how likely it is."""

import itertools
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from e2eve.transformer import (
    Conditioning,
    EditTokens,
    MaskedConfig,
    MaskedSampling,
)
from e2eve.transformer.masked import halton_places
from e2eve.transformer.sampling import generator_of, gumbel, gumbel_noise
from tests.factories import CODES, conditioning_of, random_ids, sharp_masked
from tests.references.masked import slowly_drawn

LAWS: list[dict[str, Any]] = [
    {"top_p": None},
    {"passes": 3, "top_k": 5},
    {"passes": 40, "temperature": 0.8},
    {"temperature": 0.0, "passes": 4},
    {"order": "halton", "passes": 4},
    {"order": "fixed"},
    {"guidance": 2.5, "passes": 3},
    {"guidance": 0.0, "order": "halton", "preserve": "tokens"},
    {"passes": 3, "preserve": "tokens"},
]


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def regions() -> torch.Tensor:
    """A square, a single cell, and all cells of a 4 × 4 grid."""
    cells = torch.zeros(3, 4, 4, dtype=torch.bool)
    cells[0, 1:3, 2:] = cells[1, 0, 0] = cells[2] = True
    return cells.flatten(1)


def tokens() -> EditTokens:
    return EditTokens(random_ids(3, 4), random_ids(3, 16), random_ids(3, 16), regions())


@pytest.mark.parametrize("law", LAWS)
def test_decoding_many_at_once_equals_decoding_one_slowly(law):
    model, settings, edits = sharp_masked(), MaskedSampling(**law), tokens()
    given = conditioning_of(edits, settings)
    told: list[int] = []
    drawn = model.sample(
        given, num_samples=2, seeds=[5, 6, 7], settings=settings, progress=told.append
    )
    for row, number in itertools.product(range(3), range(2)):
        expected = slowly_drawn(model, given, row, 5 + row, number, settings)
        assert torch.equal(drawn[row, number], expected), (row, number)
    longest = 16 if settings.order == "fixed" else min(16, settings.passes)
    assert len(told) == longest
    assert told[-1] == 16


def test_what_lies_beyond_the_rim_keeps_the_ids_of_the_masked_source():
    model, edits = sharp_masked(), tokens()
    given = Conditioning(edits.driver_ids, edits.source_ids, edits.region_cells)
    drawn = model.sample(
        given, num_samples=3, seeds=[1, 2, 3], settings=MaskedSampling(), progress=lambda done: None
    )
    region = model.region_of(edits.region_cells)
    assert 0 < region[1].sum() == 4, "a corner and the cells around it"
    for sample in drawn.unbind(1):
        assert torch.equal(sample[~region], edits.source_ids[~region])
        assert (sample < CODES).all()


CHOICES, PAIR = 3, torch.tensor([5, 10])


def completions() -> EditTokens:
    """All ways to fill two cells of one edit."""
    filled = list(itertools.product(range(CHOICES), repeat=2))
    driver, source = torch.randint(CHOICES, (4,)), torch.randint(CHOICES, (16,))
    target = source.repeat(len(filled), 1)
    target[:, PAIR] = torch.tensor(filled)
    cells = torch.zeros_like(target, dtype=torch.bool)
    cells[:, PAIR] = True
    each = (len(filled), -1)
    return EditTokens(driver.expand(each), source.expand(each), target, cells)


def test_probabilities_of_all_edits_by_the_chain_rule_add_up_to_1():
    edits = completions()
    nll = sharp_masked(CHOICES, rim=0).chain_nll(edits)
    assert (-nll.per_token.sum(1)).exp().sum().item() == pytest.approx(1, abs=1e-5)
    assert nll.predicted is not None
    assert torch.equal(nll.predicted, edits.region_cells)


def test_one_cell_a_pass_draws_what_the_chain_rule_says():
    torch.manual_seed(3)  # weights of which this can be seen
    model, edits, count = sharp_masked(CHOICES, rim=0), completions(), 4000
    expected = (-model.chain_nll(edits).per_token.sum(1)).exp()
    independent = (-model.nll(edits).per_token.sum(1)).exp()
    assert (expected - independent).abs().max() > 0.05, "cells depend on each other"
    given = Conditioning(edits.driver_ids[:1], edits.source_ids[:1], edits.region_cells[:1])
    settings = MaskedSampling(order="fixed", top_p=None)
    drawn = model.sample(
        given, num_samples=count, seeds=[0], settings=settings, progress=lambda done: None
    )
    kinds = drawn[0][:, PAIR] @ torch.tensor([CHOICES, 1])
    found = torch.bincount(kinds, minlength=len(expected)) / count
    error = (expected * (1 - expected) / count).sqrt()
    assert ((found - expected).abs() < 4 * error + 1e-3).all()


def test_evaluation_hides_the_whole_region_and_training_a_share_of_it():
    model, edits = sharp_masked(), tokens()
    region = model.region_of(edits.region_cells)
    once, again = model.nll(edits), model.nll(edits)
    assert torch.equal(once.per_token, again.per_token)
    assert once.predicted is not None
    assert torch.equal(once.predicted, region)
    logits = model.logits(edits).transpose(1, 2)
    expected = F.cross_entropy(logits, edits.target_ids, reduction="none")
    torch.testing.assert_close(once.per_token[region], expected[region])
    model.train()
    many = EditTokens._make(part[2:].expand(500, -1) for part in edits)
    hidden = model.nll(many).predicted
    assert hidden is not None
    counts = hidden.sum(1)
    assert counts.min() >= 1
    assert counts.float().mean().item() / 16 == pytest.approx(2 / math.pi, abs=0.07)
    assert (hidden.float().mean(0) > 0.5).all(), "each cell in its turn"


def test_a_hidden_cell_is_predicted_from_all_that_is_seen_and_from_no_hidden_id():
    """Shown by changing ids, with half of the region revealed."""
    model = sharp_masked()
    region = torch.ones(1, 16, dtype=torch.bool)
    seen = [random_ids(1, 4), random_ids(1, 16).masked_fill(torch.arange(16) % 2 == 0, CODES)]
    before = model(*seen, region)
    for part, place in ((0, 0), (0, 3), (1, 1), (1, 15)):
        changed = [ids.clone() for ids in seen]
        changed[part][0, place] = (changed[part][0, place] + 1) % CODES
        assert not torch.allclose(model(*changed, region)[0, 0], before[0, 0])


def test_the_halton_order_visits_each_cell_once_and_all_quarters_first():
    places = halton_places(4)
    assert sorted(places.tolist()) == list(range(16))
    quarters = places.view(2, 2, 2, 2).permute(0, 2, 1, 3).flatten(2).amin(2)
    assert quarters.max() < 6


def test_noise_is_drawn_from_a_sample_s_own_generator():
    assert torch.equal(gumbel(generator_of(3, 1), 4, 5), gumbel_noise(3, 1, 4, 5))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"passes": 0}, "passes is 0: decode in at least 1 pass"),
        ({"order": "spiral"}, 'order is "spiral": use one of "confidence", "halton", "fixed"'),
        ({"choice_temperature": -1}, r"choice_temperature is -1: use 0 \(no noise\) or more"),
    ],
)
def test_settings_out_of_range_are_one_sentence(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        MaskedSampling(**settings)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"rim": -1}, "rim is -1: use 0 or more cells"),
        ({"driver_dropout": 1.0}, "driver_dropout is 1.0: use a share from 0 to below 1"),
        ({"width": 30, "heads": 4}, "width 30 cannot be shared by 4 heads"),
    ],
)
def test_configs_out_of_range_are_one_sentence(config, sentence):
    with pytest.raises(ValueError, match=sentence):
        MaskedConfig(**config)
