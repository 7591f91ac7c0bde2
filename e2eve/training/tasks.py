"""What there is to train: a tokenizer of images or of drivers, or an editor; or only to evaluate.

A task is built from settings and holds what the entry point needs: a Lightning module, data, and
the export of what was learned. Where a run has several processes each builds its own, and the first
one prepares the files that they share.
"""

import functools
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning import Callback
from pytorch_lightning.loggers import Logger
from torch import Tensor

from e2eve.bundle import read_bundle
from e2eve.conditioning import EditBatch
from e2eve.config import about, check_arguments, device_of, instantiate, located, read_settings
from e2eve.data.images import to_tensor
from e2eve.edit_simulation import EditSimulation
from e2eve.editing.trained_on import TrainedOn
from e2eve.editor import Editor
from e2eve.evaluation.evaluator import Evaluator, build_metrics
from e2eve.evaluation.model_card import write_model_card
from e2eve.evaluation.report import tokenizer_report
from e2eve.features import build_perceptual
from e2eve.limits import Text
from e2eve.runs import RunFolder
from e2eve.tokenizers import Tokenizer, VQGANConfig
from e2eve.tokenizers.losses import PatchDiscriminator, TokenizerLoss
from e2eve.tokenizers.tokenizer import VectorQuantizer
from e2eve.training.callbacks import PeriodicEvaluation, Reconstructions
from e2eve.training.data_module import CachedTokens, ResumableData, Simulated
from e2eve.training.loggers import is_rank_zero, log_evaluation
from e2eve.training.modules import DecoderModule, EditorModule, TokenizerModule
from e2eve.training.settings import Group, TrainSettings
from e2eve.transformer import TokenModelConfig, check_names_config
from e2eve.transformer.compatibility import fitted

log = logging.getLogger(__name__)


class Task(ABC):
    """What is done in a run folder.

    Attributes:
        unrelated: parts of the config that are not read.
        monitored: metrics that a callback may monitor.
        module: what is trained; None where nothing is.
    """

    unrelated: tuple[str, ...] = ()
    monitored: tuple[str, ...] = ("train/loss", "val/loss")
    module: pl.LightningModule | None = None
    data: ResumableData

    def __init__(self, settings: TrainSettings, run: RunFolder) -> None:
        self.settings, self.run = settings, run
        self.simulation: EditSimulation = instantiate(settings.edit_simulation, "edit_simulation")

    def callbacks(self) -> list[Callback]:
        return []

    def export(self) -> None:
        """Write the bundle; in the first process only."""
        return None

    @abstractmethod
    def finish(self, loggers: Sequence[Logger], step: int, device: torch.device) -> Path:
        """What the run ends with after so many steps, with its bundle there; in all processes."""

    def simulated(self, simulate: Callable[..., Any]) -> tuple[Simulated, Simulated]:
        """Training and validation examples, the latter always the same."""
        images, seed = self.settings.images, self.settings.seed
        # What fails is said by this process, before loaders have begun.
        simulate(images.train[0], np.random.default_rng(seed))
        return Simulated(images.train, simulate, seed), Simulated(images.val, simulate, seed + 1)

    def resumable(self, train: Any, val: Any, workers: int) -> ResumableData:
        settings = self.settings
        return ResumableData(
            train,
            val,
            batch_size=settings.device_batch,
            seed=settings.seed,
            workers=workers,
            val_length=settings.loader.val_length,
        )

    @functools.cached_property
    def evaluator(self) -> Evaluator:
        settings = self.settings
        return Evaluator(
            settings.evaluation,
            settings.sampling,
            settings.images.val,
            self.simulation,
            self.run.path,
            settings.name,
            build_metrics(settings.metrics),
        )

    def evaluated(self, editor: Editor, loggers: Sequence[Logger], step: int) -> Path:
        """The report of an evaluation, by all processes together."""
        found = self.evaluator.report(
            editor,
            title=self.run.title(self.settings.name),
            config=(self.run / "config.yaml").read_text(encoding="utf-8"),
        )
        if found is not None:
            log_evaluation(loggers, found, step)
        return self.run.report


class TokenizerTask(Task):
    """Train a tokenizer on whole images (`source`) or on simulated drivers (`driver`)."""

    unrelated = ("transformer", "tokenizer", "token_cache", "decoder")
    monitored = (*Task.monitored, "val/l1", "val/perceptual", "val/psnr")
    module_class = TokenizerModule

    def __init__(self, settings: TrainSettings, run: RunFolder) -> None:
        super().__init__(settings, run)
        train, val = self.simulated(self.example())
        self.tokenizer = self.first()
        shown = val.collate([val[0, index] for index in range(min(16, len(val)))])
        self.shown = shown.targets if isinstance(shown, EditBatch) else shown
        trainer = settings.trainer
        self.module = self.module_class(
            self.tokenizer,
            build_tokenizer_loss(settings),
            settings.optimizer,
            settings.device_batch,
            accumulate=trainer["accumulate_grad_batches"],
            clip=(trainer["gradient_clip_val"], trainer["gradient_clip_algorithm"]),
            channels_last=settings.channels_last,
        )
        self.data = self.resumable(train, val, settings.workers)

    def example(self) -> Callable[..., Any]:
        """What makes an example of an image."""
        drivers = self.settings.task == "driver_tokenizer"
        return functools.partial(as_driver if drivers else as_view, self.simulation)

    def first(self) -> Tokenizer:
        """What is trained, as it is before."""
        settings, drivers = self.settings, self.settings.task == "driver_tokenizer"
        side = settings.driver_size if drivers else settings.image_size
        tokenizer = build_tokenizer(settings, side)
        if settings.init_from is not None:
            load_initial_tokenizer(tokenizer, settings.init_from)
        return tokenizer

    def callbacks(self) -> list[Callback]:
        return [Reconstructions(self.shown, self.run.path)]

    def export(self) -> None:
        self.tokenizer.save_pretrained(self.run.bundle)

    def finish(self, loggers: Sequence[Logger], step: int, device: torch.device) -> Path:
        if is_rank_zero():
            title = self.run.title(self.settings.name)
            tokenizer_report(self.run, self.tokenizer, self.shown, title)
        return self.run.report


class DecoderTask(TokenizerTask):
    """Train the decoder of the tokenizer that `init_from` names on simulated edits.

    Its ids stay what they are, so that editors of the first tokenizer can paint with the second.
    """

    unrelated = ("transformer", "tokenizer", "token_cache", "vqgan")
    monitored = (*TokenizerTask.monitored, "val/l1_region")
    module_class = DecoderModule

    def example(self) -> EditSimulation:
        return self.simulation

    def first(self) -> Tokenizer:
        settings = self.settings
        if settings.init_from is None:
            raise ValueError(
                "init_from is null, and task=decoder goes on from a tokenizer: give "
                "init_from=<the run folder or bundle of a source tokenizer>."
            )
        with about("init_from"):
            first = Tokenizer.from_pretrained(settings.init_from)
        return first.with_decoder(settings.decoder, settings.image_size)


class EditorTask(Task):
    """Train an editor's token model on simulated edits, as images or as cached ids."""

    unrelated = ("tokenizer_loss", "decoder")
    monitored = (*Task.monitored, "val/nll_inside", "val/nll_outside")

    def __init__(self, settings: TrainSettings, run: RunFolder) -> None:
        super().__init__(settings, run)
        # What cannot be evaluated is said before hours of training, as far as possible before
        # networks are loaded.
        evaluator = self.evaluator if settings.evaluation.enabled and is_rank_zero() else None
        self.editor = build_editor(settings)
        if evaluator is not None:
            evaluator.prepare(self.editor)
        train, val = self.simulated(self.simulation)
        self.val = val
        if settings.token_cache:
            looked_at = min(len(val), settings.loader.val_length or len(val))
            self.data = self.resumable(
                self._cached(train, "train", settings.cached_edits),
                self._cached(val, "val", looked_at),
                workers=0,
            )
        else:
            self.data = self.resumable(train, val, settings.workers)
        compiles = settings.on_gpu and self.editor.transformer.one_shape
        chosen = settings.compute.compile
        self.module = EditorModule(
            self.editor,
            settings.optimizer,
            settings.device_batch,
            compile=compiles if chosen is None else chosen,
            channels_last=settings.channels_last,
        )

    def callbacks(self) -> list[Callback]:
        every = self.settings.evaluation.every_n_epochs
        return [PeriodicEvaluation(self.evaluator, every)] if every else []

    def export(self) -> None:
        edits = [self.val[0, index] for index in range(min(256, self.data.val_length))]
        self.editor.trained_on = TrainedOn.measured(self.editor, EditBatch.collate(edits))
        self.editor.save_pretrained(self.run.bundle)

    def finish(self, loggers: Sequence[Logger], step: int, device: torch.device) -> Path:
        """Evaluate what was exported, as anybody would open it."""
        if not self.settings.evaluation.enabled:
            if is_rank_zero():
                self.run.remove_old_evaluation()
            return self.run.bundle
        editor = Editor.from_pretrained(self.run.path, device=str(device))
        report = self.evaluated(editor, loggers, step)
        if is_rank_zero():
            write_model_card(self.run, editor, self.settings.name)
        return report

    def _cached(self, edits: Simulated, split: str, count: int) -> CachedTokens:
        """Edits that the first process has encoded, now or before."""
        path, simulation = (
            self.run / f"token_cache/{split}.safetensors",
            self.settings.edit_simulation,
        )
        cached = CachedTokens(path, self.editor, edits, count, simulation)
        if is_rank_zero():
            before = self.editor.device
            self.editor.to(device_of("auto" if self.settings.on_gpu else "cpu"))
            cached.prepare(self.editor, self.settings.workers)
            self.editor.to(before)
        return cached


class EvaluationTask(Task):
    """Evaluate the editor that `init_from` names, with the group `sampling`."""

    unrelated = tuple(
        "tokenizer_loss vqgan decoder tokenizer transformer optimizer batch_size "
        "token_cache".split()
    )

    def __init__(self, settings: TrainSettings, run: RunFolder) -> None:
        if settings.init_from is None:
            raise ValueError(
                "task=evaluation has nothing to evaluate: give init_from=<the folder of an "
                "editor's run, or a bundle>."
            )
        if not settings.evaluation.enabled:
            raise ValueError(
                "task=evaluation with evaluation.enabled=false has nothing to do: "
                "give evaluation=standard evaluation.enabled=true."
            )
        devices, nodes = settings.trainer["devices"], settings.trainer["num_nodes"]
        if (devices, nodes) != (1, 1):
            raise ValueError(
                f"task=evaluation takes one process, and trainer.devices is {devices} on {nodes} "
                "nodes: give trainer.devices=1 trainer.num_nodes=1."
            )
        super().__init__(settings, run)
        evaluator = self.evaluator  # which refuses what it can before networks are loaded
        with about("init_from"):
            self.editor = Editor.from_pretrained(settings.init_from)
        evaluator.prepare(self.editor)

    def finish(self, loggers: Sequence[Logger], step: int, device: torch.device) -> Path:
        return self.evaluated(self.editor.to(device), loggers, step)


def as_view(simulation: EditSimulation, image: np.ndarray, rng: np.random.Generator) -> Tensor:
    """What a source tokenizer is trained on: the image as the simulation frames it."""
    return to_tensor(simulation.view(image, simulation.image_size, rng))


def as_driver(simulation: EditSimulation, image: np.ndarray, rng: np.random.Generator) -> Tensor:
    """What a driver tokenizer is trained on: the driver of a simulated edit."""
    return to_tensor(simulation(image, rng).driver)


def build_tokenizer(settings: TrainSettings, side: int) -> Tokenizer:
    """A tokenizer of images of that side, with random weights."""
    network, quantizer = settings.vqgan["network"], settings.vqgan["quantizer"]
    shape = read_settings({"image_size": side, **network}, VQGANConfig, "vqgan.network")
    quantizer = check_arguments(VectorQuantizer, quantizer, "vqgan.quantizer")
    with about("vqgan"):
        return Tokenizer(shape, **quantizer)


@dataclass(frozen=True)
class LossNetworks:
    """The networks that a tokenizer's loss asks."""

    perceptual: Text
    perceptual_weights: Text | None
    discriminator: Group | None


LOSS_NETWORKS = LossNetworks.__dataclass_fields__


def build_tokenizer_loss(settings: TrainSettings) -> TokenizerLoss:
    chosen = read_settings(
        {name: v for name, v in settings.tokenizer_loss.items() if name in LOSS_NETWORKS},
        LossNetworks,
        "tokenizer_loss",
    )
    values = {n: v for n, v in settings.tokenizer_loss.items() if n not in LOSS_NETWORKS}
    values = check_arguments(TokenizerLoss, values, "tokenizer_loss")
    discriminator = None
    if chosen.discriminator:
        key = "tokenizer_loss.discriminator"
        discriminator = PatchDiscriminator(
            **check_arguments(PatchDiscriminator, chosen.discriminator, key)
        )
    with about("tokenizer_loss.perceptual"):
        perceptual = build_perceptual(chosen.perceptual, chosen.perceptual_weights)
    return TokenizerLoss(perceptual, discriminator, **values)


def build_editor(settings: TrainSettings) -> Editor:
    """The editor that a run starts from."""
    image_size, driver_size = settings.image_size, settings.driver_size
    check_names_config(located(settings.transformer.get("_target_"), "transformer"))
    transformer = instantiate(settings.transformer, "transformer")
    if settings.init_from is not None:
        return open_initial_editor(settings, settings.init_from, transformer)
    source = open_tokenizer(settings, "source", image_size)
    shared = settings.tokenizer.driver is None
    driver = source if shared else open_tokenizer(settings, "driver", driver_size)
    return Editor(source, driver, transformer, driver_size)


def open_tokenizer(settings: TrainSettings, role: str, side: int) -> Tokenizer:
    """A trained tokenizer, or the untrained one that the config asks for by name."""
    where = getattr(settings.tokenizer, role)
    if where == "untrained":
        if not settings.tokenizer.allow_untrained:
            raise ValueError(
                f"tokenizer.{role} is untrained, and an editor learns nothing from random codes: "
                f"give tokenizer.{role}=<run folder>, or trainer=smoke to try two steps; "
                "tokenizer.allow_untrained is false."
            )
        log.warning("The %s tokenizer is untrained, as tokenizer.%s says.", role, role)
        return build_tokenizer(settings, side)
    with about(f"tokenizer.{role}"):
        tokenizer = Tokenizer.from_pretrained(where)
    if tokenizer.image_size != side:
        key = "image_size" if role == "source" else "driver_size"
        raise ValueError(
            f"The {role} tokenizer in {where} was made for {tokenizer.image_size} pixels and "
            f"{key} is {side}: set {key}={tokenizer.image_size} or give another tokenizer."
        )
    return tokenizer


def open_initial_editor(
    settings: TrainSettings, where: str, transformer: TokenModelConfig
) -> Editor:
    """The editor of the bundle `where`, with its tokenizers: its token model knows no other codes.

    Raises:
        ValueError: when its image sizes or its transformer are not those of the config.
    """
    with about("init_from"):
        editor = Editor.from_pretrained(where)
    model = editor.transformer
    if type(transformer) is not type(model.config):
        raise ValueError(
            f"The config asks for a {type(transformer).__name__} and init_from={where} holds a "
            f'transformer of the family "{model.family}": choose a file of the group transformer '
            "of that family, or give another bundle."
        )
    sizes = {"image_size": editor.image_size, "driver_size": editor.driver_size}
    asked = {name: getattr(settings, name) for name in sizes}
    shape, wanted = _shape(editor, model.config), _shape(editor, transformer)
    check_agreement(sizes | shape, asked | wanted, where)
    log.info("Transformer and tokenizers start as those of %s.", where)
    return editor


def _shape(editor: Editor, config: TokenModelConfig) -> dict[str, object]:
    """What the weights of a token model depend on, by its name in the config."""
    config = fitted(config, editor.source_tokenizer, editor.driver_tokenizer)
    initial = editor.transformer.initial
    return {f"transformer.{n}": v for n, v in asdict(config).items() if n not in initial}


def load_initial_tokenizer(tokenizer: Tokenizer, where: str) -> None:
    """Fill a new tokenizer with the weights of the bundle `where`.

    Raises:
        ValueError: when the bundle's network is another one; its image size may differ.
    """
    with about("init_from"):
        bundle = read_bundle(where, kind="tokenizer")
    made = _network(Tokenizer.from_description(bundle.config))
    check_agreement(made, _network(tokenizer), where)
    bundle.load(tokenizer, "tokenizer")
    log.info("The tokenizer starts as that of %s.", where)


def _network(tokenizer: Tokenizer) -> dict[str, object]:
    """What the weights of a tokenizer depend on, by its name in the config."""
    shape = {f"vqgan.network.{name}": value for name, value in asdict(tokenizer.config).items()}
    del shape["vqgan.network.image_size"]
    return shape | {"vqgan.quantizer.normalised": tokenizer.quantizer.normalised}


def check_agreement(made: Mapping[str, object], asked: Mapping[str, object], where: str) -> None:
    """Raises ValueError that names what the bundle was made with and the config says otherwise."""
    differing = [name for name in made if made[name] != asked[name]]
    if differing:
        found = ", ".join(f"{name} is {asked[name]} and not {made[name]}" for name in differing)
        remedy = " ".join(f"{name}={_written(made[name])}" for name in differing)
        raise ValueError(
            f"The config does not fit the weights in init_from={where}, {found}: "
            f"set '{remedy}' or give another bundle."
        )


def _written(value: object) -> str:
    """A value as it is written on a command line."""
    return f"[{','.join(map(str, value))}]" if isinstance(value, tuple | list) else str(value)
