"""Exact sampling, many tokens in a pass where guesses of them are right.

A token is a function of the tokens before it and of noise that is known beforehand. So one pass
over guessed tokens verifies them: what it computes is exact up to and including the first token
that differs from its guess, and what follows is the better guess for the next pass (Jacobi
iteration). No draft network is needed. Whatever is guessed, the ids are those of drawing one token
after the other: Wiggers and Hoogeboom 2020, "Predictive sampling with forecasting autoregressive
models"; Daliri et al. 2024.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor

from e2eve.checks import check_number
from e2eve.transformer.gpt.network import (
    CausalTransformer,
    KeyValueCache,
    PassTokens,
    RegionCells,
)
from e2eve.transformer.gpt.packed import PRECISIONS, packed
from e2eve.transformer.model import Progress
from e2eve.transformer.sampling import (
    SamplingSettings,
    batch_noise,
    check_count,
    draw,
    guided,
)

MOST_OF_A_ROW, MOST_OF_A_PASS = 16, 32
"""Tokens beyond which a pass costs more than it saves, measured on a CPU with the acceptance of a
trained editor."""

DRAFTS = ("source", "paste", "none")


@dataclass(frozen=True)
class GPTSampling(SamplingSettings):
    """Settings of a GPT, beside those of every token model.

    precision: of the network's matrices: "full" as they are, "bfloat16" or "int8" rounded.
    refine: edits refine a Poisson blend of the driver into the source. Inside the region an id of
        the blend stays wherever it is at least so many times as likely as the likeliest, 0 to 1;
        what is less likely is drawn. None: nothing stays because of that. The rule is the "typical
        acceptance" of Cai et al. 2024 (Medusa, section 3.3), with a share in place of an entropy.

    The others change nothing but the time:

    draft: what is guessed and then verified, many tokens in a pass: the ids of the masked
        "source", or inside the region those of the "paste", the driver blended into the source.
    num_speculative_tokens: the most tokens guessed in a pass; None chooses by the number of
        samples.
    """

    precision: str = "full"
    refine: float | None = None
    draft: str = "source"
    num_speculative_tokens: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, choices in (("precision", PRECISIONS), ("draft", DRAFTS)):
            if (value := getattr(self, name)) not in choices:
                listed = ", ".join(f'"{choice}"' for choice in choices)
                raise ValueError(f'{name} is "{value}": use one of {listed}.')
        if self.refine is not None:
            check_number("refine", self.refine, "use a share from 0 to 1, or null", 0, 1)
        check_count(self, "num_speculative_tokens", "guess at least 1 token, or null")

    @property
    def reads_blends(self) -> bool:
        return self.draft == "paste" or self.refine is not None


class Draft(NamedTuple):
    """What is known or guessed of the target before anything is drawn."""

    ids: Int[Tensor, "inputs target"]
    known: Bool[Tensor, "inputs target"]  # keeps its id and is not drawn
    blend: Bool[Tensor, "inputs target"] | None = None  # whose ids `refine` may let stay


class Sampled(NamedTuple):
    ids: Int[Tensor, "inputs num_samples target"]
    guessed: Bool[Tensor, "inputs num_samples target"]  # rightly, when it was verified
    passes: Int[Tensor, "inputs num_samples"]  # after the one over the prefix


@torch.inference_mode()
def sample(
    gpt: CausalTransformer,
    driver_ids: Int[Tensor, "inputs driver"],
    source_ids: Int[Tensor, "inputs source"],
    *,
    num_samples: int,
    seeds: Sequence[int],
    settings: GPTSampling,
    empty_driver: Int[Tensor, "driver"] | None = None,
    codebook_size: int | None = None,
    draft: Draft | None = None,
    region: Bool[Tensor, "inputs target"] | None = None,
    progress: Progress = lambda done: None,
) -> Sampled:
    """Draw target ids.

    Args:
        seeds: one for each input.
        empty_driver: ids that say nothing of what should appear; for a guidance other than 1.
        codebook_size: of the source tokenizer; ids from there on, which the network may know for
            drivers, are not drawn. Without it there are none.
        draft: without one, nothing is known and the source's ids are guessed.
        region: cells that a network reads that predicts no others, which keep the draft's ids.
        progress: told after each pass how many tokens every row has at least.
    """
    ids, known, blend = draft or Draft(source_ids, torch.zeros_like(source_ids, dtype=torch.bool))
    blend = torch.zeros_like(known) if blend is None else blend
    prefix, cells = torch.cat([driver_ids, source_ids], dim=1), None
    if region is None:
        # What every input knows at its beginning is read with the conditioning, once.
        lead = int(known.long().cumprod(1).sum(1).min())
        columns = torch.arange(lead, ids.shape[1], device=ids.device).expand(len(ids), -1)
        prefix = torch.cat([prefix, ids[:, :lead]], dim=1)
        # The prefix's last token is read with the first pass, which predicts what follows it.
        prefix, last = prefix[:, :-1], prefix[:, -1:]
    else:
        cells, real = RegionCells.of(region)
        columns, last = cells, prefix[:, -1:]
        known = known.scatter(1, cells, known.gather(1, cells) | ~real)
    vocabulary = len(gpt.tokens.weight)
    noise = batch_noise(seeds, num_samples, gpt.layout.target, vocabulary)
    network = packed(gpt, settings.precision)
    room = columns.shape[1]
    read = functools.partial(KeyValueCache, gpt, network, samples=num_samples, room=room)
    if settings.guidance == 1:
        cache: KeyValueCache | Guided = read(prefix, cells=cells)
    else:
        assert empty_driver is not None
        cache = Guided(read, prefix, cells, empty_driver, settings.guidance)
    drawn = known.gather(1, columns)
    ends = span_ends(drawn, speculated(settings, len(noise)))
    each = functools.partial(torch.repeat_interleave, repeats=num_samples, dim=0)
    columns, rows = each(columns), torch.arange(len(noise))[:, None]
    state = DecodingState(
        each(torch.cat([last, ids.gather(1, columns[::num_samples])], dim=1)),
        each(drawn),
        each(ends),
        noise[rows, columns.cpu()].to(ids.device),
        each(blend).gather(1, columns),
    )
    while state.counts().any():
        tokens = state.next_tokens()
        logits = cache.read(tokens)
        logits[:, codebook_size or vocabulary :] = -torch.inf
        state.accept(tokens, logits, settings)
        progress(ids.shape[1] - room + state.done())
    ids, guessed = each(ids), torch.ones_like(each(known))
    parts = (
        ids.scatter(1, columns, state.ids[:, 1:]),
        guessed.scatter(1, columns, state.guessed),
        state.passes,
    )
    return Sampled(*(rearrange(p, "(b n) ... -> b n ...", n=num_samples) for p in parts))


class Guided:
    """Reads every row with its driver and with an empty one, and goes beyond their difference.

    Args:
        read: makes the cache of prefixes and of the cells that follow them.
        prefix: of inputs with their drivers, which come first.
    """

    def __init__(
        self,
        read: Callable[..., KeyValueCache],
        prefix: Int[Tensor, "inputs prefix"],
        cells: Int[Tensor, "inputs columns"] | None,
        empty_driver: Int[Tensor, "driver"],
        guidance: float,
    ) -> None:
        without = prefix.clone()
        without[:, : len(empty_driver)] = empty_driver
        both = torch.cat([prefix, without])
        self.cache = read(both, cells=None if cells is None else cells.repeat(2, 1))
        self.guidance = guidance

    def read(self, tokens: PassTokens) -> Float[Tensor, "tokens codebook"]:
        """Logits of what follows each token; both readings share a pass over the weights."""
        ids, rows, columns, offsets = (part.repeat(2) for part in tokens)
        rows[len(tokens.rows) :] += self.cache.rows // 2
        given, empty = self.cache.read(PassTokens(ids, rows, columns, offsets)).chunk(2)
        return guided(given, empty, self.guidance)


def speculated(settings: GPTSampling, rows: int) -> int:
    """Tokens that each of so many rows guesses in a pass."""
    if settings.draft == "none":
        return 1
    return settings.num_speculative_tokens or min(MOST_OF_A_ROW, max(2, MOST_OF_A_PASS // rows))


def span_ends(
    known: Bool[Tensor, "inputs columns"], drawn: int
) -> Int[Tensor, "inputs columns_and_one"]:
    """Where what a pass reads ends, exclusively, if it starts at each of columns + 1 places.

    After `drawn` tokens to draw, or the last of all. What is known lies between them and is read
    along; where nothing is left to draw, the span ends at its start or before it.
    """
    before = F.pad((~known).long().cumsum(1), (1, 0))  # tokens to draw before each place
    return torch.searchsorted(before, (before + drawn).clamp(max=before[:, -1:]))


class DecodingState:
    """Accepted tokens of every row, and guesses of the rest.

    Args:
        ids: column 0 is the last token of the prefix, column 1 + i is token i.
        ends: as in `span_ends`.
        noise: for the draw of each token.
        blend: tokens that stay where they are likely enough.
    """

    def __init__(
        self,
        ids: Int[Tensor, "rows places"],
        known: Bool[Tensor, "rows columns"],
        ends: Int[Tensor, "rows places"],
        noise: Float[Tensor, "rows columns codebook"],
        blend: Bool[Tensor, "rows columns"],
    ) -> None:
        self.ids, self.known, self.ends, self.noise = ids, known, ends, noise
        self.accepted, self.passes = ids.new_zeros(2, len(ids))  # of each row
        self.guessed = known.clone()
        self.first, self.blend = ids[:, 1:].clone(), blend

    def counts(self) -> Int[Tensor, "rows"]:
        """Tokens that each row reads next; 0 where it is complete."""
        ends = self.ends.gather(1, self.accepted[:, None])[:, 0]
        return (ends - self.accepted).clamp(min=0)

    def done(self) -> int:
        """Tokens that every row has at least."""
        return int(self.accepted.masked_fill(self.counts() == 0, self.known.shape[1]).min())

    def next_tokens(self) -> PassTokens:
        """What the next pass reads: each row's last accepted token and guesses after it."""
        counts = self.counts()
        offsets = torch.arange(int(counts.max()), device=counts.device)
        rows, offsets = (offsets < counts[:, None]).nonzero(as_tuple=True)
        columns = self.accepted[rows] + offsets
        return PassTokens(self.ids[rows, columns], rows, columns, offsets)

    def accept(
        self,
        tokens: PassTokens,
        logits: Float[Tensor, "tokens codebook"],
        settings: GPTSampling,
    ) -> None:
        """Draw after each token read; keep what is exact, and the rest as the new guess."""
        rows, columns = tokens.rows, tokens.columns
        logits = logits.to(torch.promote_types(logits.dtype, self.noise.dtype))
        drawn = draw(logits, self.noise[rows, columns].to(logits.dtype), settings)
        if settings.refine is not None:
            first = self.first[rows, columns]
            least = logits.amax(1) + logits.new_tensor(settings.refine).log()
            stays = self.blend[rows, columns] & (logits.gather(1, first[:, None])[:, 0] >= least)
            drawn = torch.where(stays, first, drawn)
        guess = self.ids[rows, columns + 1]
        drawn = torch.where(self.known[rows, columns], guess, drawn)
        self.ids[rows, columns + 1] = drawn
        self.guessed[rows, columns] = drawn == guess
        counts = self.counts()
        right = self.known.new_zeros(len(counts), int(counts.max()))
        right[rows, tokens.offsets] = drawn == guess
        # The first token after the right guesses is exact too: it was drawn from right ones.
        self.accepted += torch.minimum(right.long().cumprod(1).sum(1) + 1, counts)
        self.passes += counts > 0
