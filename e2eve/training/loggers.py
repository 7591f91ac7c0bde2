"""Where metrics go: metrics.csv always, Weights & Biases beside it where that is wanted.

W&B is imported by nobody else and only when it is used.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from omegaconf import DictConfig
from pytorch_lightning.loggers import Logger, WandbLogger

from e2eve.config import plain
from e2eve.evaluation.evaluation import Evaluation
from e2eve.runs import RunFolder, git_revision
from e2eve.training.metrics_log import MetricsLog
from e2eve.training.ranks import leads

log = logging.getLogger(__name__)

LONGEST_TAG = 64
"""Characters that W&B accepts."""

STEP = "trainer/global_step"
"""What curves lie over."""

SECONDS_KEPT_BACK = 1.0
"""How much a run of W&B that is killed may lose; by default it is 15."""


class WandbRun(WandbLogger):
    """One run of W&B, in as many parts as it takes.

    What is logged after `finish` begins another part, and so does what is logged after W&B's own
    process has ended: SLURM sends SIGTERM to that one too when it interrupts a job.
    """

    @property
    def experiment(self) -> Any:
        if self._experiment is None and leads():
            self._experiment = self._begin()
        return super().experiment

    def _begin(self) -> Any:
        import wandb

        settings = wandb.Settings(x_transaction_log_flush_interval=SECONDS_KEPT_BACK)
        given = {name: value for name, value in self._wandb_init.items() if name != "anonymous"}
        mode: Literal["offline"] | None = "offline" if self._offline else None
        run = wandb.init(**given, mode=mode, reinit="create_new", settings=settings)
        run.define_metric(STEP)
        run.define_metric("*", step_metric=STEP, step_sync=True)
        return run

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


def build_loggers(config: DictConfig, run: RunFolder, study: DictConfig | None) -> list[Logger]:
    """
    Args:
        config: what is trained.
        study: of which the run is a cell, where it has a `cell`.

    Raises:
        ValueError: when W&B is asked for and not installed.
    """
    loggers: list[Logger] = [MetricsLog(run / "metrics.csv")]
    if wants_wandb(config.logger.wandb):
        loggers.append(_wandb(config, run, study))
    return loggers


def wants_wandb(setting: bool | None) -> bool:
    """Whether W&B is logged to; None asks for it where it is installed.

    Raises:
        ValueError: when it is asked for and not installed.
    """
    if setting is False:
        return False
    if wandb_installed():
        return True
    if setting:
        raise ValueError(
            "logger=wandb needs the package wandb, which is not installed: pip install "
            "'e2eve[wandb]', or give logger=csv."
        )
    log.info("W&B is not installed: metrics go to metrics.csv alone, as with logger=csv.")
    return False


def wandb_installed() -> bool:
    try:
        import wandb  # noqa: F401
    except ImportError:
        return False
    return True


def _wandb(config: DictConfig, run: RunFolder, study: DictConfig | None) -> WandbRun:
    """The same run of W&B whenever the same run folder goes on."""
    os.environ.setdefault("WANDB_SILENT", "true")
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    group, tags = membership(config, study)
    return WandbRun(
        project=config.logger.project,
        name=run.title(config.name),
        id=run.wandb_id() if leads() else None,  # only the first process logs
        group=group,
        tags=tags,
        config={**plain(config), "git_revision": git_revision()},
        save_dir=run.path,
        offline=config.logger.offline,
    )


def membership(config: DictConfig, study: DictConfig | None) -> tuple[str | None, list[str]]:
    """The group of a run in W&B, which is its study, and its tags: the task, the cell's choices."""
    if study is None or study.cell is None:
        return None, [config.task]
    tags = [config.task, *study.cell.split("+")]
    return Path(study.dir).name, [tag[:LONGEST_TAG] for tag in tags]


def log_picture(loggers: Sequence[Logger], path: Path, step: int, caption: str) -> None:
    """A grid under "samples", where W&B is logged to."""
    for logger in loggers:
        if isinstance(logger, WandbRun):
            logger.log_image("samples", [str(path)], step=step, caption=[caption])


def log_evaluation(loggers: Sequence[Logger], found: Evaluation, step: int) -> None:
    """The final table in W&B: as a table, and each number in the run's summary."""
    rows: list[dict[str, Any]] = found.rows()
    for logger in loggers:
        if isinstance(logger, WandbRun):
            table = [[row[name] for name in rows[0]] for row in rows]
            logger.log_table("final", columns=list(rows[0]), data=table, step=step)
            summary = {f"final/{name}": value for name, value in found.flat().items()}
            logger.experiment.summary.update(summary)


def finish(loggers: Sequence[Logger], failed: bool = False) -> None:
    """Write everything out now; what is logged afterwards is still kept."""
    for logger in loggers:
        if isinstance(logger, WandbRun):
            logger.finish(failed)
