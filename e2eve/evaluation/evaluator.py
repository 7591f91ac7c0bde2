"""Evaluates an editor on a validation set, next to what needs no editor."""

import math
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor

from e2eve.data.images import to_uint8
from e2eve.editor import Editor
from e2eve.evaluation.evaluation import Evaluation, FirstSamples, SystemResult
from e2eve.evaluation.feature_batches import device_of, features_of
from e2eve.evaluation.likelihood import PairedNLL, joined_nll, paired_nll
from e2eve.evaluation.measuring import Instruments, Measurements, joined, measure, summary
from e2eve.evaluation.sharing import ALONE, Share
from e2eve.evaluation.systems import (
    SYSTEMS,
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
    """Of the inputs `rows`; pictures of those among them that are shown or saved."""

    rows: range
    found: dict[str, Measurements]
    nll: PairedNLL
    pictures: list[UInt8[np.ndarray, "samples side side 3"]]


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
    found = evaluate_together(
        editor, validation, extractor, perceptual, settings=settings, progress=progress
    )
    assert found is not None  # which only other processes get
    return found


@torch.no_grad()
def evaluate_together(
    editor: Editor,
    validation: ValidationSet,
    extractor: FeatureExtractor,
    perceptual: PerceptualDistance | None,
    *,
    settings: EvaluationSettings,
    share: Share = ALONE,
    progress: Report = silent,
) -> Evaluation | None:
    """`evaluate` by several processes; the evaluation in the first one, None in the others.

    Each process measures whole batches, which are the same however many processes there are as
    long as there is one for each.
    """
    began = time.monotonic()
    instruments = instruments_for(editor, validation, extractor, perceptual)
    own: list[BatchResult] = []
    batches = share.of(batches_of(len(validation), settings.batch_size, share.ranks))
    swap = swap_distance(validation)
    for rows in batches:
        inputs = input_batch(validation, rows, swap, settings.seed, editor.device)
        own.append(_evaluate_batch(editor, inputs, rows, instruments, settings))
        progress("batches measured", len(own), len(batches))
    everyone = share.gathered(own)
    if everyone is None:
        return None
    results = in_order([result for part in everyone for result in part], len(validation))
    seconds = time.monotonic() - began
    return assembled(results, validation, instruments, settings, swap=swap, seconds=seconds)


def assembled(
    results: Sequence[BatchResult],
    validation: ValidationSet,
    instruments: Instruments,
    settings: EvaluationSettings,
    *,
    swap: int,
    seconds: float,
) -> Evaluation:
    """The evaluation that these batches, in the order of inputs, add up to."""
    extractor, perceptual = instruments.extractor, instruments.perceptual
    found = {key: joined([result.found[key] for result in results]) for key in results[0].found}
    systems = tuple(
        SystemResult(system, found[system.key], summary(found[system.key], validation.features))
        for system in SYSTEMS
    )
    first = tuple(picture for result in results for picture in result.pictures)
    return Evaluation(
        systems=systems,
        nll=joined_nll([result.nll for result in results]),
        first=FirstSamples(first, found["editor"].distances[: len(first)]),
        validation=validation,
        settings=settings,
        swap=swap,
        extractor=extractor.name,
        frechet_name=extractor.frechet_name,
        perceptual=perceptual.name if perceptual is not None else None,
        seconds=seconds,
    )


def batches_of(count: int, size: int, ranks: int = 1) -> list[range]:
    """Runs of at most `size` inputs, shorter ones where some process would get none otherwise."""
    size = min(size, math.ceil(count / ranks))
    return [range(start, min(count, start + size)) for start in range(0, count, size)]


def in_order(results: Sequence[BatchResult], count: int) -> list[BatchResult]:
    """By input, and every one of them exactly once."""
    ordered = sorted(results, key=lambda result: result.rows.start)
    assert [row for result in ordered for row in result.rows] == list(range(count))
    return ordered


def _evaluate_batch(
    editor: Editor,
    inputs: InputBatch,
    rows: range,
    instruments: Instruments,
    settings: EvaluationSettings,
) -> BatchResult:
    reconstructions = edits_of("reconstruction", editor, inputs, settings)[:, 0]
    found: dict[str, Measurements] = {}
    pictures: list[np.ndarray] = []
    for system in SYSTEMS:
        edits = edits_of(system.key, editor, inputs, settings).float()
        found[system.key] = measure(edits, inputs, reconstructions.float(), instruments)
        if system.key == "editor":
            wanted = max(settings.shown, settings.saved) - rows.start
            pictures = _pictures(edits[: max(0, wanted)])
    return BatchResult(rows, found, paired_nll(editor, inputs), pictures)


def _pictures(
    samples: Float[Tensor, "batch samples 3 side side"],
) -> list[UInt8[np.ndarray, "samples side side 3"]]:
    flat = to_uint8(rearrange(samples, "b n c h w -> (b n) c h w").cpu())
    return list(rearrange(flat, "(b n) h w c -> b n h w c", n=samples.shape[1]))


@torch.no_grad()
def instruments_for(
    editor: Editor,
    validation: ValidationSet,
    extractor: FeatureExtractor,
    perceptual: PerceptualDistance | None,
) -> Instruments:
    """What measures this editor's edits.

    Raises:
        ValueError: when editor, networks and validation set don't fit each other.
    """
    check_fit(editor, validation, extractor)
    retrieval = retrieval_network(validation, extractor, perceptual)
    check_features(extractor, validation.sources, validation.features.sources)
    check_features(retrieval, validation.drivers, validation.features.drivers)
    return Instruments(extractor, retrieval, perceptual)


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
