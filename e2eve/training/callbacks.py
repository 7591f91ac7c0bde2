"""What happens beside the steps of a training run: progress, averages, images, evaluations."""

import ctypes
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from jaxtyping import Float
from pytorch_lightning.callbacks import EMAWeightAveraging
from rich.console import Console
from rich.progress import Progress
from torch import Tensor, distributed

from e2eve.evaluation.evaluator import Evaluator
from e2eve.evaluation.report import reconstruction_grid
from e2eve.limits import BelowOne, PositiveFloat, Text
from e2eve.reporting.progress import labelled_bars
from e2eve.training.loggers import save_image

log = logging.getLogger(__name__)


class TrainingProgress(pl.callbacks.ProgressBar):
    """A bar with the time left in a terminal; elsewhere a line every `seconds`, for log files."""

    def __init__(self, seconds: PositiveFloat = 30.0) -> None:
        super().__init__()
        self.seconds = seconds
        self.bar: Progress | None = None

    def disable(self) -> None:
        self.seconds = float("inf")

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.first, self.began, self.spoke = trainer.global_step, time.monotonic(), 0.0
        # Without a limit of steps Lightning knows from the epochs, or not at all.
        limited = trainer.max_steps > 0
        self.steps = trainer.max_steps if limited else trainer.estimated_stepping_batches
        console = Console(stderr=True)
        if console.is_terminal and trainer.is_global_zero:
            self.bar = labelled_bars(console)
            self.task = self.bar.add_task(
                "training", total=self.steps, completed=self.first, note=""
            )
            self.bar.start()

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *args: Any) -> None:
        super().on_train_batch_end(trainer, module, *args)
        shown = {k: v for k, v in self.get_metrics(trainer, module).items() if k != "v_num"}
        note = "  ".join(f"{k} {v:.4g}" for k, v in shown.items() if isinstance(v, float))
        if self.bar is not None:
            self.bar.update(self.task, completed=trainer.global_step, note=note)
        elif trainer.is_global_zero and time.monotonic() - self.spoke > self.seconds:
            self.spoke = time.monotonic()
            pace = (self.spoke - self.began) / max(1, trainer.global_step - self.first)
            minutes, seconds = divmod(pace * (self.steps - trainer.global_step), 60)
            place = f"step {trainer.global_step}/{self.steps}  {pace:.3f} s per step"
            log.info("%s  %.0f min %.0f s left  %s", place, minutes, seconds, note)

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    def on_exception(self, trainer: pl.Trainer, module: Any, exception: BaseException) -> None:
        self.on_train_end(trainer, module)


class Best(pl.callbacks.ModelCheckpoint):
    """Keeps the state with the best value of a metric, as best.ckpt.

    Args:
        folder: of the checkpoints.
        monitor: the metric, by its name in metrics.csv.
        mode: whether lower or higher is better.
    """

    def __init__(self, folder: Text, monitor: Text, mode: Literal["min", "max"] = "min") -> None:
        super().__init__(
            folder,
            "best",
            monitor,
            mode=mode,
            enable_version_counter=False,
            save_on_train_epoch_end=False,
        )

    @property
    def state_key(self) -> str:
        """In checkpoints; runs of before there was this class are resumed."""
        return super().state_key.replace(type(self).__qualname__, "ModelCheckpoint", 1)


class LearningRate(pl.Callback):
    """Logs the learning rate of each optimiser step as `train/learning_rate`."""

    rate: float | None = None  # of the last step; None before the first

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, module: Any, optimizer: torch.optim.Optimizer
    ) -> None:
        self.rate = optimizer.param_groups[0]["lr"]

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *args: Any) -> None:
        """Not before: within a step by hand, Lightning would drop what the step has logged."""
        if self.rate is not None:
            module.log("train/learning_rate", self.rate)


class FreeMemory(pl.Callback):
    """Returns freed memory to the system after each validation, where the C library is glibc.

    It would keep the gaps that batches of many lengths leave, and a training of hours grows.
    """

    def on_validation_end(self, trainer: Any, module: Any) -> None:
        with suppress(OSError, AttributeError):  # another system, another C library
            ctypes.CDLL(None).malloc_trim(0)


class StopNotFinite(pl.Callback):
    """Ends a run whose loss, gradients or weights are NaN or infinite, before anything is saved.

    Steps that a gradient scaler skips (half precision) are none of these.
    """

    def on_before_backward(self, trainer: Any, module: Any, loss: Tensor) -> None:
        # Together: a process that left alone would leave the others waiting for its gradients.
        finite = bool(torch.isfinite(loss))
        if not trainer.strategy.reduce_boolean_decision(finite, all=True):
            what = "of another process is not finite" if finite else f"is {loss.item()}"
            raise ValueError(self._sentence(trainer, f"The loss {what}"))

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, module: Any, optimizer: torch.optim.Optimizer
    ) -> None:
        if getattr(trainer.precision_plugin, "scaler", None) is None:
            groups = optimizer.param_groups
            given = [p.grad for group in groups for p in group["params"] if p.grad is not None]
            if not torch.isfinite(torch.nn.utils.get_total_norm(given)):
                raise ValueError(self._sentence(trainer, "A gradient is not finite"))

    def on_save_checkpoint(
        self, trainer: pl.Trainer, module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        for name, value in module.named_parameters():
            if not torch.isfinite(value).all():
                raise ValueError(self._sentence(trainer, f"{name} is not finite"))

    @staticmethod
    def _sentence(trainer: Any, what: str) -> str:
        names = ", ".join(trainer.datamodule.names()) or "unknown"
        return (
            f"{what} at step {trainer.global_step} (images: {names}): lower "
            "optimizer.base_learning_rate or look at these images, and start again; the last "
            "checkpoint is from before that."
        )


class RandomState(pl.Callback):
    """Keeps PyTorch's random state, of every process, in checkpoints.

    A loader draws a number from the CPU's state whenever it is iterated over: once per validation
    and per epoch. A resumed run iterates over other loaders than one that was not interrupted, so
    the state is set before its first step, and what the latter would have drawn between the
    checkpoint and that step is drawn then.
    """

    saved: dict[str, Any] | None = None

    def on_save_checkpoint(
        self, trainer: pl.Trainer, module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        own = {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all()}
        states = [own] * trainer.world_size
        if trainer.world_size > 1:
            distributed.all_gather_object(states, own)
        checkpoint["random_state"] = {
            "states": states,
            "drawn": self._drawn(trainer, validated=trainer.validating),
        }

    def on_load_checkpoint(
        self, trainer: pl.Trainer, module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self.saved = checkpoint.get("random_state")

    def on_train_batch_start(self, trainer: pl.Trainer, *args: Any) -> None:
        if self.saved is None:
            return
        own = self.saved["states"][trainer.global_rank]
        torch.set_rng_state(own["cpu"].cpu())
        for device, state in enumerate(own["cuda"][: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(state.cpu(), device)
        for _ in range(self._drawn(trainer, validated=False) - self.saved["drawn"]):
            torch.empty((), dtype=torch.int64).random_()  # as a loader does
        self.saved = None

    def _drawn(self, trainer: pl.Trainer, *, validated: bool) -> int:
        """How many loaders have been iterated over since the first, at this batch.

        Args:
            validated: whether that after this batch counts.
        """
        batches = trainer.fit_loop.epoch_loop.total_batch_idx + int(validated)
        every = trainer.val_check_interval
        by_batches = trainer.check_val_every_n_epoch is None and isinstance(every, int)
        validates = by_batches and trainer.enable_validation
        epochs = trainer.fit_loop.epoch_loop.total_batch_idx // int(trainer.num_training_batches)
        return epochs + (batches // int(every) if validates else 0)


def moved_on(share: float, average: Tensor, current: Tensor, count: Any) -> Tensor:
    """The average that a step makes: Lightning's own rounds where both are equal."""
    return torch.lerp(average, current, share) if average.is_floating_point() else current


class WeightAverages(EMAWeightAveraging):
    """Exponential moving averages, which validate and are exported in the place of the weights.

    They are what a run ends with, also where nothing was left to train. Weights that are not
    trained stay as they are, to the bit: a frozen tokenizer's ids are those it gave before.

    Private names of Lightning, seen in 2.6: `_copy_average_to_current`, `_swap_models`, `_kwargs`.
    """

    def __init__(self, decay: BelowOne = 0.999, **options: Any) -> None:
        super().__init__(decay=decay, **options)
        self._kwargs["avg_fn"] = partial(moved_on, 1 - decay)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._copy_average_to_current(pl_module)  # Lightning: at the end of training only


@contextmanager
def averaged(trainer: Any, module: Any) -> Iterator[None]:
    """The module with its averages, where the run keeps any.

    Lightning does so itself from the start to the end of a validation epoch.
    """
    kept = [callback for callback in trainer.callbacks if isinstance(callback, WeightAverages)]
    for averages in kept:
        averages._swap_models(module)
    yield
    for averages in kept:
        averages._swap_models(module)


class Reconstructions(pl.Callback):
    """Draws the same validation images after each validation, tokenized.

    Args:
        folder: of the run.
    """

    def __init__(self, images: Float[Tensor, "batch 3 height width"], folder: Path) -> None:
        self.images, self.folder = images, folder

    def on_validation_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        if trainer.is_global_zero and not trainer.sanity_checking:
            save_image(
                trainer.loggers,
                self.folder,
                reconstruction_grid(module.tokenizer, self.images),
                trainer.global_step,
                "step {step}: validation images, each above what the tokenizer makes of it",
            )


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
        metrics = {f"evaluation/{name}": value for name, value in found.results.numbers().items()}
        for logger in trainer.loggers:
            logger.log_metrics(metrics, step=trainer.global_step)
        save_image(
            trainer.loggers,
            self.evaluator.folder,
            found.picture(),
            trainer.global_step,
            "step {step}: source with its region, driver, paste, then samples, best first; the "
            "numbers are distances of the region to the driver in feature space",
        )
