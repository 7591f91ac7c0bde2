"""Evaluates an editor on a validation set, next to what needs no editor."""

import time
from typing import NamedTuple

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from e2eve.data.images import to_uint8
from e2eve.editor import Editor
from e2eve.evaluation.evaluation import Evaluation, ShownSamples, SystemResult
from e2eve.evaluation.feature_batches import device_of, features_of
from e2eve.evaluation.likelihood import PairedNLL, joined_nll, paired_nll
from e2eve.evaluation.measuring import Measurements, joined, measure, summary
from e2eve.evaluation.systems import (
    SYSTEMS,
    Edits,
    EvaluationSettings,
    InputBatch,
    edits_of,
    input_batch,
    swap_distance,
)
from e2eve.evaluation.validation_set import ValidationSet
from e2eve.features import FeatureExtractor, PerceptualDistance
from e2eve.reporting.progress import Report, silent

SAME_FEATURES = 1e-2
"""Largest relative difference at which features count as those of the same network."""


class Instruments(NamedTuple):
    extractor: FeatureExtractor
    perceptual: PerceptualDistance | None


class BatchResult(NamedTuple):
    found: dict[str, Measurements]
    nll: PairedNLL
    samples: Edits


@torch.no_grad()
def evaluate(
    editor: Editor,
    validation: ValidationSet,
    extractor: FeatureExtractor,
    perceptual: PerceptualDistance | None,
    *,
    settings: EvaluationSettings,
    progress: Report = silent,
) -> Evaluation:
    """Draws samples and measures them.

    Args:
        extractor: the one that the validation set was built with, on the editor's device.
        perceptual: for the diversity, which is left out without it.

    Raises:
        ValueError: when editor, extractor and validation set don't fit.
    """
    check_fit(editor, validation, extractor)
    began = time.monotonic()
    swap = swap_distance(validation)
    instruments = Instruments(extractor, perceptual)
    count = len(validation)
    results: list[BatchResult] = []
    shown: list[np.ndarray] = []
    for start in range(0, count, settings.batch_size):
        rows = range(start, min(count, start + settings.batch_size))
        inputs = input_batch(validation, rows, swap, settings.seed, editor.device)
        result = _evaluate_batch(editor, inputs, instruments, settings)
        results.append(result)
        shown += _pictures(result.samples, settings.shown - len(shown))
        progress("edits measured", rows.stop, count)
    found = {key: joined([result.found[key] for result in results]) for key in results[0].found}
    systems = tuple(
        SystemResult(system, found[system.key], summary(found[system.key], validation.features))
        for system in SYSTEMS
    )
    return Evaluation(
        systems=systems,
        nll=joined_nll([result.nll for result in results]),
        shown=ShownSamples(tuple(shown), found["editor"].distances[: len(shown)]),
        validation=validation,
        settings=settings,
        swap=swap,
        extractor=extractor.name,
        frechet_name=extractor.frechet_name,
        perceptual=perceptual.name if perceptual is not None else None,
        seconds=time.monotonic() - began,
    )


def _evaluate_batch(
    editor: Editor, inputs: InputBatch, instruments: Instruments, settings: EvaluationSettings
) -> BatchResult:
    reconstructions = edits_of("reconstruction", editor, inputs, settings)[:, 0]
    found: dict[str, Measurements] = {}
    samples = None
    for system in SYSTEMS:
        edits = edits_of(system.key, editor, inputs, settings).float()
        found[system.key] = measure(edits, inputs, reconstructions.float(), *instruments)
        samples = edits if samples is None else samples
    assert samples is not None
    return BatchResult(found, paired_nll(editor, inputs), samples)


def _pictures(samples: Float[Tensor, "batch samples 3 side side"], count: int) -> list[np.ndarray]:
    """The first inputs' samples as pictures, while some are still wanted."""
    wanted = samples[: max(0, count)]
    flat = to_uint8(rearrange(wanted, "b n c h w -> (b n) c h w").cpu())
    return list(rearrange(flat, "(b n) h w c -> b n h w c", n=samples.shape[1]))


def check_fit(editor: Editor, validation: ValidationSet, extractor: FeatureExtractor) -> None:
    """Raise one sentence where sizes or features don't fit, naming both values."""
    for name in ("image_size", "driver_size"):
        ours, theirs = getattr(editor, name), getattr(validation, name)
        if ours != theirs:
            raise ValueError(
                f"The editor's {name} is {ours} and the validation set's is {theirs}, build one "
                f"with {name}={ours}."
            )
    if extractor.name != validation.extractor:
        raise ValueError(
            f'The validation set holds features of "{validation.extractor}" and the extractor is '
            f'"{extractor.name}", use the same or build the validation set again.'
        )
    stored = validation.features.drivers
    seen = features_of(extractor, validation.drivers)
    difference = ((seen - stored).norm() / stored.norm().clamp(min=1e-12)).item()
    if difference > SAME_FEATURES:
        raise ValueError(
            f'The features of "{extractor.name}" differ from those in the validation set by '
            f"{difference:.0%}: it was built with other weights, use those or build it again."
        )
    if device_of(extractor) != editor.device:
        raise ValueError(
            f"The extractor is on {device_of(extractor)} and the editor on {editor.device}, move "
            "one of them."
        )
