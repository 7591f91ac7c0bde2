"""What the config of a training run says, typed: read once, where a run starts."""

import functools
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from e2eve.data.splits import Splits, build_splits
from e2eve.evaluation.settings import EvaluationSettings
from e2eve.limits import (
    Loaders,
    NonNegative,
    Pixels,
    Positive,
    Processes,
    Seed,
    Text,
)
from e2eve.training.optimizers import OptimizerSettings

# A group whose files name classes, or their arguments: checked where these are built.
Group = dict[str, Any]


@dataclass(frozen=True)
class LoaderSettings:
    """How examples are loaded.

    Args:
        workers: loader processes; None: 8 beside a GPU, else 1.
        val_length: validation examples that are looked at; None: all.
        batch_limit: most images that a device takes at once, whatever the batch size.
        cache_limit: most training edits that are encoded once, whatever the token cache.
    """

    workers: Loaders | None = None
    val_length: Positive | None = None
    batch_limit: Positive | None = None
    cache_limit: Positive | None = None


@dataclass(frozen=True)
class ComputeSettings:
    """How networks are run; None: as suits the device."""

    threads: Processes | None = None
    compile: bool | None = None
    channels_last: bool | None = None


@dataclass(frozen=True)
class TokenizerChoice:
    """An editor's tokenizers; without one of its own the driver shares that of the source."""

    source: Text
    driver: Text | None = None
    allow_untrained: bool = False


@dataclass(frozen=True)
class StudySettings:
    """The sweep that a run is a cell of; conf/train.yaml says what each key means."""

    dir: Text = "runs"
    cell: Text | None = None
    retry_failed: bool = False
    dry_run: bool = False
    validation: list[str] | None = None
    tokenizers: list[str] = field(default_factory=list)
    objective: Text | None = None


@dataclass(frozen=True)
class TrainSettings:
    """The config of `e2eve.train`; conf/train.yaml says what each key means."""

    task: Literal["editor", "source_tokenizer", "driver_tokenizer", "decoder", "evaluation"]
    name: Text
    run_dir: Text
    tags: list[Text]
    seed: Seed
    image_size: Pixels
    driver_size: Pixels
    batch_size: Positive
    steps: int
    validate_every: Positive
    checkpoint_every: Positive
    init_from: Text | None
    ckpt_path: Text | None
    export: Literal["last", "best"]
    decoder: Literal["plain", "source"]
    token_cache: NonNegative
    source_tokenizer: Text
    driver_tokenizer: Text
    dataset: Group
    edit_simulation: Group
    vqgan: dict[Literal["network", "quantizer"], Group]
    tokenizer_loss: Group
    transformer: Group
    trainer: Group
    callbacks: dict[str, Group | None]
    logger: dict[str, Group | None]
    sampling: Group
    metrics: dict[str, Group | None]
    tokenizer: TokenizerChoice
    optimizer: OptimizerSettings
    evaluation: EvaluationSettings
    loader: LoaderSettings
    compute: ComputeSettings
    study: StudySettings = field(default_factory=StudySettings)

    @property
    def on_gpu(self) -> bool:
        """Whether the trainer runs on a GPU."""
        accelerator = self.trainer["accelerator"]
        return accelerator in ("gpu", "cuda") or (
            accelerator == "auto" and torch.cuda.is_available()
        )

    @property
    def channels_last(self) -> bool:
        """Whether convolutions are laid out so."""
        chosen = self.compute.channels_last
        return self.on_gpu if chosen is None else chosen

    @property
    def device_batch(self) -> int:
        """Images that a device takes at once."""
        return min(self.batch_size, self.loader.batch_limit or self.batch_size)

    @property
    def cached_edits(self) -> int:
        """Training edits that are encoded once."""
        return min(self.token_cache, self.loader.cache_limit or self.token_cache)

    @property
    def workers(self) -> int:
        """Loader processes."""
        chosen = self.loader.workers
        return (8 if self.on_gpu else 1) if chosen is None else chosen

    @functools.cached_property
    def images(self) -> Splits:
        """Both parts of the data set, built once."""
        return build_splits(self.dataset)
