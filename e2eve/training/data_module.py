"""Batches of simulated edits, resumable to the item."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytorch_lightning as pl
from torch.utils.data import DataLoader

from e2eve.conditioning import EditBatch
from e2eve.data.keyed import Key, KeyedDataset, KeyedSampler, generator_for
from e2eve.data.pictures import Pictures
from e2eve.edit_simulation import SimulatedEdit


class Simulated(KeyedDataset):
    """Pictures put through a simulation whose randomness follows from (seed, epoch, index).

    Args:
        simulate: makes an example of an image.
    """

    def __init__(
        self,
        pictures: Pictures,
        simulate: Callable[[np.ndarray, np.random.Generator], Any],
        seed: int,
    ) -> None:
        self.pictures, self.simulate, self.seed = pictures, simulate, seed

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, key: Key) -> Any:
        return self.simulate(self.pictures[key[1]], generator_for(self.seed, key))

    def collate(self, items: list[Any]) -> Any:
        """An `EditBatch` of simulated edits; other examples are stacked."""
        if isinstance(items[0], SimulatedEdit):
            return EditBatch.collate(items)
        return super().collate(items)


class ResumableData(pl.LightningDataModule):
    """Training batches that go on where a checkpoint was written, and fixed validation batches.

    Args:
        batch_size: examples a process and step.
        val_length: validation examples that are looked at.
        workers: loader processes.
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
                f"The training set has {len(train)} pictures, fewer than one batch of "
                f"{batch_size}: add pictures or lower batch_size."
            )
        self.train, self.val = train, val
        self.batch_size, self.seed, self.workers = batch_size, seed, workers
        self.val_length = min(len(val), val_length or len(val))
        self.batches_done = 0

    def state_dict(self) -> dict:
        return {"batches_done": self.trainer.fit_loop.epoch_loop.total_batch_idx + 1}

    def load_state_dict(self, state: dict) -> None:
        self.batches_done = state["batches_done"]

    def train_dataloader(self) -> DataLoader:
        ranks = self.trainer.world_size
        per_epoch = len(self.train) // ranks // self.batch_size
        epoch, batch = divmod(self.batches_done, per_epoch)
        sampler = KeyedSampler(
            len(self.train),
            self.seed,
            consumed=epoch * (len(self.train) // ranks) + batch * self.batch_size,
            rank=self.trainer.global_rank,
            ranks=ranks,
        )
        return self._loader(self.train, sampler, drop_last=True)

    def val_dataloader(self) -> DataLoader:
        return self._loader(self.val, [(0, index) for index in range(self.val_length)])

    def _loader(self, dataset: KeyedDataset, sampler: Any, drop_last: bool = False) -> DataLoader:
        return DataLoader(
            dataset,
            batch_size=self.batch_size,
            sampler=sampler,
            drop_last=drop_last,
            num_workers=self.workers,
            collate_fn=dataset.collate,
            persistent_workers=False,
        )
