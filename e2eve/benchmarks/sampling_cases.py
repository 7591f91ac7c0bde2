"""What of sampling is timed: callables, the plain ways first, each doing what its name says."""

import logging
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from e2eve.benchmarks.gpt2 import as_gpt2, generate
from e2eve.benchmarks.reference_sampling import Cached, sample_plainly, uncached
from e2eve.benchmarks.timing import Case
from e2eve.transformer import GPT, EditTokens, GPTSampling, SequenceLayout, TokenModel
from e2eve.transformer.gpt.key_value_cache import Decoder, Tokens
from e2eve.transformer.gpt.packed import packed
from e2eve.transformer.gpt.speculative import Draft, sample

log = logging.getLogger(__name__)

UNCACHED_TOKENS = 8
"""The uncached loop takes minutes an image at the published size: so many of its tokens are timed
and the rest is computed from them."""


def plain_cases(gpt: GPT, samples: int, *, tokens: int = UNCACHED_TOKENS) -> list[Case]:
    """The uncached loop, and a cache in plain PyTorch."""
    layout, settings = gpt.layout, GPTSampling()
    conditioning = _conditioning(gpt)
    loop = partial(
        sample_plainly, gpt, *conditioning, num_samples=samples, seeds=[0], settings=settings
    )
    read = _tokens_read(layout, tokens) / _tokens_read(layout, layout.target)
    return [
        Case("uncached loop", partial(loop, reader=uncached, tokens=tokens), read),
        Case("cached, plain PyTorch", partial(loop, reader=Cached)),
    ]


def gpt2_cases(gpt: GPT, samples: int) -> list[Case]:
    """GPT-2 of `transformers` with its caches; none where that package is not installed."""
    if find_spec("transformers") is None:
        log.warning("transformers is not installed: its GPT-2 is left out.")
        return []
    prefix = torch.cat(_conditioning(gpt), 1).expand(samples, -1)
    gpt2 = partial(generate, as_gpt2(gpt), prefix, gpt.layout.target, GPTSampling())
    return [
        Case("transformers GPT-2, dynamic cache", partial(gpt2, "dynamic")),
        Case("transformers GPT-2, static cache", partial(gpt2, "static")),
    ]


def engine_cases(gpt: GPT, samples: int, *, region: float = 0.25) -> list[Case]:
    """The engine in its ways; `run` returns its `Sampled`, with the passes that were needed.

    With random weights those say nothing: multiply `pass_cases` by a trained editor's passes.

    Args:
        region: share of the target inside the region, a square in the middle.
    """
    driver_ids, source_ids = _conditioning(gpt)
    inside = _square(gpt.layout, region)
    preserved = Draft(source_ids, ~inside)

    def case(name: str, known: Draft | None = None, **settings: Any) -> Case:
        ask = partial(sample, gpt, driver_ids, source_ids, num_samples=samples, seeds=[0])
        run = partial(ask, settings=GPTSampling(**settings), draft=known)
        return Case(name, run)

    return [
        case("engine", draft="none"),
        case("engine, drafts"),
        case("engine, preserve=tokens", preserved, draft="none", preserve="tokens"),
        case("engine, drafts, preserve=tokens", preserved, preserve="tokens"),
        case("engine, bfloat16", draft="none", precision="bfloat16"),
        case("engine, int8", draft="none", precision="int8"),
        case("engine, int8, drafts", precision="int8"),
    ]


def pass_cases(gpt: GPT, samples: int, *, window: int, precision: str = "full") -> list[Case]:
    """The parts of a sampling: the pass over the prefix, one over a window in mid-picture."""
    prefix = torch.cat(_conditioning(gpt), 1)[:, :-1]
    half = gpt.layout.target // 2
    room = half + window
    rows = torch.arange(samples).repeat_interleave(window)
    offsets = torch.arange(window).repeat(samples)
    tokens = Tokens(torch.zeros_like(rows), rows, half + offsets, offsets)
    network = packed(gpt, precision)
    with torch.inference_mode():
        decoder = Decoder(gpt, network, prefix, samples, room)
    read_prefix = partial(Decoder, gpt, network, prefix, samples, room)
    return [
        Case("prefix", torch.inference_mode()(read_prefix)),
        Case(
            f"pass over {window} × {samples}", torch.inference_mode()(partial(decoder.read, tokens))
        ),
    ]


@torch.inference_mode()
def loss_at(gpt: TokenModel, tokens: EditTokens, precision: str) -> float:
    """Nats per target token with matrices rounded as sampling rounds them."""
    assert isinstance(gpt, GPT)
    rounded = packed(gpt, precision)
    assert isinstance(rounded, GPT)
    return rounded.nll(tokens).loss.item()


def _conditioning(gpt: GPT) -> tuple[Int[Tensor, "1 driver"], Int[Tensor, "1 source"]]:
    generator = torch.Generator().manual_seed(0)
    device, layout = gpt.head.weight.device, gpt.layout
    ids = torch.randint(gpt.config.codebook_size, (1, layout.conditioning), generator=generator)
    driver, source = ids.to(device).split([layout.driver, layout.source], 1)
    return driver, source


def _square(layout: SequenceLayout, share: float) -> Bool[Tensor, "1 target"]:
    side = round(layout.target**0.5)
    edge = max(1, round(side * share**0.5))
    start = (side - edge) // 2
    inside = torch.zeros(1, side, side, dtype=torch.bool)
    inside[:, start : start + edge, start : start + edge] = True
    return inside.flatten(1)


def _tokens_read(layout: SequenceLayout, drawn: int) -> int:
    """By a loop that reads everything before each of so many tokens."""
    return sum(layout.conditioning + n for n in range(drawn))
