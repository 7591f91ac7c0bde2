"""Laws of the tokenizer's losses."""

import torch

from e2eve.tokenizers.losses import (
    PatchDiscriminator,
    TokenizerLoss,
    adaptive_weight,
    hinge_discriminator_loss,
)
from e2eve.tokenizers.tokenizer import psnr
from tests.factories import random_images, tiny_tokenizer


def terms(step: int, start: int = 5):
    tokenizer, images = tiny_tokenizer(), random_images(2, 32)
    loss = TokenizerLoss(None, PatchDiscriminator(8, 1), adversarial_start=start)
    return loss(images, tokenizer(images), step, tokenizer.decoder.last_weight)


def test_adversarial_term_waits_for_its_start():
    before, after = terms(4), terms(5)
    assert before.adversarial == 0
    assert before.adversarial_weight == 0
    assert after.adversarial_weight > 0
    assert torch.equal(before.loss, before.l1 + before.codebook)


def test_a_discriminator_that_is_warmed_is_not_heard():
    tokenizer, images = tiny_tokenizer(), random_images(2, 32)
    loss = TokenizerLoss(
        None, PatchDiscriminator(8, 1), adversarial_start=2, discriminator_warmup=3
    )
    steps = range(7)
    assert [loss.warming(step) for step in steps] == [step in (2, 3, 4) for step in steps]
    assert [loss.adversarial_on(step) for step in steps] == [step >= 2 for step in steps]
    for step in steps:
        found = loss(images, tokenizer(images), step, tokenizer.decoder.last_weight)
        assert (found.adversarial_weight > 0) == (step >= 5)


def test_a_fixed_weight_is_what_the_adversarial_term_counts_by():
    tokenizer, images = tiny_tokenizer(), random_images(2, 32)
    loss = TokenizerLoss(
        None, PatchDiscriminator(8, 1), adversarial_weight=0.02, adversarial_adaptive=False
    )
    found = loss(images, tokenizer(images), 0, tokenizer.decoder.last_weight)
    torch.testing.assert_close(found.adversarial_weight, torch.tensor(0.02))
    expected = found.l1 + found.codebook + 0.02 * found.adversarial
    torch.testing.assert_close(found.loss, expected)


def test_the_discriminator_sees_what_it_is_shown():
    tokenizer, images = tiny_tokenizer(), random_images(2, 32)
    discriminator = PatchDiscriminator(8, 1).eval()
    loss = TokenizerLoss(None, discriminator, adversarial_adaptive=False)
    output, weight = tokenizer(images), tokenizer.decoder.last_weight
    found = [loss(images, output, 0, weight, shown).adversarial for shown in (None, images)]
    expected = [-discriminator(each).mean() for each in (output.images, images)]
    torch.testing.assert_close(found, expected)


def test_adaptive_weight_is_the_ratio_of_gradients():
    weight = torch.nn.Parameter(torch.tensor([2.0, 0.0]))
    ratio = adaptive_weight(3 * weight.sum(), weight.sum(), weight)
    torch.testing.assert_close(ratio, torch.tensor(3.0), rtol=1e-3, atol=0)
    capped = adaptive_weight(1e9 * weight.sum(), 0 * weight.sum(), weight)
    assert capped == 1e4


def test_hinge_is_zero_only_when_both_sides_are_sure():
    sure = torch.tensor([2.0])
    assert hinge_discriminator_loss(sure, -sure) == 0
    assert hinge_discriminator_loss(torch.zeros(1), torch.zeros(1)) == 1


def test_perfect_reconstruction_costs_only_the_codebook():
    tokenizer, images = tiny_tokenizer(), random_images()
    output = tokenizer(images)._replace(images=images)
    found = TokenizerLoss(None, None)(images, output, 0, tokenizer.decoder.last_weight)
    assert found.l1 == 0
    assert torch.equal(found.loss, found.codebook)


def test_squares_count_by_their_weight():
    tokenizer, images = tiny_tokenizer(), random_images()
    output = tokenizer(images)
    found = TokenizerLoss(None, None, l2_weight=3.0)(
        images, output, 0, tokenizer.decoder.last_weight
    )
    squares = (output.images - images).square().mean()
    torch.testing.assert_close(found.loss, found.l1 + found.codebook + 3 * squares)


def test_psnr_of_a_tenth_of_the_range_is_20_db():
    images = 0.8 * random_images(3)
    torch.testing.assert_close(psnr(images, images + 0.2), torch.full((3,), 20.0))
    assert (psnr(images, images) == 10 * torch.log10(torch.tensor(4e10))).all()


def test_patch_scores_see_their_patch_only():
    discriminator = PatchDiscriminator(8, 1).eval()
    images = random_images(1, 64).requires_grad_()
    (gradient,) = torch.autograd.grad(discriminator(images)[0, 0, 8, 8], images)
    touched = gradient[0].abs().sum(0) > 0
    assert touched.any(0).sum() <= 16
