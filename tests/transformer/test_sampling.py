"""Laws of a single draw."""

import subprocess
import sys

import pytest
import torch

from e2eve.transformer import SamplingSettings
from e2eve.transformer.sampling import draw, gumbel_noise
from tests.references.sampling import filter_logits

SETTINGS = [
    SamplingSettings(top_p=None),
    SamplingSettings(top_p=1.0),
    SamplingSettings(),
    SamplingSettings(top_p=0.3),
    SamplingSettings(top_p=1e-6),
    SamplingSettings(0.0),
    SamplingSettings(0.7, 5, 0.8),
    SamplingSettings(2.0, 1, None),
    SamplingSettings(1.0, 100, 0.5),
]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sharpness", [0.1, 1.0, 8.0])
def test_a_draw_is_the_best_of_what_a_filter_by_sorting_keeps(settings, dtype, sharpness):
    logits = torch.randn(2000, 20, dtype=dtype) * sharpness
    noise = gumbel_noise(0, 0, 2000, 20).to(dtype)
    expected = (filter_logits(logits, settings) + noise).argmax(-1)
    assert torch.equal(draw(logits, noise, settings), expected)


def test_drawing_leaves_its_inputs_alone():
    logits, noise = torch.randn(50, 20), torch.randn(50, 20)
    before = logits.clone(), noise.clone()
    draw(logits, noise, SamplingSettings(1.0, 7, 0.3))
    assert torch.equal(logits, before[0])
    assert torch.equal(noise, before[1])


def test_equally_likely_tokens_are_kept_together():
    logits = torch.zeros(4000, 5).index_fill_(1, torch.tensor([4]), -1.0)
    drawn = draw(logits, gumbel_noise(0, 0, 4000, 5), SamplingSettings(top_p=0.2))
    assert set(drawn.tolist()) == {0, 1, 2, 3}


def test_noise_draws_from_the_law_that_it_is_given():
    """Frequencies over 4000 positions agree with the probabilities."""
    distribution = torch.tensor([0.1, 0.2, 0.7])
    settings = SamplingSettings(top_p=None)
    drawn = draw(distribution.log().expand(4000, 3), gumbel_noise(0, 0, 4000, 3), settings)
    shares = torch.bincount(drawn, minlength=3) / 4000
    torch.testing.assert_close(shares, distribution, atol=0.03, rtol=0)


def test_noise_depends_on_seed_and_sample():
    first = gumbel_noise(0, 0, 4, 8)
    assert torch.equal(gumbel_noise(0, 0, 4, 8), first)
    assert not torch.equal(gumbel_noise(0, 1, 4, 8), first)
    assert not torch.equal(gumbel_noise(1, 0, 4, 8), first)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"temperature": -1.0}, "temperature is -1.0"),
        ({"top_k": 0}, "top_k is 0"),
        ({"top_p": 0.0}, r"top_p is 0.0"),
        ({"preserve": "pixels"}, 'preserve is "pixels": use "tokens", or null'),
        ({"guidance": float("inf")}, "guidance is inf: use 0 "),
        ({"temperature": float("nan")}, "temperature is nan: use 0"),
    ],
)
def test_wrong_settings_are_refused_in_one_sentence(bad, message):
    with pytest.raises(ValueError, match=message):
        SamplingSettings(**bad)


def test_a_word_in_place_of_a_number_is_one_sentence():
    """In a process of its own, where no types are checked."""
    code = "from e2eve.transformer import SamplingSettings\n"
    for given in ("'many'", "2.5", "True", "2.0"):
        code += (
            f"try: print(SamplingSettings(top_k={given}).top_k)\nexcept ValueError as e: print(e)\n"
        )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        'top_k is "many": give a number.',
        "top_k is 2.5, no whole number: keep at least 1 token, or null for all.",
        'top_k is "True": give a number.',
        "2",
    ]
