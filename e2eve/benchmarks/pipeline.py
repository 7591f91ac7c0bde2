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
from torch import nn
from torch.utils.data import DataLoader

from e2eve.benchmarks.networks import training_work
from e2eve.benchmarks.setting import IMAGES, PARTS, Part, Setting, operations_of, part
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
from e2eve.evaluation.evaluator import Evaluator, by_key, evaluate, networks_for
from e2eve.evaluation.settings import EvaluationSettings
from e2eve.evaluation.systems import input_batch
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
        canvas = cv2.fillPoly(np.zeros((side, side), np.uint8), [np.array(circle)], (1,))
        cv2.distanceTransform(canvas, cv2.DIST_C, 3)

    ours = Variant("e2eve", lambda: [simulation.place(rng) for _ in range(setting.batch)])
    what = f"{setting.batch} × one fillPoly and one distance transform of OpenCV, measured"
    least = setting.batch * setting.fastest(draw_and_search)
    return Part([ours], {what: least}, subject=(simulation,))


def _item(setting: Setting, *, free_form: bool) -> Part:
    """From a JPEG file of twice the side to tensors; the batch is the number of examples."""
    edits, count = _edits(setting, free_form), itertools.count()

    def make() -> None:
        keys = itertools.islice(count, setting.batch)
        EditBatch.collate([edits[n, n % IMAGES] for n in keys])

    least = setting.batch * setting.fastest(lambda: setting.images[0])
    roofline = {f"{setting.batch} × decoding the JPEG, measured": least}
    subject = (_simulation(setting, free_form), setting.images)
    return Part([Variant("e2eve", make)], roofline, subject=subject)


PARTS["block_item"] = partial(_item, free_form=False)
PARTS["free_form_item"] = partial(_item, free_form=True)


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
    evaluator, networks = prepared(setting)
    rows, device = range(evaluator.settings.num_inputs), torch.device(setting.device)
    inputs = input_batch(evaluator.validation, rows, 1, device)
    torch.manual_seed(setting.seed)
    noise = torch.randn(len(rows), SAMPLES, *inputs.sources.shape[1:], device=device) / 10
    given = (inputs, inputs.sources, evaluator.validation.features, networks)
    batch = EvaluatedBatch((inputs.sources[:, None] + noise).clamp(-1, 1), *given)

    @torch.no_grad()
    def measure() -> dict[str, float]:
        fresh, found = replace(batch, shared={}), by_key(None)
        for metric in found.values():
            metric.update(fresh)
        return {key: metric.compute() for key, metric in found.items()}

    return _with_share(setting, measure, batch)


@part
def validation(setting: Setting) -> Part:
    """A validation pass; the batch is the number of inputs, at least two."""
    evaluator, networks = prepared(setting)
    run = partial(evaluate, setting.network, evaluator.validation, networks.extractor)
    return _with_share(setting, partial(run, networks.perceptual, settings=evaluator.settings))


def _with_share(setting: Setting, run: Callable[[], Any], *subject: Any) -> Part:
    """The roofline is what of the time goes into drawing edits and into networks."""
    found = [split_seconds(run, CLOCKS[setting.clock]) for _ in range(setting.rounds)]
    inside, whole = min(found, key=lambda seconds: seconds[1])
    roofline = {"drawing edits and networks, measured": inside}
    facts = {"share outside of networks": 1 - inside / whole}
    variants, batch = [Variant("e2eve", run)], max(2, setting.batch)
    return Part(variants, roofline, facts=facts, subject=subject, batch=batch)


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


def prepared(setting: Setting) -> tuple[Evaluator, MetricNetworks]:
    """What evaluates edits of ToyFaces of the preset's size, with an untrained editor."""
    count = max(2, setting.batch)
    evaluator = Evaluator(
        EvaluationSettings(
            num_samples=SAMPLES,
            seed=setting.seed,
            batch_size=count,
            num_inputs=count,
            num_distractors=DISTRACTORS,
            num_references=REFERENCES,
        ),
        sampling={},
        images=ToyFaces("val", size=setting.sides[0], length=REFERENCES),
        simulation=EditSimulation(*setting.sides, CentreView(), Block(), DriverCrop()),
        folder=setting.folder.name,
        name="benchmark",
    )
    extractor, perceptual = evaluator.extractor.to(setting.device), evaluator.perceptual
    perceptual = perceptual and perceptual.to(setting.device)
    editor = setting.network.eval()
    return evaluator, networks_for(editor, evaluator.validation, extractor, perceptual)


def _simulation(setting: Setting, free_form: bool) -> EditSimulation:
    """As published: the driver is 0.5 to 0.7 of a block's side, or all of a square in a blob."""
    region = FreeForm() if free_form else Block()
    driver = DriverCrop(1.0, 1.0) if free_form else DriverCrop(0.5, 0.7)
    return EditSimulation(*setting.sides, RandomView(), region, driver)


def _edits(setting: Setting, free_form: bool) -> Simulated:
    return Simulated(setting.images, _simulation(setting, free_form), setting.seed)
