"""Parts around the networks: making training examples, measuring edits, a validation pass."""

import itertools
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from e2eve.benchmarks.networks import training_work
from e2eve.benchmarks.setting import IMAGES, Part, Setting, operations_of, part
from e2eve.benchmarks.timing import CLOCKS, Variant
from e2eve.conditioning import EditBatch
from e2eve.data import ToyFaces
from e2eve.edit_simulation import (
    Block,
    CentreView,
    DriverCrop,
    EditSimulation,
    FreeForm,
    RandomView,
)
from e2eve.editor import Editor
from e2eve.evaluation.evaluator import by_key, evaluate
from e2eve.evaluation.settings import DrawingSettings
from e2eve.evaluation.systems import input_batch
from e2eve.evaluation.validation_building import build_validation_set
from e2eve.evaluation.validation_set import ValidationSet
from e2eve.features import PooledMaps, build_extractor, build_perceptual
from e2eve.metrics.base import EvaluatedBatch, MetricNetworks
from e2eve.training.data_module import Simulated

# Floating-point operations a second that a training run makes an H100 do, in bf16: 40 % of its
# peak of 989e12.
H100 = 400e12

# Edits of an input, crops that a driver has to be found among, real images.
SAMPLES, DISTRACTORS, REFERENCES = 4, 100, 200


@part
def mask(setting: Setting) -> Part:
    """A free-form region and the driver's box; the batch is their number."""
    simulation, rng = _simulation(setting, free_form=True), np.random.default_rng(setting.seed)
    side = setting.sides[0]
    circle = cv2.ellipse2Poly((side // 2, side // 2), (side // 4, side // 4), 0, 0, 360, 3)

    def draw_and_search() -> None:
        canvas = cv2.fillPoly(np.zeros((side, side), np.uint8), [circle], (1,))
        cv2.distanceTransform(canvas, cv2.DIST_C, 3)

    ours = Variant("e2eve", lambda: [simulation.place(rng) for _ in range(setting.batch)])
    what = f"{setting.batch} × one fillPoly and one distance transform of OpenCV, measured"
    least = setting.batch * setting.fastest(draw_and_search)
    return Part([ours], {what: least}, subject=(simulation,))


@part
def block_item(setting: Setting) -> Part:
    return _item(setting, free_form=False)


@part
def free_form_item(setting: Setting) -> Part:
    return _item(setting, free_form=True)


def _item(setting: Setting, free_form: bool) -> Part:
    """From a JPEG file of twice the side to tensors; the batch is the number of examples."""
    edits, count = _edits(setting, free_form), itertools.count()

    def make() -> None:
        for n in itertools.islice(count, setting.batch):
            EditBatch.collate([edits[n, n % IMAGES]])

    least = setting.batch * setting.fastest(lambda: setting.images[0])
    roofline = {f"{setting.batch} × decoding the JPEG, measured": least}
    subject = (_simulation(setting, free_form), setting.images)
    return Part([Variant("e2eve", make)], roofline, subject=subject)


@part
def loader(setting: Setting) -> Part:
    """Free-form examples by way of loader processes; the batch is that of a training step.

    The roofline is what an H100 needs to train on a batch: the ratio to it says how many times as
    many loader processes keep one busy.
    """
    edits, batches = _edits(setting, free_form=True), 64 // setting.batch + 1
    keys = ((0, n % IMAGES) for n in itertools.count())
    options: dict[str, Any] = {"sampler": keys, "num_workers": setting.workers}
    stream = iter(DataLoader(edits, setting.batch, collate_fn=edits.collate, **options))
    ours = Variant("e2eve", lambda: [next(stream) for _ in range(batches)], share=batches)
    work = sum(map(operations_of, training_work(setting)))
    what = f"an H100 trains on {setting.batch} edits, {work / 1e9:.3g} GFLOP at 400 TFLOP/s"
    return Part([ours], {what: work / H100})


@part
def metrics(setting: Setting) -> Part:
    """All metrics of edits of a system; the batch is the number of inputs, at least two."""
    count = max(2, setting.batch)
    validation, networks = validation_of(setting, count)
    inputs = input_batch(validation, range(count), 1, torch.device(setting.device))
    generator = torch.Generator(setting.device).manual_seed(setting.seed)
    size = (count, SAMPLES, *inputs.sources.shape[1:])
    noise = torch.randn(size, generator=generator, device=setting.device) / 10
    edits = (inputs.sources[:, None] + noise).clamp(-1, 1)
    batch = EvaluatedBatch(edits, inputs, inputs.sources, validation.features, networks)
    assert networks.perceptual is not None
    maps: Callable[..., Any] = networks.perceptual.maps

    @torch.no_grad()
    def measure() -> dict[str, float]:
        fresh, found = replace(batch, shared={}), by_key(None)
        for metric in found.values():
            metric.update(fresh)
        return {key: metric.compute() for key, metric in found.items()}

    @torch.no_grad()
    def look() -> None:  # at as many images of the sizes that metrics look at
        crops = inputs.drivers[:1].expand(16, -1, -1, -1)
        work: list[tuple[Callable[..., Any], Tensor]] = [(networks.extractor, edits[:, 0])] * 2
        work += [(networks.retrieval, crops)] * -(-14 * count * SAMPLES // 16)
        work += [(maps, samples) for samples in edits]
        for network, images in work:
            network(images)

    roofline = {"feature networks alone, measured": setting.fastest(look)}
    return Part([Variant("e2eve", measure)], roofline, subject=(batch,), batch=count)


@part
def validation(setting: Setting) -> Part:
    """A validation pass; the batch is the number of inputs, at least two.

    The roofline is what of its time goes into drawing edits and into networks.
    """
    count, editor = max(2, setting.batch), setting.network.eval()
    inputs, networks = validation_of(setting, count)
    drawing = DrawingSettings(num_samples=SAMPLES, batch_size=count)
    run = partial(evaluate, editor, inputs, networks.extractor, networks.perceptual)
    run = partial(run, settings=drawing)
    inside, whole = min(split_seconds(run, CLOCKS[setting.clock]) for _ in range(setting.rounds))
    roofline = {"drawing edits and networks, measured": inside}
    facts = {"share outside of networks": 1 - inside / whole}
    return Part([Variant("e2eve", run)], roofline, facts=facts, batch=count)


def split_seconds(run: Callable[[], Any], now: Callable[[], float]) -> tuple[float, float]:
    """Seconds that `run` spends drawing edits and inside of networks, and in all."""
    spent, depth = 0.0, 0

    def timed(work: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal spent, depth
            began, depth = now() if not depth else 0.0, depth + 1
            result = work(*args, **kwargs)
            depth -= 1
            if not depth:  # what is called inside is counted with it
                spent += now() - began
            return result

        return call

    with ExitStack() as patches:
        for owner, name in ((Editor, "draw"), (nn.Module, "__call__")):
            patches.enter_context(patch.object(owner, name, timed(getattr(owner, name))))
        began = now()
        run()
        return spent, now() - began


def validation_of(setting: Setting, inputs: int) -> tuple[ValidationSet, MetricNetworks]:
    """Of ToyFaces of the preset's size."""
    sides = setting.sides
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
    return validation, MetricNetworks(extractor, PooledMaps(perceptual), perceptual)


def _simulation(setting: Setting, free_form: bool) -> EditSimulation:
    """As published: the driver is 0.5 to 0.7 of a block's side, or all of a square in a blob."""
    region = FreeForm() if free_form else Block()
    driver = DriverCrop(1.0, 1.0) if free_form else DriverCrop(0.5, 0.7)
    return EditSimulation(*setting.sides, RandomView(), region, driver)


def _edits(setting: Setting, free_form: bool) -> Simulated:
    return Simulated(setting.images, _simulation(setting, free_form), setting.seed)
