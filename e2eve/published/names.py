"""Names of weights in published checkpoints and in ours; each map stands next to its inverse.

Published tokenizers follow taming-transformers, published editors add a condition embedding to its
GPT. One matrix of ours may be several of theirs: our attention has queries, keys and values in one.
"""

import re
from collections.abc import Iterable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor

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
    levels = 1 + max(_level(name) for name in names.values())
    # Theirs counts the decoder's levels from the finest, ours from the coarsest.
    return {
        name: re.sub(r"^(decoder\.up)\.(\d+)", lambda m: f"{m[1]}.{levels - 1 - int(m[2])}", other)
        for name, other in names.items()
    }


def _level(published: str) -> int:
    found = re.match(r"decoder\.up\.(\d+)\.", published)
    return int(found[1]) if found else 0


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
    """`tokenizer_from_published` undoes it."""
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
        parts = weights[ours].chunk(len(theirs))
        renamed |= dict(zip(theirs, parts, strict=True))
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
