"""Names of weights: each of theirs is one of ours or a part of one, at full size too."""

import pytest
import torch

from e2eve.editor import Editor
from e2eve.published.conversion import editor_state
from e2eve.published.names import (
    MASK,
    causal_mask,
    gpt_from_published,
    gpt_shape,
    gpt_to_published,
    tokenizer_from_published,
    tokenizer_shape,
    tokenizer_to_published,
)
from e2eve.tokenizers import Tokenizer, VQGANConfig
from e2eve.transformer import GPT, GPTConfig, SequenceLayout
from tests.published_files import full_size, plain_editor, plain_tokenizer


def shapes(weights):
    return {name: tuple(value.shape) for name, value in weights.items()}


@pytest.mark.parametrize(("name", "side"), [("vqgan_source_256", 256), ("vqgan_driver_64", 64)])
def test_a_full_size_tokenizer_is_covered_both_ways(name, side):
    theirs = full_size(name)
    assert tokenizer_shape(theirs, side, name) == VQGANConfig(image_size=side)
    with torch.device("meta"):
        ours = Tokenizer(VQGANConfig(image_size=side)).state_dict()
    assert shapes(tokenizer_to_published(ours)) == shapes(theirs)
    assert shapes(tokenizer_from_published(theirs, ours)) == shapes(ours)


def test_a_full_size_editor_is_covered_both_ways():
    theirs = full_size("gpt_ffhq")
    weights = {name: value for name, value in theirs.items() if not MASK.match(name)}
    masks = theirs.keys() - weights.keys()
    assert masks == {f"blocks.{layer}.attn.mask" for layer in range(24)}
    assert all(theirs[name].shape == causal_mask(530).shape for name in masks)
    assert gpt_shape(weights, 16, "gpt_ffhq") == GPTConfig(codebook_size=1024, positions=530)
    with torch.device("meta"):
        ours = GPT(GPTConfig(codebook_size=1024, positions=530), SequenceLayout()).state_dict()
    assert shapes(gpt_to_published(ours)) == shapes(weights)
    assert shapes(gpt_from_published(weights, ours)) == shapes(ours)


def test_a_full_size_editor_file_has_all_its_parts():
    tokenizers = full_size("vqgan_source_256"), full_size("vqgan_driver_64")
    with torch.device("meta"):
        source, driver = (Tokenizer(VQGANConfig(image_size=side)) for side in (256, 64))
        ours = editor_state(
            Editor(source, driver, GPTConfig(codebook_size=1024, positions=530), 64)
        )
    theirs = {
        f"{part}.{name}": value
        for part, weights in {
            "transformer": full_size("gpt_ffhq"),
            "first_stage_model": tokenizers[0],
            "cond_stage_model": tokenizers[1],
            "cond_stage2_model": tokenizers[0],
        }.items()
        for name, value in weights.items()
    }
    assert shapes(ours) == shapes(theirs)


def test_to_published_names_and_back_changes_nothing():
    tokenizer, gpt = plain_tokenizer().state_dict(), plain_editor().transformer.state_dict()
    for before, after in (
        (tokenizer, tokenizer_from_published(tokenizer_to_published(tokenizer), tokenizer)),
        (gpt, gpt_from_published(gpt_to_published(gpt), gpt)),
    ):
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    "shape",
    [
        {"multipliers": (1, 2, 2), "residual_blocks": 3, "attention_levels": 2},
        {"multipliers": (1, 3), "attention_levels": 0, "codebook_size": 7, "code_dim": 5},
        {"multipliers": (1, 1, 1, 1, 1), "latent_channels": 6},
    ],
)
def test_shapes_are_read_from_the_weights(shape):
    config = plain_tokenizer(**shape).config
    with torch.device("meta"):
        theirs = tokenizer_to_published(Tokenizer(config).state_dict())
    assert tokenizer_shape(theirs, config.image_size, "x") == config
