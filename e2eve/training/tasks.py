"""What there is to train: a tokenizer of pictures or of drivers, or an editor.

A task is built from the config and holds what the entry point needs: a Lightning module, data, and
the export of what was learned.
"""

import functools
import logging
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Callback

from e2eve.config import plain
from e2eve.editor import Editor
from e2eve.reporting.progress import progress_bars
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
from e2eve.training.evaluating import Evaluator, PeriodicEvaluation
from e2eve.training.pictures import Reconstructions, tokenizer_report
from e2eve.training.run_folder import RunFolder
from e2eve.training.tokenizer_module import TokenizerModule
from e2eve.training.tokens import (
    CachedTokens,
    cached_size,
    edit_batches,
    encode_all,
    load_tokens,
    save_tokens,
)

log = logging.getLogger(__name__)


class TokenizerTask:
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

    def finish(self) -> Path:
        config = OmegaConf.to_yaml(self.config, resolve=True)
        return tokenizer_report(self.run, self.tokenizer, self.shown, config, self.config.name)


class EditorTask:
    """Train an editor's GPT on simulated edits, as pictures or as cached ids."""

    unrelated = ("tokenizer_loss",)

    def __init__(self, config: DictConfig, run: RunFolder) -> None:
        self.config, self.run = config, run
        self.editor = build_editor(config)
        if config.evaluation.enabled:
            self.evaluator.prepare()  # what cannot be evaluated is said before hours of training
        train, val = simulated(config, as_edit)
        data: dict[str, Any] = {"train": train, "val": val, "workers": config.trainer.workers}
        if config.token_cache:
            ids = self._cached(train, "train", config.token_cache)
            val_ids = self._cached(val, "val", min(len(val), config.trainer.val_length))
            data = {"train": ids, "val": val_ids, "workers": 0, "collate": ids.collate}
        self.module = EditorModule(
            self.editor, optimizer_settings(config), pictures_per_step(config)
        )
        self.data = ResumableData(
            batch_size=config.batch_size,
            seed=config.seed,
            val_length=config.trainer.val_length,
            **data,
        )

    def callbacks(self) -> list[Callback]:
        every = self.config.evaluation.get("every_n_epochs")
        return [PeriodicEvaluation(self.evaluator, every)] if every else []

    def export(self) -> None:
        self.editor.save_pretrained(self.run.bundle)

    def finish(self) -> Path:
        """Evaluate what was exported, as anybody would open it."""
        if not self.config.evaluation.enabled:
            return self.run.bundle
        return self.evaluator.report(Editor.from_pretrained(self.run.path))

    @functools.cached_property
    def evaluator(self) -> Evaluator:
        return Evaluator(self.config, build_pictures(self.config).val, self.run)

    def _cached(self, edits: Simulated, split: str, count: int) -> CachedTokens:
        """Encode `count` edits once, or read them back."""
        path = self.run / f"token_cache/{split}.safetensors"
        settings = {"count": count, "split": split, "of": cache_settings(self.config)}
        tokens = load_tokens(path, settings)
        if tokens is None:
            size = cached_size(self.editor, count) / 1e6
            log.info("Encoding %d simulated %s edits once (%.1f MB on disk).", count, split, size)
            keys = [(n // len(edits), n % len(edits)) for n in range(count)]
            batches = edit_batches(edits, keys, 64, self.config.trainer.workers)
            with progress_bars() as report:
                tokens = encode_all(self.editor, batches, report)
            save_tokens(path, tokens, settings)
        return CachedTokens(tokens)


def cache_settings(config: DictConfig) -> dict:
    """All that cached ids depend on."""
    names = ("dataset", "edit_simulation", "tokenizer", "image_size", "driver_size", "seed")
    settings = plain(config)
    if config.init_from is not None:  # which brings its tokenizers
        settings["tokenizer"] = config.init_from
    return {name: settings[name] for name in names}
