"""What there is to train: a tokenizer of pictures or of drivers, or an editor; or only to evaluate.

A task is built from the config and holds what the entry point needs: a Lightning module, data, and
the export of what was learned. Where a training has several processes each builds its own, and the
first one prepares the files that they share.
"""

import functools
import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Callback
from pytorch_lightning.loggers import Logger

from e2eve.config import plain
from e2eve.editor import Editor
from e2eve.evaluation.evaluator import Evaluator
from e2eve.reporting.progress import progress_bars
from e2eve.runs import RunFolder
from e2eve.training.building import (
    as_driver,
    as_edit,
    as_view,
    build_editor,
    build_initial_tokenizer,
    build_pictures,
    build_tokenizer_loss,
    optimizer_settings,
    pictures_per_step,
    simulated,
)
from e2eve.training.data_module import ResumableData, Simulated
from e2eve.training.editor_module import EditorModule
from e2eve.training.evaluating import PeriodicEvaluation, build_evaluator
from e2eve.training.loggers import log_evaluation
from e2eve.training.pictures import Reconstructions, tokenizer_report
from e2eve.training.ranks import leads
from e2eve.training.tokenizer_module import TokenizerModule
from e2eve.training.tokens import (
    CachedTokens,
    cached_size,
    edit_batches,
    encode_all,
    load_tokens,
    save_tokens,
)
from e2eve.transformer import EditTokens

log = logging.getLogger(__name__)


class Task(ABC):
    """`module` is None where nothing is trained; `unrelated` parts of a config are not read."""

    unrelated: tuple[str, ...] = ()
    module: pl.LightningModule | None = None
    data: ResumableData

    @abstractmethod
    def __init__(self, config: DictConfig, run: RunFolder) -> None: ...

    def callbacks(self) -> list[Callback]:
        return []

    def export(self) -> None:
        """Write the bundle; in the first process only."""
        return None

    @abstractmethod
    def finish(self, loggers: Sequence[Logger], device: torch.device) -> Path:
        """What the run ends with, once the bundle is there; in all processes."""


class TokenizerTask(Task):
    """Train a tokenizer on whole pictures (`source`) or on simulated drivers (`driver`)."""

    unrelated = ("transformer", "tokenizer", "token_cache")

    def __init__(self, config: DictConfig, run: RunFolder) -> None:
        self.config, self.run = config, run
        driver = config.task == "driver_tokenizer"
        train, val = simulated(config, as_driver if driver else as_view)
        side = config.driver_size if driver else config.image_size
        self.tokenizer = build_initial_tokenizer(config, side)
        self.shown = torch.stack([val[0, index] for index in range(min(16, len(val)))])
        loss = build_tokenizer_loss(config)
        self.module = TokenizerModule(
            self.tokenizer, loss, optimizer_settings(config), pictures_per_step(config)
        )
        self.data = ResumableData(
            train,
            val,
            batch_size=config.batch_size,
            seed=config.seed,
            workers=config.trainer.workers,
            val_length=config.trainer.val_length,
        )

    def callbacks(self) -> list[Callback]:
        return [Reconstructions(self.shown, self.run)]

    def export(self) -> None:
        self.tokenizer.save_pretrained(self.run.bundle)

    def finish(self, loggers: Sequence[Logger], device: torch.device) -> Path:
        config, title = OmegaConf.to_yaml(self.config), self.run.title(self.config.name)
        if leads():
            tokenizer_report(self.run, self.tokenizer, self.shown, config, title)
        return self.run.report


class EditorTask(Task):
    """Train an editor's GPT on simulated edits, as pictures or as cached ids."""

    unrelated = ("tokenizer_loss",)

    def __init__(self, config: DictConfig, run: RunFolder) -> None:
        self.config, self.run = config, run
        self.editor = build_editor(config)
        if config.evaluation.enabled and leads():
            self.evaluator.prepare(
                self.editor
            )  # what cannot be evaluated is said before hours of training
        train, val = simulated(config, as_edit)
        data: dict[str, Any] = {"train": train, "val": val, "workers": config.trainer.workers}
        if config.token_cache:
            ids = self._cached(train, "train", config.token_cache)
            looked_at = min(len(val), config.trainer.val_length or len(val))
            val_ids = self._cached(val, "val", looked_at)
            data = {"train": ids, "val": val_ids, "workers": 0}
        self.module = EditorModule(
            self.editor,
            optimizer_settings(config),
            pictures_per_step(config),
            compile=config.trainer.compile,
            channels_last=config.trainer.channels_last,
        )
        self.data = ResumableData(
            batch_size=config.batch_size,
            seed=config.seed,
            val_length=config.trainer.val_length,
            **data,
        )

    def callbacks(self) -> list[Callback]:
        every = self.config.evaluation.get("every_n_epochs")
        return [PeriodicEvaluation(self.evaluator, every, self.run)] if every else []

    def export(self) -> None:
        self.editor.save_pretrained(self.run.bundle)

    def finish(self, loggers: Sequence[Logger], device: torch.device) -> Path:
        """Evaluate what was exported, as anybody would open it."""
        if not self.config.evaluation.enabled:
            if leads():
                self.run.remove_old_evaluation()
            return self.run.bundle
        editor = Editor.from_pretrained(self.run.path, device=str(device))
        found = self.evaluator.report(editor, **report_of(self.config, self.run))
        if found is not None:
            log_evaluation(loggers, found, self.config.trainer.max_steps)
        return self.run.report

    @functools.cached_property
    def evaluator(self) -> Evaluator:
        return build_evaluator(self.config, build_pictures(self.config).val, self.run)

    def _cached(self, edits: Simulated, split: str, count: int) -> CachedTokens:
        """Edits that the first process has encoded, now or before."""
        path = self.run / f"token_cache/{split}.safetensors"
        settings = {"count": count, "split": split, "of": cache_settings(self.config)}
        if leads() and load_tokens(path, settings) is None:
            save_tokens(path, self._encoded(edits, split, count), settings)

        def read() -> EditTokens:
            tokens = load_tokens(path, settings)
            assert tokens is not None  # saved above, before any process asks for a batch
            return tokens

        return CachedTokens(count, read)

    def _encoded(self, edits: Simulated, split: str, count: int) -> EditTokens:
        size = cached_size(self.editor, count) / 1e6
        log.info("Encoding %d simulated %s edits once (%.1f MB on disk).", count, split, size)
        keys = [(n // len(edits), n % len(edits)) for n in range(count)]
        batches = edit_batches(edits, keys, 64, self.config.trainer.workers)
        with progress_bars() as report:
            return encode_all(self.editor, batches, report)


class EvaluationTask(Task):
    """Evaluate the editor that `init_from` names, with the sampling of the group `evaluation`."""

    unrelated = (
        "tokenizer_loss",
        "vqgan",
        "tokenizer",
        "transformer",
        "optimizer",
        "batch_size",
        "token_cache",
    )

    def __init__(self, config: DictConfig, run: RunFolder) -> None:
        if config.init_from is None:
            raise ValueError(
                "task=evaluation has nothing to evaluate: give init_from=<the folder of an "
                "editor's training, or a bundle>."
            )
        if not config.evaluation.enabled:
            raise ValueError(
                "task=evaluation with evaluation.enabled=false has nothing to do: "
                "give evaluation=standard evaluation.enabled=true."
            )
        if (config.trainer.devices, config.trainer.nodes) != (1, 1):
            raise ValueError(
                f"task=evaluation takes one process, and trainer.devices is "
                f"{config.trainer.devices} on {config.trainer.nodes} nodes: give trainer.devices=1 "
                "trainer.nodes=1."
            )
        self.config = config
        self.evaluator, self.run = build_evaluator(config, build_pictures(config).val, run), run
        self.editor = Editor.from_pretrained(config.init_from)
        self.evaluator.prepare(self.editor)

    def finish(self, loggers: Sequence[Logger], device: torch.device) -> Path:
        found = self.evaluator.report(self.editor.to(device), **report_of(self.config, self.run))
        assert found is not None  # there is one process only
        log_evaluation(loggers, found, 0)
        return self.run.report


def report_of(config: DictConfig, run: RunFolder) -> dict[str, str]:
    """Title and configuration of a run's report."""
    return {
        "title": run.title(config.name),
        "config": OmegaConf.to_yaml(config, resolve=True),
    }


def cache_settings(config: DictConfig) -> dict:
    """All that cached ids depend on."""
    names = ("dataset", "edit_simulation", "tokenizer", "image_size", "driver_size", "seed")
    settings = plain(config)
    if config.init_from is not None:  # which brings its tokenizers
        settings["tokenizer"] = config.init_from
    return {name: settings[name] for name in names}
