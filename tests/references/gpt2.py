"""The editor's network as `transformers`' GPT-2, a development dependency, to be timed against."""

from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from e2eve.transformer import GPT, SamplingSettings

GPT2 = Any
"""A `transformers.GPT2LMHeadModel`, whose package users don't have."""


def as_gpt2(gpt: GPT) -> GPT2:
    """The same network with the same weights; condition embeddings are folded into positions."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config, places = gpt.config, gpt.places().detach()
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=gpt.head.out_features,
            n_positions=len(places),
            n_embd=config.width,
            n_layer=config.layers,
            n_head=config.heads,
            activation_function="gelu",
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            tie_word_embeddings=False,
            bos_token_id=None,
            eos_token_id=None,
        )
    )
    weights = {"transformer.wte.weight": gpt.tokens.weight, "transformer.wpe.weight": places}
    weights |= {"lm_head.weight": gpt.head.weight}
    for name, tensor in gpt.state_dict().items():
        part, _, kind = name.rpartition(".")
        if part.startswith("blocks.") or part == "norm":
            matrix = tensor.ndim == 2  # GPT-2 keeps its matrices transposed
            weights[f"transformer.{_renamed(part)}.{kind}"] = tensor.T if matrix else tensor
    model.load_state_dict(weights)
    return model.eval()


def _renamed(part: str) -> str:
    names = {
        "norm1": "ln_1",
        "norm2": "ln_2",
        "attention.qkv": "attn.c_attn",
        "attention.out": "attn.c_proj",
        "expand": "mlp.c_fc",
        "contract": "mlp.c_proj",
    }
    if part == "norm":
        return "ln_f"
    _, layer, inner = part.split(".", 2)
    return f"h.{layer}.{names[inner]}"


@torch.inference_mode()
def generate(
    model: GPT2,
    prefix: Int[Tensor, "rows conditioning"],
    tokens: int,
    settings: SamplingSettings,
    cache: str,
) -> Int[Tensor, "rows tokens"]:
    """Draws from the same distribution, with noise of its own.

    Args:
        cache: "dynamic" or "static", see `transformers`' `cache_implementation`.
    """
    ids = model.generate(
        prefix,
        attention_mask=torch.ones_like(prefix),
        max_new_tokens=tokens,
        min_new_tokens=tokens,
        do_sample=settings.temperature > 0,
        temperature=settings.temperature or 1.0,
        top_k=settings.top_k or 0,
        top_p=settings.top_p or 1.0,
        cache_implementation=cache,
    )
    return ids[:, prefix.shape[1] :]
