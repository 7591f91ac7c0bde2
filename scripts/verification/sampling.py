"""How tokens are drawn, beside Hugging Face's logits processors and beside slow references."""

import itertools
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from e2eve.reporting.progress import Report
from e2eve.transformer import EditTokens, GPTSampling, MaskedSampling, SamplingSettings
from e2eve.transformer.gpt import speculative
from e2eve.transformer.gpt.speculative import Draft
from e2eve.transformer.sampling import draw, gumbel_noise
from scripts.verification.findings import (
    Findings,
    Row,
    chi_squared,
    counted,
    installed,
    missing,
    named,
    significance,
    within,
)
from tests.factories import CODES, LAYOUT, conditioning_of, random_ids, sharp_gpt, sharp_masked
from tests.references.masked import slowly_drawn
from tests.references.sampling import reference_sample

CONTEXTS, DRAWS = 20, 20000
LIMIT = 1e-6
TEXT = (
    f"Contexts are logits that a GPT with random weights gives to {CONTEXTS} random "
    "conditionings. Our engine filters nothing: it draws, and draws again where the likelier "
    "tokens alone reach top-p. So its probabilities are found by asking it: how much noise must a "
    "token get until it is drawn in place of the likeliest one? Draws are counted in χ² tests."
)
FILTERS: dict[str, list[SamplingSettings]] = {
    "temperature": [SamplingSettings(0.7, top_p=None), SamplingSettings(1.5, top_p=None)],
    "top-k": [SamplingSettings(top_k=1, top_p=None), SamplingSettings(top_k=7, top_p=None)],
    "top-p": [SamplingSettings(top_p=0.5), SamplingSettings(top_p=0.9)],
    "temperature, top-k and top-p": [
        SamplingSettings(0.7, 5, 0.8),
        SamplingSettings(1.5, 12, 0.95),
        SamplingSettings(1.5, top_p=0.6),
    ],
}
WAYS: dict[str, dict[str, Any]] = {
    "as trained": {},
    "temperature 0.7, top-k 5, top-p 0.8": {"temperature": 0.7, "top_k": 5, "top_p": 0.8},
    "greedy": {"temperature": 0.0},
}
MASKED: list[dict[str, Any]] = [
    {"passes": 1},
    {"passes": 5},
    {"passes": 3, "top_k": 5, "temperature": 0.8},
    {"order": "halton", "passes": 4},
    {"order": "fixed"},
    {"guidance": 2.5, "passes": 3},
    {"guidance": 2.5, "order": "fixed", "preserve": "tokens"},
]


def find(quick: bool, report: Report) -> Findings:
    torch.manual_seed(0)
    parts = (filter_rows, draft_rows, guidance_rows, masked_rows)
    rows: list[Row] = []
    for done, part in enumerate(parts):
        report("sampling", done, len(parts))
        rows += part()
    report("sampling", len(parts), len(parts))
    return Findings("The same sampling", TEXT, rows)


@torch.inference_mode()
def filter_rows() -> list[Row]:
    """Probabilities to a millionth, then draws."""
    if not installed("transformers"):
        return [missing("filtered probabilities and draws", "transformers")]
    ids = LAYOUT.join(random_ids(CONTEXTS, 4), random_ids(CONTEXTS, 16), random_ids(CONTEXTS, 16))
    gpt = sharp_gpt()
    # Softened, so that several tokens are likely in every context.
    logits = gpt.head(gpt.hidden(ids[:, : LAYOUT.conditioning])[:, -1]).double() / 4
    peer = f"{named('transformers')}, logits processors"
    rows: list[Row] = []
    p_values: list[float] = []
    for name, several in FILTERS.items():
        worst = 0.0
        for settings in several:
            theirs = processed(logits, settings)
            worst = max(worst, (probabilities(logits, settings) - theirs).abs().max().item())
            p_values += drawn_law(logits, settings, theirs)
        claim = f"filtered probabilities of {CONTEXTS} contexts: {name}"
        rows.append(within(claim, peer, worst, LIMIT, "absolute"))
    claim = f"{DRAWS} draws in each context, under all of these"
    return [*rows, significance(claim, peer, p_values, "χ² tests")]


def processed(
    logits: Float[Tensor, "rows codebook"], settings: SamplingSettings
) -> Float[Tensor, "rows codebook"]:
    """Probabilities after Hugging Face's processors, in the order in which `generate` has them."""
    from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    none: Any = None  # processors ask for ids, which these do not read
    scores = TemperatureLogitsWarper(settings.temperature)(none, logits.clone())
    if settings.top_k is not None:
        scores = TopKLogitsWarper(settings.top_k)(none, scores)
    if settings.top_p is not None:
        scores = TopPLogitsWarper(settings.top_p)(none, scores)
    return scores.softmax(-1)


def probabilities(
    logits: Float[Tensor, "rows codebook"], settings: SamplingSettings
) -> Float[Tensor, "rows codebook"]:
    """What `draw` draws from, found from outside.

    Against noise 0 of the likeliest token and none of the others, a token is drawn from some noise
    of its own on: minus the logarithm of the ratio of their probabilities. One that is never drawn
    has none.
    """
    count, codes = logits.shape
    rows, tokens = torch.arange(count * codes), torch.arange(codes).repeat(count)
    best = logits.argmax(-1).repeat_interleave(codes)
    low, high = (torch.full((len(rows),), bound, dtype=torch.float64) for bound in (-99, 99))
    asked = logits.repeat_interleave(codes, 0)

    def is_drawn(own: Float[Tensor, " probes"]) -> Tensor:
        noise = torch.full_like(asked, -1e6)
        noise[rows, best] = 0.0
        noise[rows, tokens] = torch.where(tokens == best, 0.0, own)
        return draw(asked, noise, settings) == tokens

    kept = is_drawn(high)
    for _ in range(60):
        middle = (low + high) / 2
        enough = is_drawn(middle)
        low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
    ratios = torch.where(tokens == best, 1.0, (-high).exp()) * kept
    return (ratios / ratios.view(count, codes).sum(1).repeat_interleave(codes)).view(count, codes)


def drawn_law(
    logits: Float[Tensor, "rows codebook"],
    settings: SamplingSettings,
    expected: Float[Tensor, "rows codebook"],
) -> list[float]:
    """p values of χ² tests, one for each context in which more than one token may be drawn."""
    found = []
    for seed, (context, law) in enumerate(zip(logits, expected, strict=True)):
        if (law > 0).sum() < 2:
            continue
        noise = gumbel_noise(seed, 0, DRAWS, len(context)).double()
        drawn = draw(context.expand(DRAWS, -1), noise, settings)
        counts = torch.bincount(drawn, minlength=len(context)).numpy()
        found.append(chi_squared(counts, law.numpy().astype(np.float64)))
    return found


def draft_rows() -> list[Row]:
    """Right, half right and wrong guesses, verified up to 16 tokens a pass."""
    gpt, inputs = sharp_gpt(), 4
    parts, seeds = (random_ids(inputs, 4), random_ids(inputs, 16)), list(range(inputs))
    rows: list[Row] = []
    target = LAYOUT.target
    known = torch.zeros(inputs, target, dtype=torch.bool)
    for name, way in WAYS.items():
        asked: dict[str, Any] = {"num_samples": 1, "seeds": seeds}
        plain = reference_sample(gpt, *parts, **asked, settings=GPTSampling(**way))[:, 0]
        half = torch.where(torch.rand(plain.shape) < 0.5, plain, random_ids(*plain.shape))
        equal = of = 0
        for guess, width in itertools.product(
            (plain, half, (plain + 1) % CODES), range(1, target + 1)
        ):
            settings = GPTSampling(**way, num_speculative_tokens=width)
            draft = Draft(guess, known)
            drawn = speculative.sample(gpt, *parts, **asked, settings=settings, draft=draft)
            equal, of = equal + int((drawn.ids[:, 0] == plain).sum()), of + plain.numel()
        claim = f"exact drafts, windows of 1 to {target} tokens: {name}"
        rows.append(counted(claim, "one token a pass, no cache", equal, of, "tokens"))
    return rows


def guidance_rows() -> list[Row]:
    gpt, inputs = sharp_gpt(), 4
    parts = random_ids(inputs, 4), random_ids(inputs, 16)
    asked: dict[str, Any] = {
        "num_samples": 3,
        "seeds": list(range(inputs)),
        "empty_driver": random_ids(4),
    }
    equal = of = 0
    for guidance in (0.0, 0.5, 2.5):
        settings = GPTSampling(guidance=guidance)
        plain = reference_sample(gpt, *parts, **asked, settings=settings)
        drawn = speculative.sample(gpt, *parts, **asked, settings=settings).ids
        equal, of = equal + int((drawn == plain).sum()), of + plain.numel()
    claim = "guidance 0, 0.5 and 2.5"
    return [counted(claim, "two plain passes a token, no cache", equal, of, "tokens")]


def masked_rows() -> list[Row]:
    """Every order, with guidance and preserved cells, on three regions at once."""
    model, cells = sharp_masked(), torch.zeros(3, 4, 4, dtype=torch.bool)
    cells[0, 1:3, 2:] = cells[1, 0, 0] = cells[2] = True
    edits = EditTokens(random_ids(3, 4), random_ids(3, 16), random_ids(3, 16), cells.flatten(1))
    equal = of = 0
    for values in MASKED:
        settings = MaskedSampling(**values)
        given, seeds = conditioning_of(edits, settings), [5, 6, 7]
        drawn = model.sample(
            given, num_samples=2, seeds=seeds, settings=settings, progress=lambda done: None
        )
        for row, number in itertools.product(range(3), range(2)):
            slow = slowly_drawn(model, given, row, seeds[row], number, settings)
            equal, of = equal + int((drawn[row, number] == slow).sum()), of + slow.numel()
    claim = f"masked family, {len(MASKED)} settings of order, passes, guidance and preserved cells"
    return [counted(claim, "one row, one cell after the other", equal, of, "tokens")]
