"""Measuring edits against measuring them one by one, and what of a validation pass is measuring."""

import functools
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from statistics import median
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
from einops import repeat

from e2eve.benchmarks import reference_metrics as plain
from e2eve.benchmarks.floors import Floor
from e2eve.benchmarks.parts import Part
from e2eve.benchmarks.setting import Setting
from e2eve.benchmarks.timing import Case, finish
from e2eve.data.toyfaces import ToyFaces
from e2eve.edit_simulation import Block, CentreView, DriverCrop, EditSimulation
from e2eve.evaluation.evaluator import evaluate
from e2eve.evaluation.measuring import Instruments, measure, summary
from e2eve.evaluation.systems import Edits, EvaluationSettings, InputBatch, input_batch
from e2eve.evaluation.validation_building import build_validation_set
from e2eve.evaluation.validation_set import ValidationSet
from e2eve.features import build_extractor, build_perceptual
from e2eve.features.base import PooledMaps

SAMPLES, DISTRACTORS, REFERENCES = 4, 100, 200
"""Edits of an input, crops that a driver has to be found among, real pictures."""


class MetricsCase(NamedTuple):
    """Edits of some inputs, and what they are measured with."""

    edits: Edits
    inputs: InputBatch
    instruments: Instruments
    validation: ValidationSet


def prepared(setting: Setting, inputs: int) -> MetricsCase:
    """Sources with noise of its own for each sample."""
    validation, instruments = _validation(setting, inputs)
    batch = input_batch(validation, range(inputs), 1, setting.seed, setting.device)
    edits = repeat(batch.sources, "b c h w -> b n c h w", n=SAMPLES)
    generator = torch.Generator(setting.device).manual_seed(setting.seed)
    noise = torch.empty_like(edits).normal_(0, 0.1, generator=generator)
    return MetricsCase((edits + noise).clamp(-1, 1), batch, instruments, validation)


def metrics_part(setting: Setting) -> Part:
    """All metrics of edits of a system; the batch is the number of inputs, at least two."""
    count = max(2, setting.batch)
    edits, inputs, instruments, validation = prepared(setting, count)

    def ours() -> dict[str, float]:
        found = measure(edits, inputs, inputs.sources, instruments)
        return summary(found, validation.features)

    return Part(
        "metrics",
        count,
        Case("plain", partial(plain.metrics, edits, inputs, instruments, validation.features)),
        Case("ours", torch.no_grad()(ours)),
        floor=_looking(setting, edits, inputs, instruments),
    )


def _looking(setting: Setting, edits: Edits, inputs: InputBatch, instruments: Instruments) -> Floor:
    """The networks alone, on as many pictures of the sizes that they are given."""
    extractor, retrieval, perceptual = instruments
    assert perceptual is not None
    crops = 14 * edits.shape[0] * edits.shape[1]
    drivers = inputs.drivers[:1].expand(16, -1, -1, -1)

    @torch.no_grad()
    def look() -> None:
        for _ in range(2):
            extractor(edits[:, 0])
        for _ in range(-(-crops // 16)):
            retrieval(drivers)
        for samples in edits:
            perceptual.maps(samples)

    return Floor(setting.hardware.fastest(look), "the networks that look, alone, measured")


def validation_part(setting: Setting) -> Part:
    """A validation pass; the batch is the number of inputs, at least two.

    The floor is what of its time goes into the editor's networks and those that look.
    """
    inputs = max(2, setting.batch)
    validation, instruments = _validation(setting, inputs)
    settings = EvaluationSettings(num_samples=SAMPLES, batch_size=inputs)
    run = partial(
        evaluate,
        setting.editor.eval(),
        validation,
        instruments.extractor,
        instruments.perceptual,
        settings=settings,
    )
    networks = (setting.editor, setting.editor.source_tokenizer, *instruments, PooledMaps)
    passes = [split_seconds(setting, run, networks) for _ in range(3)]
    seconds = min(inside for inside, _ in passes)
    outside = median(1 - inside / whole for inside, whole in passes)
    return Part(
        "validation",
        inputs,
        None,
        Case("ours", run),
        floor=Floor(seconds, "sampling, encoding, decoding and the networks that look, measured"),
        facts={"share of a pass outside of them": outside},
    )


WORK = ("sample", "condition", "logits", "encode", "decode", "maps", "forward")


def split_seconds(
    setting: Setting, run: Callable[[], Any], networks: Iterable[Any]
) -> tuple[float, float]:
    """Seconds that `run` spends in these networks, or in networks of these classes, and in all."""
    spent, depth, now = 0.0, 0, setting.hardware.now

    def timed(work: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(work)
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal spent, depth
            began, depth = now(), depth + 1
            result = work(*args, **kwargs)
            finish(setting.device)
            depth -= 1
            if not depth:  # what is called inside is counted with it
                spent += now() - began
            return result

        return call

    with ExitStack() as patches:
        for network in networks:
            for name in WORK:
                if work := getattr(network, name, None):
                    patches.enter_context(patch.object(network, name, timed(work)))
        began = now()
        run()
        whole = now() - began
    return spent, whole


def _validation(setting: Setting, inputs: int) -> tuple[ValidationSet, Instruments]:
    """Of ToyFaces of the preset's size."""
    sides = (setting.preset.image_size, setting.preset.driver_size)
    extractor = build_extractor("efficientnet_lite0").to(setting.device)
    perceptual = build_perceptual("efficientnet_lite0")
    assert perceptual is not None
    perceptual.to(setting.device)
    validation = build_validation_set(
        ToyFaces("val", size=sides[0], length=max(REFERENCES, DISTRACTORS + 2)),
        EditSimulation(*sides, CentreView(), Block(), DriverCrop()),
        extractor,
        perceptual,
        num_inputs=inputs,
        num_references=REFERENCES,
        num_distractors=DISTRACTORS,
        seed=setting.seed,
    )
    return validation, Instruments(extractor, PooledMaps(perceptual), perceptual)
