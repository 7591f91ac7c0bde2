"""Evaluates an editor on a validation set, next to what needs no editor."""

import time
from typing import NamedTuple

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor

from e2eve.data.images import to_uint8
from e2eve.editor import Editor
from e2eve.evaluation.evaluation import Evaluation, ShownSamples, SystemResult
from e2eve.evaluation.feature_batches import device_of, features_of
from e2eve.evaluation.likelihood import PairedNLL, joined_nll, paired_nll
from e2eve.evaluation.measuring import Instruments, Measurements, joined, measure, summary
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
from e2eve.features.pooled import PooledMaps, maps_name
from e2eve.reporting.progress import Report, silent

SAME_FEATURES = 1e-2
"""Largest relative difference at which features count as those of the same network."""

CHECKED = 8
"""Pictures whose features are compared before an evaluation."""


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
        perceptual: for the diversity, which is left out without it, and for R@k where the
            validation set was built with it.

    Raises:
        ValueError: when editor, extractor and validation set don't fit.
    """
    began = time.monotonic()
    check_fit(editor, validation, extractor)
    retrieval = retrieval_network(validation, extractor, perceptual)
    check_features(extractor, validation.sources, validation.features.sources)
    check_features(retrieval, validation.drivers, validation.features.drivers)
    instruments = Instruments(extractor, retrieval, perceptual)
    swap = swap_distance(validation)
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
        found[system.key] = measure(edits, inputs, reconstructions.float(), instruments)
        samples = edits if samples is None else samples
    assert samples is not None
    return BatchResult(found, paired_nll(editor, inputs), samples)


def _pictures(samples: Float[Tensor, "batch samples 3 side side"], count: int) -> list[np.ndarray]:
    """The first inputs' samples as pictures, while some are still wanted."""
    wanted = samples[: max(0, count)]
    flat = to_uint8(rearrange(wanted, "b n c h w -> (b n) c h w").cpu())
    return list(rearrange(flat, "(b n) h w c -> b n h w c", n=samples.shape[1]))


def retrieval_network(
    validation: ValidationSet, extractor: FeatureExtractor, perceptual: PerceptualDistance | None
) -> FeatureExtractor:
    """The network whose features of drivers and distractors the validation set holds.

    Raises:
        ValueError: when it is neither the extractor nor made of the perceptual distance.
    """
    if validation.retrieval == extractor.name:
        return extractor
    if perceptual is not None and validation.retrieval == maps_name(perceptual.name):
        return PooledMaps(perceptual)
    given = "none" if perceptual is None else f'"{perceptual.name}"'
    raise ValueError(
        f'Drivers are found by features of "{validation.retrieval}" in the validation set, and '
        f"the perceptual distance is {given}: give the one that it was built with."
    )


def check_fit(editor: Editor, validation: ValidationSet, extractor: FeatureExtractor) -> None:
    """Raise one sentence where sizes, names or devices don't fit, naming both values."""
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
    if device_of(extractor) != editor.device:
        raise ValueError(
            f"The extractor is on {device_of(extractor)} and the editor on {editor.device}, move "
            "one of them."
        )


def check_features(
    network: FeatureExtractor,
    images: UInt8[np.ndarray, "count side side 3"],
    stored: Float[Tensor, "count dim"],
) -> None:
    """Raise one sentence when a network with other weights or settings wrote the features."""
    seen, stored = features_of(network, images[:CHECKED]), stored[:CHECKED]
    known = seen.shape == stored.shape
    difference = ((seen - stored).norm() / stored.norm()).item() if known else float("inf")
    if difference > SAME_FEATURES:
        raise ValueError(
            f'The features of "{network.name}" differ from those in the validation set by '
            f"{difference:.0%}: it was built with other weights, use those or build it again."
        )
