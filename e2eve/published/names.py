"""Names of weights in published checkpoints and in ours, and the shapes of networks behind them.

Published tokenizers follow taming-transformers, published editors add a condition embedding to its
GPT. One matrix of ours may be several of theirs: our attention has queries, keys and values in one.
No file says the shapes of networks, so they are read from the weights. Each map of names stands
next to its inverse.
"""

import re
from collections.abc import Iterable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from e2eve.tokenizers import VQGANConfig
from e2eve.transformer import GPTConfig

GROUPS = 32  # of a published GroupNorm

# Applied in this order to our names.
TOKENIZER_RULES = (
    (r"^to_code\.", "quant_conv."),
    (r"^from_code\.", "post_quant_conv."),
    (r"^quantizer\.codebook\.", "quantize.embedding."),
    (r"^(encoder|decoder)\.stem\.", r"\1.conv_in."),
    (r"^(encoder|decoder)\.norm\.", r"\1.norm_out."),
    (r"^(encoder|decoder)\.head\.", r"\1.conv_out."),
    (r"^(encoder|decoder)\.middle\.0\.", r"\1.mid.block_1."),
    (r"^(encoder|decoder)\.middle\.1\.", r"\1.mid.attn_1."),
    (r"^(encoder|decoder)\.middle\.2\.", r"\1.mid.block_2."),
    (r"^encoder\.levels\.", "encoder.down."),
    (r"^encoder\.downsamples\.(\d+)\.", r"encoder.down.\1.downsample."),
    (r"^decoder\.levels\.", "decoder.up."),
    (r"^decoder\.upsamples\.(\d+)\.", r"decoder.up.\1.upsample."),
    (r"\.blocks\.", ".block."),
    (r"\.attentions\.", ".attn."),
    (r"\.shortcut\.", ".nin_shortcut."),
    (r"\.query\.", ".q."),
    (r"\.key\.", ".k."),
    (r"\.value\.", ".v."),
    (r"\.out\.", ".proj_out."),
)

GPT_RULES = (
    (r"^tokens\.", "tok_emb."),
    (r"^positions$", "pos_emb"),
    (r"^conditions\.", "condition_embeddings."),
    (r"^norm\.", "ln_f."),
    (r"\.norm(\d)\.", r".ln\1."),
    (r"\.attention\.out\.", ".attn.proj."),
    (r"\.expand\.", ".mlp.0."),
    (r"\.contract\.", ".mlp.2."),
)
FUSED = (".attention.qkv.", (".attn.query.", ".attn.key.", ".attn.value."))
MASK = re.compile(r"^blocks\.\d+\.attn\.mask$")  # a buffer that says what "causal" says


def tokenizer_names(ours: Iterable[str]) -> dict[str, str]:
    """The published name of each of our names; all of a network, since levels are counted."""
    names = {name: _rewritten(name, TOKENIZER_RULES) for name in ours}
    levels = _count(names.values(), r"decoder\.up\.(\d+)\.")
    # Theirs counts the decoder's levels from the finest, ours from the coarsest.
    return {
        name: re.sub(r"^(decoder\.up)\.(\d+)", lambda m: f"{m[1]}.{levels - 1 - int(m[2])}", other)
        for name, other in names.items()
    }


def gpt_names(ours: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The published names of each of our names: one, or those of query, key and value."""
    fused, parts = FUSED
    names: dict[str, tuple[str, ...]] = {}
    for name in ours:
        whole = [name.replace(fused, part) for part in parts] if fused in name else [name]
        names[name] = tuple(_rewritten(part, GPT_RULES) for part in whole)
    return names


def _rewritten(name: str, rules: Iterable[tuple[str, str]]) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


def tokenizer_to_published(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    # `tokenizer_from_published` undoes it.
    return {theirs: weights[ours] for ours, theirs in tokenizer_names(weights).items()}


def tokenizer_from_published(
    weights: Mapping[str, Tensor], ours: Iterable[str]
) -> dict[str, Tensor]:
    """Weights by our names, of which `ours` are all that the network has."""
    return {name: weights[theirs] for name, theirs in tokenizer_names(ours).items()}


def gpt_to_published(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`gpt_from_published` undoes it. Masks are not among them."""
    renamed: dict[str, Tensor] = {}
    for ours, theirs in gpt_names(weights).items():
        renamed |= dict(zip(theirs, weights[ours].chunk(len(theirs)), strict=True))
    return renamed | {"pos_emb": renamed["pos_emb"][None]}


def gpt_from_published(weights: Mapping[str, Tensor], ours: Iterable[str]) -> dict[str, Tensor]:
    """Weights by our names, of which `ours` are all that the network has."""
    flat = {**weights, "pos_emb": weights["pos_emb"][0]}
    return {
        name: torch.cat([flat[part] for part in theirs]) if len(theirs) > 1 else flat[theirs[0]]
        for name, theirs in gpt_names(ours).items()
    }


def causal_mask(positions: int) -> Float[Tensor, "1 1 positions positions"]:
    """What every published attention stores: 1 where a row may look."""
    return torch.ones(positions, positions).tril()[None, None]


def tokenizer_shape(weights: Mapping[str, Tensor], image_size: int, where: str) -> VQGANConfig:
    """The tokenizer of these published names; the side of its images is not in the weights.

    Raises:
        ValueError: when a name that says something is missing, or it is no network of ours.
    """
    stem = _shape(weights, "encoder.conv_in.weight", where)[0]
    levels = _count(weights, r"encoder\.down\.(\d+)\.")
    widths = [
        _shape(weights, f"encoder.down.{level}.block.0.conv1.weight", where)[0]
        for level in range(levels)
    ]
    if any(width % stem for width in widths) or stem % GROUPS:
        raise ValueError(
            f"The tokenizer in {where} has widths {widths} after a first layer of {stem} channels, "
            f"and multiples of that are needed, itself a multiple of {GROUPS}: no bundle can be "
            "made of it."
        )
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
    # How many of the coarsest levels have it.
    attending = [
        level for level in range(levels) if f"encoder.down.{level}.attn.0.q.weight" in weights
    ]
    if attending != list(range(levels - len(attending), levels)):
        raise ValueError(
            f"The tokenizer in {where} has attention at levels {attending} of {levels}, and only "
            "the coarsest levels can have it here: no bundle can be made of it."
        )
    return len(attending)


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
    if name not in weights or weights[name].dim() < 2:
        raise ValueError(
            f"{where} has no {name} with two or more dimensions: it is not of a published family, "
            "or not whole."
        )
    return tuple(weights[name].shape)


def _count(names: Iterable[str], pattern: str) -> int:
    # One more than the largest index that the pattern finds; 0 where it finds none.
    found = (re.match(pattern, name) for name in names)
    return 1 + max((int(match[1]) for match in found if match), default=-1)
