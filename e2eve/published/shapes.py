"""Shapes of published networks, read from the weights: no file says them in any other way."""

import re
from collections.abc import Mapping

from torch import Tensor

from e2eve.tokenizers import VQGANConfig
from e2eve.transformer import GPTConfig

GROUPS = 32  # of a published GroupNorm


def tokenizer_shape(weights: Mapping[str, Tensor], image_size: int, where: str) -> VQGANConfig:
    """The tokenizer of these published names; the side of its pictures is not in the weights.

    Raises:
        ValueError: when a name that says something is missing, or it is no network of ours.
    """
    stem = _shape(weights, "encoder.conv_in.weight", where)[0]
    levels = _count(weights, r"encoder\.down\.(\d+)\.")
    widths = [
        _shape(weights, f"encoder.down.{level}.block.0.conv1.weight", where)[0]
        for level in range(levels)
    ]
    _check_widths(stem, widths, where)
    codes, code_dim = _shape(weights, "quantize.embedding.weight", where)
    return VQGANConfig(
        image_size=image_size,
        channels=stem,
        multipliers=[width // stem for width in widths],
        residual_blocks=_count(weights, r"encoder\.down\.0\.block\.(\d+)\."),
        attention_levels=_attention_levels(weights, levels, where),
        latent_channels=_shape(weights, "encoder.conv_out.weight", where)[0],
        code_dim=code_dim,
        codebook_size=codes,
    )


def _attention_levels(weights: Mapping[str, Tensor], levels: int, where: str) -> int:
    """How many of the coarsest levels have attention."""
    attending = [
        level for level in range(levels) if f"encoder.down.{level}.attn.0.q.weight" in weights
    ]
    if attending != list(range(levels - len(attending), levels)):
        raise ValueError(
            f"The tokenizer in {where} has attention at levels {attending} of {levels}, and only "
            "the coarsest levels can have it here: no bundle can be made of it."
        )
    return len(attending)


def _check_widths(stem: int, widths: list[int], where: str) -> None:
    if any(width % stem for width in widths) or stem % GROUPS:
        raise ValueError(
            f"The tokenizer in {where} has widths {widths} after a first layer of {stem} channels, "
            f"and multiples of that are needed, itself a multiple of {GROUPS}: no bundle can be "
            "made of it."
        )


def gpt_shape(weights: Mapping[str, Tensor], heads: int, where: str) -> GPTConfig:
    """The transformer of these published names; how many heads it has is not in the weights.

    Raises:
        ValueError: when a name that says something is missing, or heads do not divide the width.
    """
    codes, width = _shape(weights, "tok_emb.weight", where)
    return GPTConfig(
        layers=_count(weights, r"blocks\.(\d+)\."),
        heads=heads,
        width=width,
        codebook_size=codes,
        positions=_shape(weights, "pos_emb", where)[1],
    )


def _shape(weights: Mapping[str, Tensor], name: str, where: str) -> tuple[int, ...]:
    """The shape of a weight, at least two numbers."""
    if name not in weights or weights[name].dim() < 2:
        raise ValueError(
            f"{where} has no {name} with two or more dimensions: it is not of a published family, "
            "or not whole."
        )
    return tuple(weights[name].shape)


def _count(weights: Mapping[str, Tensor], pattern: str) -> int:
    """One more than the largest index that the pattern finds; 0 where it finds none."""
    found = (re.match(pattern, name) for name in weights)
    return 1 + max((int(match[1]) for match in found if match), default=-1)
