"""Evaluation of a run: at its end, and every few epochs as it goes on."""

import functools
import logging
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf

from e2eve.data.pictures import Pictures
from e2eve.editor import Editor
from e2eve.evaluation.evaluation import Evaluation
from e2eve.evaluation.evaluator import evaluate_together, instruments_for
from e2eve.evaluation.files import check_numbers
from e2eve.evaluation.report import write_report
from e2eve.evaluation.sharing import Share
from e2eve.evaluation.systems import EvaluationSettings
from e2eve.evaluation.validation_building import build_validation_set
from e2eve.evaluation.validation_set import ValidationSet
from e2eve.features import build_extractor, build_perceptual
from e2eve.reporting.progress import progress_bars, silent
from e2eve.runs import RunFolder
from e2eve.training.averages import averaged
from e2eve.training.building import build_simulation
from e2eve.training.pictures import keep_picture
from e2eve.transformer import SamplingSettings

log = logging.getLogger(__name__)

CAPTION = (
    "step {step}: source with its region, driver, paste, then samples, best first; the numbers are "
    "distances of the region to the driver in feature space"
)


class Evaluator:
    """Evaluates an editor on the config's validation set, which is built on first use.

    Args:
        pictures: the validation split.
        run: where a validation set that the config does not name is kept.

    Raises:
        ValueError: when the config's sampling is out of range.
    """

    def __init__(self, config: DictConfig, pictures: Pictures, run: RunFolder) -> None:
        self.config, self.settings = config, config.evaluation
        self.pictures, self.run = pictures, run
        self.extractor = build_extractor(self.settings.extractor, self.settings.extractor_weights)
        self.perceptual = build_perceptual(
            self.settings.perceptual, self.settings.perceptual_weights
        )
        self.drawing = EvaluationSettings(
            num_samples=self.settings.num_samples,
            seed=self.settings.seed,
            batch_size=self.settings.batch_size,
            sampling=SamplingSettings(
                self.settings.temperature,
                self.settings.top_k,
                self.settings.top_p,
                self.settings.guidance,
            ),
        )
        self._validation: ValidationSet | None = None

    def prepare(self, editor: Editor) -> None:
        """Build or open the validation set now, and see that the editor can be evaluated on it.

        Raises:
            ValueError: when there are too few pictures for it, it was changed, or it was made for
                other sizes, features or numbers of inputs.
        """
        instruments_for(editor, self.validation, self.extractor, self.perceptual)
        log.info("Validation set: sha256 %s…", self.validation.content_hash[:16])

    @property
    def validation(self) -> ValidationSet:
        if self._validation is None:
            self._validation = self._open()
        return self._validation

    def _open(self) -> ValidationSet:
        folder = self.settings.validation_set or self.run / "validation_set"
        if self.settings.validation_set:
            return ValidationSet.load(folder)
        references = min(self.settings.num_references, len(self.pictures))
        if Path(folder, "manifest.json").exists():
            names = ["num_inputs", "num_distractors", "seed"]
            if references < len(self.pictures):  # else fewer, where some are damaged
                names.append("num_references")
            check_numbers(Path(folder), {name: self.settings[name] for name in names})
            return ValidationSet.load(folder)
        with progress_bars() as report:
            built = build_validation_set(
                self.pictures,
                build_simulation(self.config),
                self.extractor,
                self.perceptual,
                num_inputs=self.settings.num_inputs,
                num_references=references,
                num_distractors=self.settings.num_distractors,
                seed=self.settings.seed,
                name=self.config.name,
                progress=report,
            )
        built.save(folder)
        return built

    @functools.cached_property
    def share(self) -> Share:
        """Of the processes of a training; they ask for it at the same time."""
        return Share.of_this_process()

    def __call__(self, editor: Editor) -> Evaluation | None:
        """By all processes of a training together; None but in the first one."""
        extractor = self.extractor.to(editor.device)
        perceptual = self.perceptual and self.perceptual.to(editor.device)
        was_training = editor.training
        editor.eval()
        with progress_bars() as report:
            found = evaluate_together(
                editor,
                self.validation,
                extractor,
                perceptual,
                settings=self.drawing,
                share=self.share,
                progress=report if self.share.rank == 0 else silent,
            )
        editor.train(was_training)
        return found

    def report(self, editor: Editor) -> Evaluation | None:
        """Evaluate, and write metrics.json, samples and report.html into the run folder."""
        found = self(editor)
        if found is not None:
            found.save(self.run.path)
            write_report(
                self.run.report,
                found,
                title=self.run.title(self.config.name),
                curves=self.run / "metrics.csv",
                config=OmegaConf.to_yaml(self.config, resolve=True),
            )
        return found


class PeriodicEvaluation(pl.Callback):
    """Evaluates at the end of every nth epoch: curves in the logs, grids in samples/."""

    def __init__(self, evaluator: Evaluator, every_n_epochs: int) -> None:
        self.evaluator, self.every_n_epochs = evaluator, every_n_epochs

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        if (trainer.current_epoch + 1) % self.every_n_epochs:
            return
        with torch.random.fork_rng(), averaged(trainer, module):
            found = self.evaluator(module.editor)
        if found is None:
            return
        metrics = {f"evaluation/{name}": value for name, value in found.flat().items()}
        for logger in trainer.loggers:
            logger.log_metrics(metrics, step=trainer.global_step)
        keep_picture(trainer, self.evaluator.run, found.picture(), CAPTION)
