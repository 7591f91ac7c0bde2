"""The Lightning trainer of a run."""

from collections.abc import Sequence
from datetime import timedelta

from omegaconf import DictConfig
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.loggers import Logger
from pytorch_lightning.plugins.environments import SLURMEnvironment
from pytorch_lightning.strategies import DDPStrategy, Strategy

from e2eve.runs import RunFolder
from e2eve.training.averages import Averages
from e2eve.training.interruptions import Checkpoints, Interruptions, under_slurm
from e2eve.training.progress import TrainingProgress

PREPARATION = timedelta(hours=2)
"""The longest that processes wait for each other: the first one alone encodes the edits."""


def build_trainer(
    config: DictConfig, run: RunFolder, callbacks: Sequence[Callback], loggers: list[Logger]
) -> Trainer:
    """A step-limited trainer that logs to the run folder and keeps its last checkpoint."""
    settings = config.trainer
    checkpoints = Checkpoints(
        dirpath=run.checkpoints,
        filename="step_{step:06d}",
        auto_insert_metric_name=False,
        every_n_train_steps=settings.checkpoint_every,
        save_last="link",  # to the newest, so that nothing is stored twice
        save_top_k=1,
        save_on_train_epoch_end=False,
    )
    interruptions = Interruptions(
        checkpoints, lambda reason: run.mark("interrupted", reason=reason)
    )
    if settings.ema_decay:
        callbacks = [*callbacks, Averages(decay=settings.ema_decay)]
    return Trainer(
        accelerator=settings.accelerator,
        devices=settings.devices,
        num_nodes=settings.nodes,
        strategy=build_strategy(settings.strategy, turns=config.task != "editor"),
        plugins=[SLURMEnvironment(auto_requeue=False)] if under_slurm() else None,
        precision=settings.precision,
        max_steps=settings.max_steps,
        val_check_interval=settings.validate_every,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        log_every_n_steps=settings.log_every,
        logger=loggers,
        callbacks=[TrainingProgress(), checkpoints, *callbacks, interruptions],
        default_root_dir=run.path,
        enable_model_summary=False,
        use_distributed_sampler=False,  # the data module shares pictures itself
    )


def build_strategy(name: str, turns: bool) -> str | Strategy:
    """Args: turns: whether networks take turns, so that no backward pass reaches all weights."""
    if name != "ddp":
        return name
    return DDPStrategy(timeout=PREPARATION, find_unused_parameters=turns)
