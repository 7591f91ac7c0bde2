"""Where metrics go: metrics.csv, and the trackers of the group `logger`.

W&B is imported by nobody else, and only when it is used.
"""

import logging
import os
from argparse import Namespace
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pytorch_lightning.loggers import Logger, TensorBoardLogger, WandbLogger
from pytorch_lightning.utilities import rank_zero_only

from e2eve.checks import all_of
from e2eve.config import instantiate_all
from e2eve.evaluation.evaluation import Evaluation
from e2eve.limits import Text
from e2eve.runs import Curves, RunFolder, git_revision
from e2eve.training.settings import TrainSettings

log = logging.getLogger(__name__)

# Characters that W&B accepts.
LONGEST_TAG = 64

# What curves lie over.
STEP = "trainer/global_step"

# Seconds that W&B is waited for at the beginning and the end; itself it waits for 90 and for ever.
TO_BEGIN, TO_END = 20, 120

# How much a run of W&B that is killed may lose; by default it is 15.
SECONDS_KEPT_BACK = 1.0


def is_rank_zero() -> bool:
    """Whether this process is the first one of a run, known before any training starts.

    `rank_zero_only.rank` is set by Lightning, seen in 2.6, and missing before that.
    """
    return getattr(rank_zero_only, "rank", 0) == 0


class MetricsLog(Logger):
    """metrics.csv in the run folder, across interruptions."""

    name, version = "metrics", ""

    def __init__(self, path: Text) -> None:
        super().__init__()
        self.curves = Curves(path)

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kw: Any) -> None:
        """Nothing: config.yaml has them."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        values = {name: float(value) for name, value in metrics.items() if name != "epoch"}
        if values:
            self.curves.add(int(step or 0), values)

    @rank_zero_only
    def save(self) -> None:
        self.curves.save()

    def finalize(self, status: str) -> None:
        self.save()


class WandbRun(WandbLogger):
    """One run of W&B, in as many parts as it takes.

    What is logged after `finish` begins another part, and so does what is logged after W&B's own
    process has ended: SLURM sends SIGTERM to that one too when it interrupts a job. Without a key
    or a network the run is kept offline: a tracker that cannot be reached ends no training.

    Private names of WandbLogger, seen in 2.6: `_experiment`, `_wandb_init`, `_offline`.
    """

    about: Mapping[str, Any] = {}
    """Further arguments of `wandb.init`."""

    @property
    def experiment(self) -> Any:
        if self._experiment is None and is_rank_zero():
            import wandb

            os.environ.setdefault("WANDB_SILENT", "true")
            os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
            settings = wandb.Settings(
                x_transaction_log_flush_interval=SECONDS_KEPT_BACK,
                login_timeout=TO_BEGIN,
                init_timeout=TO_BEGIN,
                finish_timeout=TO_END,
                finish_timeout_raises=False,
            )
            given = {name: v for name, v in self._wandb_init.items() if name != "anonymous"}
            given |= {"mode": "offline" if self._offline else None, "reinit": "create_new"}
            try:
                run = wandb.init(**{**given, **self.about, "settings": settings})
            except (wandb.Error, OSError) as error:
                if self._offline:
                    raise
                said = " ".join(str(error).split()).split(". ")[0]
                log.warning(
                    "W&B cannot be reached (%s): the run is kept offline, and sent later by "
                    "wandb sync %s/wandb/offline-*",
                    said,
                    self.save_dir,
                )
                self._offline = True
                return self.experiment
            run.define_metric(STEP)
            run.define_metric("*", step_metric=STEP, step_sync=True)
            self._experiment = run
        return super().experiment

    def begin(self) -> None:
        """Reach W&B, or go on without."""
        assert self.experiment is not None

    @property
    def offline(self) -> bool:
        """Whether nothing is sent as the run trains."""
        return bool(self._offline)

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        try:
            super().log_metrics(metrics, step)
        except ConnectionError:
            log.warning("W&B's process has ended: another part of the run begins.")
            self._abandon()
            super().log_metrics(metrics, step)

    def finish(self, failed: bool) -> None:
        """Write everything out."""
        if self._experiment is None:
            return
        try:
            self._experiment.finish(exit_code=int(failed))
        except ConnectionError:
            self._abandon()
        self._experiment = None

    def _abandon(self) -> None:
        import wandb

        with suppress(ConnectionError):  # there is nobody to say goodbye to
            wandb.teardown()
        self._experiment = None


def wandb_run(project: Text, save_dir: Text, offline: bool, required: bool) -> WandbRun | None:
    """The logger; None where W&B is not installed and not required.

    Raises:
        ValueError: if it is required and not installed.
    """
    if find_spec("wandb") is not None:
        return WandbRun(project=project, save_dir=save_dir, offline=offline)
    if required:
        raise ValueError(
            "logger=wandb needs the package wandb, which is not installed: pip install "
            "'e2eve[wandb]', or give logger=csv."
        )
    log.info("W&B is not installed: metrics go to metrics.csv alone, as with logger=csv.")
    return None


def build_loggers(settings: TrainSettings, run: RunFolder) -> list[Logger]:
    """All of the group `logger`; W&B continues the same run whenever the same folder is resumed."""
    made = [one for one in instantiate_all(settings.logger, "logger") if one is not None]
    loggers = all_of(Logger, made, "logger")
    group, tags = membership(settings)
    for logger in loggers:
        if isinstance(logger, WandbRun):
            config = {**run.settings(), "git_revision": git_revision()} if is_rank_zero() else {}
            logger.about = {
                "name": run.title(settings.name),
                "id": run.wandb_id() if is_rank_zero() else None,  # only the first process logs
                "group": group,
                "tags": tags,
                "config": config,
            }
            if not logger.offline and is_rank_zero():
                logger.begin()  # what cannot be reached is said before the work
    return loggers


def membership(settings: TrainSettings) -> tuple[str | None, list[str]]:
    """A run's group, which is its study, and its tags: the task, own tags, the cell's choices."""
    tags = [settings.task, *settings.tags]
    cell = settings.study.cell
    if cell is None:
        return None, tags
    return Path(settings.study.dir).name, tags + [tag[:LONGEST_TAG] for tag in cell.split("+")]


def save_image(
    loggers: Sequence[Logger], folder: Path, image: Image.Image, step: int, caption: str
) -> None:
    """Write samples/step_000500.png, and show it under "samples" in trackers of images.

    Args:
        folder: of the run.
        caption: where `{step}` stands for the step.
    """
    path = folder / f"samples/step_{step:06d}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    for logger in loggers:
        if isinstance(logger, WandbRun):
            captions = [caption.format(step=step)]
            logger.log_image("samples", [str(path)], step=step, caption=captions)
        elif isinstance(logger, TensorBoardLogger):
            pixels = np.asarray(image.convert("RGB"))
            logger.experiment.add_image("samples", pixels, step, dataformats="HWC")


def log_evaluation(loggers: Sequence[Logger], found: Evaluation, step: int) -> None:
    """The final numbers; in W&B as a table, and each in the run's summary."""
    rows: list[dict[str, Any]] = found.rows()
    summary = {f"final/{name}": value for name, value in found.results.numbers().items()}
    for logger in loggers:
        if isinstance(logger, WandbRun):
            table = [[row[name] for name in rows[0]] for row in rows]
            logger.log_table("final", columns=list(rows[0]), data=table, step=step)
            logger.experiment.summary.update(summary)
        elif not isinstance(logger, MetricsLog):  # metrics.json has them
            logger.log_metrics(summary, step)


def finish(loggers: Sequence[Logger], failed: bool = False) -> None:
    """Write everything out now; what is logged afterwards is still kept."""
    for logger in loggers:
        if isinstance(logger, WandbRun):
            logger.finish(failed)
