"""Laws of the editor's network."""

from dataclasses import replace

import pytest
import torch

from e2eve.transformer import GPT, GPTConfig, SequenceLayout
from tests.factories import random_ids

LAYOUT = SequenceLayout(driver=4, source=9)
CONFIG = GPTConfig(layers=2, heads=2, width=16, codebook_size=32)


def inputs(batch: int = 2):
    return random_ids(batch, 4), random_ids(batch, 9), random_ids(batch, 9)


@pytest.mark.parametrize("position", [0, 4, 8])
def test_a_target_token_depends_on_what_comes_before_it_only(position):
    """Shown by gradients to the embedded tokens."""
    gpt = GPT(CONFIG, LAYOUT)
    seen = []
    gpt.tokens.register_forward_hook(lambda module, args, out: seen.append(out))
    logits = gpt.target_logits(*inputs(1))
    seen[0].retain_grad()
    logits[0, position].logsumexp(0).backward()
    depends = seen[0].grad[0].abs().sum(1) > 0
    assert depends[: LAYOUT.conditioning + position].all()
    assert not depends[LAYOUT.conditioning + position :].any()


def test_condition_embeddings_reach_the_conditioning_only():
    gpt = GPT(CONFIG, LAYOUT)
    before = gpt.places()
    with torch.no_grad():
        gpt.conditions.weight[0] += 1
        gpt.conditions.weight[1] += 2
    change = (gpt.places() - before)[:, 0]
    expected = [1.0] * 4 + [2.0] * 9 + [0.0] * 9
    torch.testing.assert_close(change, torch.tensor(expected), atol=1e-5, rtol=0)


def test_published_size_has_305_million_parameters():
    with torch.device("meta"):
        gpt = GPT(GPTConfig(codebook_size=1024, positions=530), SequenceLayout())
    assert round(sum(p.numel() for p in gpt.parameters()) / 1e6) == 305


def test_too_few_positions_are_refused_with_both_values():
    with pytest.raises(ValueError, match=r"need 22 positions and .* is 20"):
        GPT(GPTConfig(layers=1, heads=1, width=8, codebook_size=8, positions=20), LAYOUT)


def test_heads_must_share_the_width():
    with pytest.raises(ValueError, match="width 30 cannot be shared by 4 heads"):
        GPTConfig(width=30, heads=4)


def test_codes_that_are_alike_start_alike():
    gpt = GPT(replace(CONFIG, width=64, token_init="codebook"), LAYOUT)
    codes = torch.randn(32, 8)
    codes[1] = codes[0] + 0.01
    gpt.start_from_codebook(codes)
    like = torch.cosine_similarity(gpt.tokens.weight[0], gpt.tokens.weight[1], dim=0)
    others = torch.cosine_similarity(gpt.tokens.weight[:1], gpt.tokens.weight[2:])
    assert like > 0.7
    assert like > others.max()
    assert torch.equal(gpt.head.weight, gpt.tokens.weight)
    assert gpt.tokens.weight.std().item() == pytest.approx(0.02, rel=0.3)
