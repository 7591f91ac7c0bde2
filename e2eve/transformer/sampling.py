"""How one token is drawn: settings, the draw, its noise.

A token is the argmax over the codebook of log p + Gumbel noise (Gumbel 1954; Maddison et al. 2014),
and the noise is a function of (seed, sample, position). So an edit depends on its seed alone, not
on the batch that it is drawn in, nor on how many samples are asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from e2eve.checks import check_number, whole_number


@dataclass(frozen=True)
class SamplingSettings:
    """How tokens are drawn, whatever the family of the token model; a family may add fields.

    temperature: divides the logits; 0 takes the likeliest token.
    top_k: keep the k likeliest tokens; None keeps all.
    top_p: keep the likeliest tokens that together reach this probability; None keeps all.
    guidance: how closely the driver is followed; 1 as the network has learnt, 0 not at all. Logits
        are those with an empty driver, plus so many times their difference to those with the
        driver (Ho and Salimans 2022, "Classifier-free diffusion guidance", equation 6). Any but 1
        takes twice the work.
    preserve: "tokens" keeps the source's token wherever a cell lies wholly outside the region.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = 0.9
    guidance: float = 1.0
    preserve: str | None = None

    def __post_init__(self) -> None:
        check_number("temperature", self.temperature, "use 0 (likeliest) or more")
        check_number("guidance", self.guidance, "use 0 (no driver), 1 or more")
        check_count(self, "top_k", "keep at least 1 token, or null for all")
        if self.top_p is not None:
            check_number("top_p", self.top_p, "use a probability in (0, 1], or null", 1e-9, 1)
        if self.preserve not in (None, "tokens"):
            raise ValueError(f'preserve is "{self.preserve}": use "tokens", or null for nothing.')

    @property
    def reads_blends(self) -> bool:
        """Whether sampling looks at the drivers blended into the sources."""
        return False


def check_count(settings: SamplingSettings, name: str, remedy: str) -> None:
    """Make a setting an integer from 1 on, unless it is None."""
    if (value := getattr(settings, name)) is not None:
        object.__setattr__(settings, name, whole_number(name, value, remedy))


def guided(
    given: Float[Tensor, "*rows codebook"], empty: Float[Tensor, "*rows codebook"], guidance: float
) -> Float[Tensor, "*rows codebook"]:
    """Logits with the driver and with an empty one, and beyond their difference."""
    return empty + guidance * (given - empty)


def draw(
    logits: Float[Tensor, "rows codebook"],
    noise: Float[Tensor, "rows codebook"],
    settings: SamplingSettings,
) -> Int[Tensor, "rows"]:
    """One exact sample a row of softmax(logits / temperature) after top-k, then top-p."""
    if settings.temperature == 0:
        return logits.argmax(-1)
    logits = logits / settings.temperature
    if settings.top_k is None or settings.top_k >= logits.shape[-1]:
        return _draw_top_p(logits, noise, settings.top_p)
    logits, ids = logits.topk(settings.top_k)
    drawn = _draw_top_p(logits, noise.gather(1, ids), settings.top_p)
    return ids.gather(1, drawn[:, None])[:, 0]


def _draw_top_p(
    logits: Float[Tensor, "rows tokens"], noise: Float[Tensor, "rows tokens"], top_p: float | None
) -> Int[Tensor, "rows"]:
    """Draw from all, and draw again where the likelier tokens alone reach `top_p`.

    Drawing goes down the same order that the kept tokens alone would give, so the first that is
    kept is the sample, and nothing is sorted. With a token all less likely ones are dropped.
    """
    scores = logits + noise
    drawn = scores.argmax(-1)
    if top_p is None or top_p == 1:
        return drawn
    shares = logits.softmax(-1)
    rows = torch.arange(len(drawn), device=drawn.device)
    while len(rows):
        share = shares[rows, drawn[rows]][:, None]
        likelier = (shares[rows] * (shares[rows] > share)).sum(-1)
        dropped = likelier >= top_p
        rows, share = rows[dropped], share[dropped]
        scores[rows] = scores[rows].masked_fill(shares[rows] <= share, -torch.inf)
        drawn[rows] = scores[rows].argmax(-1)
    return drawn


def generator_of(seed: int, sample: int) -> torch.Generator:
    """What one sample's random numbers are drawn from, on the CPU, the same on every machine."""
    state = int(np.random.SeedSequence((seed, sample)).generate_state(1, np.uint64)[0] >> 1)
    return torch.Generator().manual_seed(state)


def gumbel(generator: torch.Generator, *shape: int) -> Float[Tensor, "*shape"]:
    """Noise of the standard Gumbel distribution."""
    uniform = torch.rand(*shape, generator=generator)
    return -torch.log(-torch.log(uniform.clamp(1e-20, 1 - 1e-7)))


def gumbel_noise(
    seed: int, sample: int, tokens: int, codebook_size: int
) -> Float[Tensor, "tokens codebook"]:
    """The noise of one sample, a number for each token and id."""
    return gumbel(generator_of(seed, sample), tokens, codebook_size)


def batch_noise(
    seeds: Sequence[int], num_samples: int, tokens: int, codebook_size: int
) -> Float[Tensor, "rows tokens codebook"]:
    rows = [gumbel_noise(s, n, tokens, codebook_size) for s in seeds for n in range(num_samples)]
    return torch.stack(rows)
