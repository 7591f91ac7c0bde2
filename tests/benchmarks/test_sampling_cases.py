"""The plain ways to sample are what they say, and every case runs."""

import pytest
import torch

from e2eve.benchmarks import sampling_cases
from e2eve.benchmarks.gpt2 import as_gpt2, generate
from e2eve.benchmarks.reference_sampling import filter_logits
from e2eve.benchmarks.sampling_cases import (
    engine_cases,
    gpt2_cases,
    loss_at,
    pass_cases,
    plain_cases,
)
from e2eve.transformer import GPT, GPTConfig, GPTSampling, SequenceLayout
from tests.factories import random_ids

LAYOUT = SequenceLayout(driver=4, source=16)


@pytest.fixture
def gpt() -> GPT:
    return GPT(GPTConfig(layers=2, heads=2, width=16, codebook_size=32), LAYOUT).eval()


def test_filters_work_on_each_row_by_itself():
    logits = torch.randn(6, 20) * 4
    settings = GPTSampling(top_k=7, top_p=0.8)
    rows = torch.cat([filter_logits(row[None], settings) for row in logits])
    assert torch.equal(filter_logits(logits, settings), rows)


def test_top_k_keeps_the_k_likeliest():
    kept = filter_logits(torch.randn(5, 20), GPTSampling(top_k=3, top_p=None)).isfinite()
    assert (kept.sum(1) == 3).all()


@pytest.mark.parametrize("top_p", [0.1, 0.5, 0.9, 1.0])
def test_top_p_keeps_the_smallest_set_that_reaches_it(top_p):
    logits = torch.randn(8, 20) * 2
    kept = filter_logits(logits, GPTSampling(top_p=top_p)).isfinite()
    shares = logits.softmax(-1)
    for row in range(8):
        inside = shares[row][kept[row]]
        assert inside.sum() >= top_p - 1e-6
        if top_p < 1:
            assert inside.sum() - inside.min() < top_p
            assert shares[row][~kept[row]].max() <= inside.min()


def test_gpt2_is_the_same_network(gpt):
    pytest.importorskip("transformers")
    ids = LAYOUT.join(random_ids(2, 4), random_ids(2, 16), random_ids(2, 16))
    with torch.no_grad():
        torch.testing.assert_close(as_gpt2(gpt)(ids).logits, gpt.head(gpt.hidden(ids)))


@pytest.mark.parametrize("cache", ["dynamic", "static"])
def test_gpt2_draws_the_likeliest_as_the_plain_loop_does(cache, gpt):
    pytest.importorskip("transformers")
    conditioning, settings = (random_ids(1, 4), random_ids(1, 16)), GPTSampling(0.0)
    drawn = generate(as_gpt2(gpt), torch.cat(conditioning, 1), 16, settings, cache)
    with torch.no_grad():
        logits = gpt.target_logits(*conditioning, drawn)
    assert torch.equal(logits.argmax(-1), drawn)


def test_every_case_runs(gpt):
    for samples in (1, 3):
        for case in engine_cases(gpt, samples):
            assert case.run().ids.shape == (1, samples, 16), case.name
        for case in pass_cases(gpt, samples, window=4):
            case.run()


def test_every_plain_case_runs_and_says_how_much_of_the_work_it_does(gpt):
    loop, *others = plain_cases(gpt, 2, tokens=4) + gpt2_cases(gpt, 2)
    assert loop.run().shape == (1, 2, 4)
    assert 0 < loop.share < 4 / 16, "later tokens read more"
    for case in others:
        assert case.run().numel() == 32, case.name
        assert case.share == 1


def test_without_transformers_its_gpt2_is_left_out(gpt, monkeypatch, caplog):
    monkeypatch.setattr(sampling_cases, "find_spec", lambda name: None)
    assert gpt2_cases(gpt, 2) == []
    assert "transformers is not installed" in caplog.text


def test_rounding_changes_the_loss_a_little(gpt):
    ids = random_ids(4, 4), random_ids(4, 16), random_ids(4, 16)
    full = loss_at(gpt, *ids, "full")
    for precision in ("bfloat16", "int8"):
        assert 0 < abs(loss_at(gpt, *ids, precision) - full) < 0.05
