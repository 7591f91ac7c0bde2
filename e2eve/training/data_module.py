"""Batches of simulated edits, resumable to the item."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytorch_lightning as pl
from torch.utils.data import DataLoader, SequentialSampler

from e2eve.conditioning import EditBatch
from e2eve.data.keyed import Key, KeyedDataset, KeyedSampler, generator_for
from e2eve.data.splits import Images
from e2eve.edit_simulation import SimulatedEdit


class Simulated(KeyedDataset):
    """Images put through a simulation whose randomness follows from (seed, epoch, index).

    Args:
        simulate: makes an example of an image.
    """

    def __init__(
        self,
        images: Images,
        simulate: Callable[[np.ndarray, np.random.Generator], Any],
        seed: int,
    ) -> None:
        self.images, self.simulate, self.seed = images, simulate, seed

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, key: Key) -> Any:
        return self.simulate(self.images[key[1]], generator_for(self.seed, key))

    def collate(self, items: list[Any]) -> Any:
        """An `EditBatch` of simulated edits; other examples are stacked."""
        if isinstance(items[0], SimulatedEdit):
            return EditBatch.collate(items)
        return super().collate(items)


class FirstEpoch(SequentialSampler):
    """Keys of the first epoch in order, the same whenever it is asked.

    A sequential sampler is what Lightning's `overfit_batches` leaves in its place.
    """

    def __init__(self, length: int, rank: int = 0, ranks: int = 1) -> None:
        self.keys = [(0, index) for index in range(rank, length, ranks)]

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.keys)


class ResumableData(pl.LightningDataModule):
    """Training batches that continue where a checkpoint was written, and fixed validation batches.

    Args:
        batch_size: examples per process and batch.
        workers: loader processes.
        val_length: validation examples that are looked at; None: all.

    Raises:
        ValueError: if the training set is smaller than one batch.
    """

    trainer: pl.Trainer  # there before Lightning asks for anything

    def __init__(
        self,
        train: KeyedDataset,
        val: KeyedDataset,
        *,
        batch_size: int,
        seed: int,
        workers: int,
        val_length: int | None = None,
    ) -> None:
        super().__init__()
        if len(train) < batch_size:
            raise ValueError(
                f"The training set has {len(train)} images, fewer than one batch of "
                f"{batch_size}: add images or lower batch_size."
            )
        self.train, self.val = train, val
        self.batch_size, self.seed, self.workers = batch_size, seed, workers
        self.val_length = min(len(val), val_length or len(val))
        self.epoch, self.batch = 0, 0  # where the next batch is

    def state_dict(self) -> dict[str, int]:
        """The place of the next batch: how often the loader was asked, and for how many batches."""
        done = self.trainer.fit_loop.epoch_loop.total_batch_idx + 1
        epoch, batch = divmod(done, int(self.trainer.num_training_batches))
        return {"epoch": epoch, "batch": batch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.epoch, self.batch = state["epoch"], state["batch"]

    def train_dataloader(self) -> DataLoader:
        rank, ranks = self.trainer.global_rank, self.trainer.world_size
        if self.trainer.overfit_batches:
            return self._loader(self.train, FirstEpoch(len(self.train), rank, ranks))
        per_epoch = len(self.train) // ranks
        consumed = self.epoch * per_epoch + self.batch * self.batch_size
        sampler = KeyedSampler(
            len(self.train), self.seed, consumed=consumed, rank=rank, ranks=ranks
        )
        return self._loader(self.train, sampler, drop_last=True)

    def val_dataloader(self) -> DataLoader:
        return self._loader(self.val, FirstEpoch(self.val_length))

    def _loader(self, dataset: KeyedDataset, sampler: Any, drop_last: bool = False) -> DataLoader:
        return DataLoader(
            dataset,
            batch_size=self.batch_size,
            sampler=sampler,
            drop_last=drop_last,
            num_workers=self.workers,
            collate_fn=dataset.collate,
        )
