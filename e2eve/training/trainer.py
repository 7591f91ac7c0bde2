"""The Lightning trainer of a run."""

from omegaconf import DictConfig
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import EMAWeightAveraging, ModelCheckpoint
from pytorch_lightning.loggers import Logger, WandbLogger

from e2eve.training.metrics_log import MetricsLog
from e2eve.training.progress import TrainingProgress
from e2eve.training.run_folder import RunFolder


def build_trainer(config: DictConfig, run: RunFolder, callbacks: list[Callback]) -> Trainer:
    """A step-limited trainer that logs to the run folder and keeps its last checkpoint."""
    settings = config.trainer
    checkpoints = ModelCheckpoint(
        dirpath=run.last_checkpoint.parent,
        filename="step_{step:06d}",
        auto_insert_metric_name=False,
        every_n_train_steps=settings.checkpoint_every,
        save_last="link",  # to the newest, so that nothing is stored twice
        save_top_k=1,
        save_on_train_epoch_end=False,
    )
    if settings.ema_decay:
        callbacks = [*callbacks, EMAWeightAveraging(decay=settings.ema_decay)]
    return Trainer(
        accelerator=settings.accelerator,
        devices=settings.devices,
        strategy=settings.strategy,
        precision=settings.precision,
        max_steps=settings.max_steps,
        val_check_interval=settings.validate_every,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        log_every_n_steps=settings.log_every,
        logger=build_loggers(config, run),
        callbacks=[TrainingProgress(), checkpoints, *callbacks],
        default_root_dir=run.path,
        enable_model_summary=False,
        use_distributed_sampler=False,  # the data module shares pictures itself
    )


def build_loggers(config: DictConfig, run: RunFolder) -> list[Logger]:
    """metrics.csv always; W&B beside it where `logger=wandb`, offline unless told otherwise."""
    loggers: list[Logger] = [MetricsLog(run / "metrics.csv")]
    if config.logger.wandb:
        loggers.append(
            WandbLogger(
                project=config.logger.project,
                name=config.name,
                id=config.name.replace("/", "-"),
                save_dir=run.path,
                offline=config.logger.offline,
            )
        )
    return loggers
