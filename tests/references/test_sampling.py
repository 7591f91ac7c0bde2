"""References of sampling are what they say, and every variant beside them runs."""

import pytest
import torch

from e2eve.benchmarks import parts
from e2eve.benchmarks.setting import Setting
from e2eve.transformer import GPT, GPTConfig, GPTSampling, SequenceLayout
from scripts import benchmark_references, gpt_parts
from tests.factories import random_ids
from tests.references.gpt2 import as_gpt2, generate
from tests.references.sampling import filter_logits

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
def test_gpt2_draws_the_likeliest_as_the_reference_does(cache, gpt):
    pytest.importorskip("transformers")
    conditioning, settings = (random_ids(1, 4), random_ids(1, 16)), GPTSampling(0.0)
    drawn = generate(as_gpt2(gpt), torch.cat(conditioning, 1), 16, settings, cache)
    with torch.no_grad():
        logits = gpt.target_logits(*conditioning, drawn)
    assert torch.equal(logits.argmax(-1), drawn)


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("build", [parts.sample, gpt_parts.passes, gpt_parts.products])
def test_every_variant_runs(build, samples):
    for variant in build(Setting("tiny", batch=samples)).variants:
        result = variant.run()
        if build is parts.sample:
            assert result.shape == (1, samples, 16), variant.name


def test_every_reference_runs_and_says_how_much_of_the_work_it_does():
    pytest.importorskip("transformers")
    setting = Setting("tiny", batch=2)
    part = benchmark_references.sample(setting, parts.sample(setting), tokens=4)
    assert part.baseline == "uncached loop"
    loop, *others = part.variants[:4]
    assert loop.run().shape == (1, 2, 4)
    assert 0 < loop.share < 4 / 16, "later tokens read more"
    for variant in others:
        assert variant.run().numel() == 32, variant.name
        assert variant.share == 1


def test_without_transformers_its_gpt2_is_left_out(monkeypatch, caplog):
    monkeypatch.setattr(benchmark_references, "find_spec", lambda name: None)
    setting = Setting("tiny")
    part = benchmark_references.sample(setting, parts.sample(setting))
    assert not any("GPT-2" in variant.name for variant in part.variants)
    assert "transformers is not installed" in caplog.text


def test_the_drafts_of_a_trained_editor_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "REFERENCES", 12)
    monkeypatch.setattr(parts, "DISTRACTORS", 8)
    setting = Setting("tiny")
    setting.network.save_pretrained(tmp_path / "bundle")
    parts.prepared(setting)[0].validation.save(tmp_path / "inputs")
    part = gpt_parts.drafts(
        Setting("tiny", editor=tmp_path / "bundle", validation_set=tmp_path / "inputs")
    )
    assert 0 < part.facts["inside"] < 1
    assert 0 < part.facts["passes"] <= 1
    assert 0 <= part.facts["accepted_inside"] <= 1
    for precision in ("bfloat16", "int8"):  # which changes the loss a little
        assert 0 < abs(part.facts[f"nll_{precision}"] - part.facts["nll_full"]) < 0.05
    assert part.variants[1].name == "e2eve"
    part.variants[1].run()


def test_drafts_need_a_trained_gpt():
    with pytest.raises(ValueError, match="needs a trained editor: give editor="):
        gpt_parts.drafts(Setting("tiny"))
