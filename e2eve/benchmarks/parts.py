"""The parts: networks encode, decode, train and sample; and what is done around them.

Around them: making training examples, measuring edits, a validation pass.
"""

import copy
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

from e2eve.benchmarks.setting import (
    IMAGES,
    PARTS,
    Part,
    Roofline,
    Setting,
    on_meta,
    operations_of,
    part,
)
from e2eve.benchmarks.timing import CLOCKS, Variant
from e2eve.conditioning import EditBatch, EditInputs
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
from e2eve.features import build_perceptual
from e2eve.metrics.base import EvaluatedBatch, MetricNetworks
from e2eve.tokenizers import Tokenizer
from e2eve.tokenizers.losses import TokenizerLoss
from e2eve.training.data_module import Simulated
from e2eve.training.optimizers import OptimizerSettings
from e2eve.transformer import GPT

# Read and written for a parameter by AdamW in float32: it, its gradient, two moments.
OPTIMIZER_BYTES = 28

# Sampling settings of a GPT, by the name of the variant.
SAMPLING: dict[str, dict[str, Any]] = {
    "e2eve": {"draft": "none"},
    "drafts": {},
    "preserve=tokens": {"draft": "none", "preserve": "tokens"},
    "drafts, preserve=tokens": {"preserve": "tokens"},
    "bfloat16": {"draft": "none", "precision": "bfloat16"},
    "int8": {"draft": "none", "precision": "int8"},
    "int8, drafts": {"precision": "int8"},
}

OF_ANY_FAMILY: dict[str, dict[str, Any]] = {"e2eve": {}, "preserve=tokens": {"preserve": "tokens"}}

# Floating-point operations a second that a training run makes an H100 do, in bf16: 40 % of its
# peak of 989e12.
H100 = 400e12

# Edits of an input, crops that a driver has to be found among, real images.
SAMPLES, DISTRACTORS, REFERENCES = 4, 100, 200


@part
def encode(setting: Setting) -> Part:
    """Source images to ids."""
    images = edits_for(setting).targets
    network = on_meta(setting.network.source_tokenizer)
    work = in_float32(setting).convolving(lambda: network.latent(images.to("meta")))
    return _coding(setting, Tokenizer.encode, images, work)


@part
def decode(setting: Setting) -> Part:
    """Ids to images."""
    network = on_meta(tokenizer := setting.network.source_tokenizer)
    ids = torch.randint(tokenizer.codebook_size, (setting.batch, tokenizer.tokens))
    ids = ids.to(setting.device)
    work = setting.convolving(lambda: network.decode(ids.to("meta")))
    return _coding(setting, Tokenizer.decode, ids, work)


def in_float32(setting: Setting) -> Setting:
    """The same in the precision of ids, which mixed precision does not change."""
    return replace(setting, precision="float32")


def _coding(setting: Setting, run: Callable[..., Any], batch: Tensor, work: Roofline) -> Part:
    """As frozen tokenizers are run in training, and with exact convolutions."""
    tokenizer = setting.network.source_tokenizer.use_winograd()

    def variant(name: str, network: Tokenizer) -> Variant:
        return Variant(name, setting.autocast(torch.inference_mode()(partial(run, network, batch))))

    exact = copy.deepcopy(tokenizer).use_winograd(False)
    variants = [variant("e2eve", tokenizer), variant("exact convolutions", exact)]
    return Part(variants, work, subject=(tokenizer, batch))


@part
def train_step(setting: Setting) -> Part:
    """What Lightning runs for a batch of edits."""
    editor, edits, settings = setting.network.train(), edits_for(setting), OptimizerSettings()
    optimizer = settings.build(editor.transformer, setting.batch)
    parameters = sum(p.numel() for p in editor.transformer.parameters())
    learning, encoding = training_work(setting)
    return Part(
        [Variant("e2eve", partial(training_step, setting, editor, optimizer, edits))],
        {
            **setting.computing(operations_of(learning), "transformer,"),
            **in_float32(setting).convolving(encoding),
            **setting.reading(OPTIMIZER_BYTES * parameters, "AdamW,"),
        },
        subject=(editor, edits, settings),
    )


def training_step(
    setting: Setting, editor: Editor, optimizer: torch.optim.Optimizer, edits: EditBatch
) -> float:
    """The loss before the step, in nats."""
    with setting.autocast:
        loss = editor.nll(edits).loss
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def training_work(setting: Setting) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """The transformer's forward and backward pass of a batch, and encodings without numbers.

    What a transformer computes may depend on the region, so that its passes are really made.
    """
    editor, edits = setting.network, edits_for(setting)
    source, driver = on_meta(editor.source_tokenizer), on_meta(editor.driver_tokenizer)
    tokens, shapes = editor.tokenize(edits), EditBatch._make(e.to("meta") for e in edits)
    both = torch.cat([shapes.targets, shapes.targets])  # target and masked source
    return (
        lambda: editor.nll(tokens).loss.backward(),
        lambda: (source.latent(both), driver.latent(shapes.drivers)),
    )


@part
def tokenizer_step(setting: Setting) -> Part:
    """What a tokenizer's training runs for a batch of images, with a perceptual loss.

    The roofline counts the backward pass as two forward passes, as of convolutions.
    """
    network, images = copy.deepcopy(setting.network.source_tokenizer), edits_for(setting).targets
    network.requires_grad_(True).train()
    perceptual = build_perceptual("efficientnet_lite0")
    assert perceptual is not None
    loss = TokenizerLoss(perceptual, None).to(setting.device)
    optimizer = OptimizerSettings().build(network, setting.batch)

    def step(loss: TokenizerLoss) -> float:
        with setting.autocast:
            terms = loss(images, network(images), 0, network.decoder.last_weight)
        optimizer.zero_grad()
        terms.loss.backward()
        optimizer.step()
        return terms.loss.item()

    meta, shapes = on_meta(network), images.to("meta")
    work = 3 * operations_of(lambda: meta.decoder(meta.from_code(meta.latent(shapes))))
    pixels = TokenizerLoss(None, None)
    return Part(
        [
            Variant("e2eve", partial(step, loss)),
            Variant("without the perceptual loss", partial(step, pixels)),
        ],
        setting.computing(work, "the tokenizer,"),
    )


@part
def sample(setting: Setting) -> Part:
    """One input, a square quarter of it edited; the batch is its samples.

    With random weights drafts are never right; scripts/gpt_parts.py times a trained editor's.
    """
    editor = setting.network.eval()
    inputs = EditInputs(*(one[:1] for one in edits_for(setting).inputs))
    gpt = editor.transformer if isinstance(editor.transformer, GPT) else None

    def variant(name: str, fields: dict[str, Any]) -> Variant:
        settings = editor.settings(fields)
        draw = partial(editor.sample_ids, editor.condition(inputs, settings), settings=settings)
        return Variant(name, partial(draw, num_samples=setting.batch, seeds=[setting.seed]))

    variants = [variant(*item) for item in (SAMPLING if gpt else OF_ANY_FAMILY).items()]
    subject, roofline = (editor.transformer, editor.condition(inputs)), {}
    if gpt:  # reads its prefix, then all its weights once for each token
        prefix = 2 * matrix_numbers(gpt) * gpt.layout.conditioning
        roofline = {
            **setting.computing(prefix, "the prefix,"),
            **reading_weights(setting, gpt, int(gpt.region_of(subject[1].region_cells).sum())),
        }
    return Part(variants, roofline, subject=subject)


def edits_for(setting: Setting, seed: int = 0) -> EditBatch:
    """A batch of noise with a region in the middle."""
    generator = torch.Generator().manual_seed(seed)
    targets, drivers = (
        torch.rand(setting.batch, 3, side, side, generator=generator) * 2 - 1
        for side in setting.sides
    )
    start = setting.sides[0] // 4
    regions = torch.zeros_like(targets[:, :1], dtype=torch.bool)
    regions[..., start:-start, start:-start] = True
    boxes = torch.tensor([[start, start, 3 * start, 3 * start]]).expand(setting.batch, -1)
    edits = EditBatch(targets, regions, drivers, boxes, boxes)
    return EditBatch._make(one.to(setting.device) for one in edits)


def matrix_numbers(gpt: GPT) -> int:
    """Numbers in matrices of layers and head: what a pass reads, and multiplies each token with."""
    return sum(p.numel() for p in gpt.blocks.parameters()) + gpt.head.weight.numel()


def reading_weights(setting: Setting, gpt: GPT, times: int) -> Roofline:
    return setting.reading(4 * matrix_numbers(gpt) * times, f"{times} × the weights,")


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
    roofline = {what: setting.batch * setting.fastest(draw_and_search)}
    return Part([ours], roofline, subject=(simulation,))


def _item(setting: Setting, *, free_form: bool) -> Part:
    """From a JPEG file of twice the side to tensors; the batch is the number of examples."""
    edits, count = _edits(setting, free_form), itertools.count()

    def make() -> None:
        keys = itertools.islice(count, setting.batch)
        EditBatch.collate([edits[n, n % IMAGES] for n in keys])

    least = setting.batch * setting.fastest(lambda: setting.images[0])
    return Part(
        [Variant("e2eve", make)],
        {f"{setting.batch} × decoding the JPEG, measured": least},
        subject=(_simulation(setting, free_form), setting.images),
    )


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
    batch = EvaluatedBatch(
        (inputs.sources[:, None] + noise).clamp(-1, 1),
        inputs,
        inputs.sources,
        evaluator.validation.features,
        networks,
    )

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
    run = partial(
        evaluate,
        setting.network,
        evaluator.validation,
        networks.extractor,
        networks.perceptual,
        settings=evaluator.settings,
    )
    return _with_share(setting, run)


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
    placed = (FreeForm(), DriverCrop(1.0, 1.0)) if free_form else (Block(), DriverCrop(0.5, 0.7))
    return EditSimulation(*setting.sides, RandomView(), *placed)


def _edits(setting: Setting, free_form: bool) -> Simulated:
    return Simulated(setting.images, _simulation(setting, free_form), setting.seed)
