"""Laws of sampling."""

import pytest
import torch

from e2eve.transformer import SamplingSettings
from e2eve.transformer.sampling import draw, filter_logits, gumbel_noise
from tests.factories import random_ids, tiny_editor

PLAIN = SamplingSettings(top_p=None)


def uncached(editor, driver_ids, source_ids, settings, seed, sample):
    """The slow reference: the whole sequence is read again for every token."""
    target = torch.zeros_like(source_ids)
    noise = gumbel_noise(seed, sample, source_ids.shape[1], editor.gpt.config.codebook_size)
    for position in range(source_ids.shape[1]):
        logits = editor.logits(driver_ids, source_ids, target)[:, position]
        logits = filter_logits(logits, settings).log_softmax(-1)
        target[:, position] = draw(logits, noise[position].expand_as(logits))
    return target


@pytest.mark.parametrize(
    "settings",
    [PLAIN, SamplingSettings(), SamplingSettings(0.0), SamplingSettings(0.7, 5, 0.8)],
)
def test_cached_sampling_equals_reading_everything_again(settings):
    editor = tiny_editor()
    driver, source = random_ids(2, 4), random_ids(2, 16)
    cached = editor.sample(driver, source, num_samples=2, seed=7, settings=settings)
    with torch.no_grad():
        for sample in range(2):
            expected = uncached(editor, driver, source, settings, 7, sample)
            assert torch.equal(cached[:, sample], expected)


def test_a_picture_depends_on_its_seed_only():
    """Not on the batch, nor on how many samples are asked for."""
    editor = tiny_editor()
    driver, source = random_ids(3, 4), random_ids(3, 16)
    many = editor.sample(driver, source, num_samples=4, seed=[5, 6, 7])
    for row, seed in enumerate((5, 6, 7)):
        one = editor.sample(driver[row : row + 1], source[row : row + 1], num_samples=1, seed=seed)
        assert torch.equal(one[0, 0], many[row, 0])
    assert not torch.equal(many[0, 0], many[0, 1])


def test_temperature_0_is_argmax_whatever_the_seed():
    editor, settings = tiny_editor(), SamplingSettings(temperature=0.0)
    driver, source = random_ids(1, 4), random_ids(1, 16)
    drawn = [
        editor.sample(driver, source, num_samples=1, seed=s, settings=settings) for s in (0, 1)
    ]
    assert torch.equal(drawn[0], drawn[1])
    with torch.no_grad():
        logits = editor.logits(driver, source, drawn[0][:, 0])
    assert torch.equal(logits.argmax(-1), drawn[0][:, 0])


def test_filters_work_on_each_row_by_itself():
    logits = torch.randn(6, 20) * 4
    settings = SamplingSettings(top_k=7, top_p=0.8)
    rows = torch.cat([filter_logits(row[None], settings) for row in logits])
    assert torch.equal(filter_logits(logits, settings), rows)


def test_top_k_keeps_the_k_likeliest():
    kept = filter_logits(torch.randn(5, 20), SamplingSettings(top_k=3, top_p=None)).isfinite()
    assert (kept.sum(1) == 3).all()


@pytest.mark.parametrize("top_p", [0.1, 0.5, 0.9, 1.0])
def test_top_p_keeps_the_smallest_set_that_reaches_it(top_p):
    logits = torch.randn(8, 20) * 2
    kept = filter_logits(logits, SamplingSettings(top_p=top_p)).isfinite()
    shares = logits.softmax(-1)
    for row in range(8):
        inside = shares[row][kept[row]]
        assert inside.sum() >= top_p - 1e-6
        if top_p < 1:
            assert inside.sum() - inside.min() < top_p
            assert shares[row][~kept[row]].max() <= inside.min()


def test_noise_draws_from_the_law_that_it_is_given():
    """Frequencies over 4000 positions agree with the probabilities."""
    law = torch.tensor([0.1, 0.2, 0.7])
    drawn = draw(law.log().expand(4000, 3), gumbel_noise(0, 0, 4000, 3))
    shares = torch.bincount(drawn, minlength=3) / 4000
    torch.testing.assert_close(shares, law, atol=0.03, rtol=0)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"temperature": -1.0}, "temperature is -1.0"),
        ({"top_k": 0}, "top_k is 0"),
        ({"top_p": 0.0}, r"top_p is 0.0"),
    ],
)
def test_wrong_settings_are_refused_in_one_sentence(bad, message):
    with pytest.raises(ValueError, match=message):
        SamplingSettings(**bad)


def test_seeds_must_match_the_inputs():
    with pytest.raises(ValueError, match="2 seeds for 1 inputs"):
        tiny_editor().sample(random_ids(1, 4), random_ids(1, 16), seed=[1, 2])
