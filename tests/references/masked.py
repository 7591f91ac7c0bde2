"""Masked decoding as a straightforward implementation does it: what the family is held against."""

import math

import torch

from e2eve.transformer import Conditioning, Masked, MaskedSampling
from e2eve.transformer.masked import halton_places
from e2eve.transformer.model import widened
from e2eve.transformer.sampling import generator_of, gumbel
from tests.references.sampling import filter_logits


@torch.no_grad()
def slowly_drawn(
    model: Masked, given: Conditioning, row: int, seed: int, number: int, settings: MaskedSampling
) -> torch.Tensor:
    """One sample: one row, one pass after the other, one cell after the other."""
    cells = given.region_cells[row]
    region, ids = widened(cells[None], model.config.rim)[0], given.source_ids[row].clone()
    hidden = region.nonzero()[:, 0].tolist()
    if given.preserved_ids is not None:
        ids[region] = given.preserved_ids[row][region]
        hidden = cells.nonzero()[:, 0].tolist()
    count, generator = len(hidden), generator_of(seed, number)
    ids[hidden] = codes = model.hidden_id
    passes = count if settings.order == "fixed" else settings.passes
    for step in range(1, passes + 1):
        if not hidden:
            break
        left = min(len(hidden) - 1, math.floor(count * math.cos(math.pi / 2 * step / passes)))
        if settings.order == "fixed":
            left = len(hidden) - 1
        candidates = hidden
        if settings.order == "halton":
            places = halton_places(math.isqrt(len(cells)))
            candidates = sorted(sorted(hidden, key=lambda c: places[c])[: len(hidden) - left])
        if settings.order == "fixed":
            candidates = hidden[:1]
        read = [
            model.head(model(driver[None], ids[None], region[None]))[0]
            for driver in (given.driver_ids[row], given.empty_driver_ids)
            if driver is not None
        ]
        logits = read[0]
        if len(read) == 2:
            logits = read[1] + settings.guidance * (read[0] - read[1])
        noise, drawn, surprise = gumbel(generator, len(candidates), codes), {}, {}
        for cell, own in zip(candidates, noise, strict=True):
            drawn[cell] = (filter_logits(logits[cell : cell + 1], settings)[0] + own).argmax()
        if settings.order == "confidence":
            extra = gumbel(generator, len(candidates)) if settings.temperature else [0] * count
            scale = settings.choice_temperature * (1 - step / passes)
            for cell, own in zip(candidates, extra, strict=False):
                surprise[cell] = logits[cell].log_softmax(-1)[drawn[cell]] + scale * own
            candidates = sorted(candidates, key=lambda c: -surprise[c])[: len(hidden) - left]
        for cell in candidates:
            ids[cell] = drawn[cell]
        hidden = [cell for cell in hidden if cell not in candidates]
    if given.preserved_ids is not None:
        ids = torch.where(cells, ids, given.preserved_ids[row])
    return ids
