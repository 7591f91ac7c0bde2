"""Parts of a published checkpoint: an editor, its transformer alone, or a tokenizer.

An editor's file has its tokenizers in it, the source tokenizer twice: targets are read with one,
masked sources with the other.
"""

import re
from collections import Counter
from collections.abc import Collection, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from e2eve.published.names import MASK, causal_mask

Weights = dict[str, Tensor]

SOURCE, DRIVER, SOURCE_AGAIN = "first_stage_model", "cond_stage_model", "cond_stage2_model"
TRANSFORMER = "transformer"
PARTS = (TRANSFORMER, SOURCE, DRIVER, SOURCE_AGAIN)

WRAPPERS = {"module", "_orig_mod"}  # what wrappers for several devices and compilers add to names
PREFIXES = ("model.", "net.")  # what stands before all names of some files

# Networks of losses and metrics, by the first part of their names.
LOSS_NETWORKS = re.compile(
    r"(\w*loss\w*|\w*lpips\w*|\w*perceptual\w*|\w*discriminator\w*|\w*inception\w*|\w*metrics?|"
    r"vgg\w*|(\w+_)?fid(_\w+)?|model_ema)",
    re.IGNORECASE,
)


class Parts(NamedTuple):
    """Weights of each part by their published names; empty where the file has none."""

    transformer: Weights
    source: Weights
    driver: Weights
    skipped: Counter[str]  # how many names were left out, by their beginning


def take_apart(weights: Weights, where: str, skip: Collection[str] = ()) -> Parts:
    """Recognises an editor or a tokenizer and sorts its names.

    Args:
        skip: further beginnings of names (up to the first dot) to leave out.

    Raises:
        ValueError: when it is neither, or holds what an editor here cannot have.
    """
    skipped: Counter[str] = Counter()
    kept = _kept(_unwrapped(weights), skip, skipped)
    for prefix in PREFIXES:
        if kept and all(name.startswith(prefix) for name in kept):
            kept = _kept(_under(kept, prefix), skip, skipped)
    if "tok_emb.weight" in kept:
        return Parts(_transformer(kept, where, skipped), {}, {}, skipped)
    if any(name.startswith(f"{TRANSFORMER}.") for name in kept):
        return _editor(kept, where, skip, skipped)
    if "encoder.conv_in.weight" in kept:
        return Parts({}, _tokenizer(kept, where), {}, skipped)
    raise ValueError(
        f"{where} holds {len(weights)} weights ({', '.join(list(weights)[:3])}, …) and is neither "
        "an editor (transformer.…, first_stage_model.…) nor a VQGAN (encoder.…, quantize.…): give "
        "a checkpoint of one of these families."
    )


def _unwrapped(weights: Weights) -> Weights:
    return {
        ".".join(part for part in name.split(".") if part not in WRAPPERS): value
        for name, value in weights.items()
    }


def _kept(weights: Weights, skip: Collection[str], skipped: Counter[str]) -> Weights:
    """All but networks of losses and what `skip` names, which are counted."""
    kept = {}
    for name, value in weights.items():
        first = name.partition(".")[0]
        if first in skip or LOSS_NETWORKS.fullmatch(first):
            skipped[f"{first}.…"] += 1
        else:
            kept[name] = value
    return kept


def _under(weights: Weights, prefix: str) -> Weights:
    return {n.removeprefix(prefix): value for n, value in weights.items() if n.startswith(prefix)}


def _editor(weights: Weights, where: str, skip: Collection[str], skipped: Counter[str]) -> Parts:
    others = sorted({name.partition(".")[0] for name in weights} - set(PARTS))
    if others:
        raise ValueError(
            f"{where} is an editor with parts of an unknown kind ({', '.join(others[:4])}): say "
            f"skip=[{','.join(others)}] if they are not needed."
        )
    transformer = _transformer(_under(weights, f"{TRANSFORMER}."), where, skipped)
    parts = {name: _kept(_under(weights, f"{name}."), skip, skipped) for name in PARTS[1:]}
    for name, part in parts.items():
        if part:
            _tokenizer(part, f"{where} ({name})")
    again = parts[SOURCE_AGAIN]
    source = parts[SOURCE] or again
    if not same_weights(again, {name: source[name] for name in again if name in source}):
        raise ValueError(
            f"{where} reads masked sources with {SOURCE_AGAIN}, whose weights differ from those of "
            f"{SOURCE}, and an editor has one source tokenizer here: no bundle can be made of it."
        )
    if again and parts[SOURCE]:
        skipped[f"{SOURCE_AGAIN}.… (is {SOURCE}.…)"] = len(again)
    return Parts(transformer, source, parts[DRIVER], skipped)


def _transformer(weights: Weights, where: str, skipped: Counter[str]) -> Weights:
    """Without masks, which say that attention is causal."""
    if "condition_embeddings.weight" not in weights:
        raise ValueError(
            f"{where} has a transformer without condition_embeddings, so it is no editor but "
            "another one of the taming-transformers family: its VQGAN can be given apart."
        )
    masks = {name: value for name, value in weights.items() if MASK.match(name)}
    for name, mask in masks.items():
        if not torch.equal(mask.float(), causal_mask(mask.shape[-1])):
            raise ValueError(
                f"{name} in {where} is not causal, and editors here read from left to right only: "
                "no bundle can be made of it."
            )
    if masks:
        skipped["attention masks"] = len(masks)
    return {name: value for name, value in weights.items() if name not in masks}


def _tokenizer(weights: Weights, where: str) -> Weights:
    if "quantize.embedding.weight" not in weights:
        raise ValueError(
            f"{where} is an autoencoder without quantize.embedding.weight, so it has no codebook "
            "of vectors (Gumbel quantisation, continuous codes): give a VQGAN."
        )
    return weights


def same_weights(some: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> bool:
    """Whether names, shapes and all numbers are equal."""
    return some.keys() == others.keys() and all(
        some[name].dtype == others[name].dtype and torch.equal(some[name], others[name])
        for name in some
    )
