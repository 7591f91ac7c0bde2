"""Networks, learning rates and distances agree with numbers that the published code computed."""

import json

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from e2eve.editor import Editor
from e2eve.metrics.feature_distances import frechet_distance
from e2eve.published.names import (
    gpt_from_published,
    gpt_shape,
    tokenizer_from_published,
    tokenizer_shape,
)
from e2eve.tokenizers import Tokenizer
from e2eve.tokenizers.tokenizer import Reconstruction
from e2eve.training.optimizers import OptimizerSettings
from e2eve.transformer import GPTSampling
from e2eve.transformer.gpt.speculative import sample
from tests.factories import DRIVER_SIDE, tiny_tokenizer
from tests.published_files import PARITY, parity, parity_state

GREEDY = GPTSampling(temperature=0)


def error(ours: Tensor, theirs: Tensor) -> float:
    """Largest difference, relative to the largest number."""
    assert ours.shape == theirs.shape
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


@pytest.fixture(scope="module")
def vqgan() -> tuple[dict[str, Tensor], Reconstruction]:
    arrays, state = parity("vqgan_small"), parity_state("vqgan_small")
    tokenizer = Tokenizer(tokenizer_shape(state, 32, "vqgan_small"))
    tokenizer.load_state_dict(tokenizer_from_published(state, tokenizer.state_dict()))
    with torch.no_grad():
        return arrays, tokenizer(arrays["image"])


@pytest.fixture(scope="module")
def editor() -> tuple[dict[str, Tensor], Editor]:
    """The published transformer between tokenizers that give as many ids."""
    facts = json.loads((PARITY / "gpt_small.json").read_text())
    state = parity_state("gpt_small")
    shape = gpt_shape(state, facts["n_head"], "gpt_small")
    editor = Editor(tiny_tokenizer(), tiny_tokenizer(DRIVER_SIDE), shape, DRIVER_SIDE)
    layout = editor.transformer.layout
    assert (layout.driver, layout.source) == (facts["driver_tokens"], facts["source_tokens"])
    editor.transformer.load_state_dict(gpt_from_published(state, editor.transformer.state_dict()))
    return parity("gpt_small"), editor.eval()


def test_features_before_quantisation(vqgan):
    theirs, ours = vqgan
    assert error(ours.latent, theirs["pre_quant"]) <= 1e-5


def test_ids_and_codes(vqgan):
    theirs, ours = vqgan
    assert torch.equal(ours.quantized.ids, theirs["indices"])
    assert error(ours.quantized.codes, theirs["z_q"]) <= 1e-5


def test_codebook_loss(vqgan):
    theirs, ours = vqgan
    assert error(ours.quantized.loss, theirs["codebook_loss"][0]) <= 1e-5


def test_reconstruction(vqgan):
    theirs, ours = vqgan
    assert error(ours.images, theirs["reconstruction"]) <= 1e-5


def test_condition_kinds(editor):
    theirs, ours = editor
    assert torch.equal(ours.transformer.kinds, theirs["condition_ids"])


def test_logits_and_loss_of_the_target(editor):
    theirs, ours = editor
    parts = ours.transformer.layout.split(theirs["tokens"])
    with torch.no_grad():
        logits = ours.logits(*parts)
    assert error(logits, theirs["target_logits"]) <= 1e-5
    loss = F.cross_entropy(logits.flatten(0, 1), parts[2].flatten())
    assert error(loss, theirs["target_loss"][0]) <= 1e-5


def test_greedy_decoding_with_a_cache(editor):
    """Of the transformer alone, which knows more codes here than the tokenizer can paint."""
    theirs, ours = editor
    driver, source, _ = ours.transformer.layout.split(theirs["tokens"])
    seeds = [0] * len(driver)
    drawn = sample(
        ours.transformer, driver, source, num_samples=1, seeds=seeds, settings=GREEDY
    ).ids
    assert torch.equal(drawn[:, 0], theirs["greedy_target"])


def test_greedy_decoding_without_a_cache(editor):
    theirs, ours = editor
    driver, source, _ = ours.transformer.layout.split(theirs["tokens"])
    drawn = torch.zeros_like(source)
    for position in range(drawn.shape[1]):
        with torch.no_grad():
            drawn[:, position] = ours.logits(driver, source, drawn)[:, position].argmax(-1)
    assert torch.equal(drawn, theirs["greedy_target"])


def test_learning_rates_of_the_published_schedule():
    settings = OptimizerSettings(4.5e-6, (0.9, 0.95), 0.01, warmup_steps=500, decay_steps=300_000)
    rates = [settings.learning_rate(8) * settings.factor(step) for step in range(2000)]
    assert rates == pytest.approx(parity("scalars")["learning_rates"].tolist(), rel=1e-12)


def test_frechet_distance():
    arrays = parity("scalars")
    ours = frechet_distance(arrays["features_a"], arrays["features_b"])
    assert ours == pytest.approx(arrays["frechet_distance"].item(), rel=1e-8)
