"""Randomness that survives an interruption: each item's draws follow from (seed, epoch, index)."""

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
from torch.utils.data import Dataset, Sampler, default_collate

Key = tuple[int, int]  # epoch, index


def generator_for(seed: int, key: Key) -> np.random.Generator:
    """The generator that simulates one item: the same in any process and after any restart."""
    return np.random.default_rng((seed, *key))


class KeyedDataset(Dataset[Any]):
    """A data set of known length that is indexed by keys."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, key: Key) -> Any: ...

    def collate(self, items: list[Any]) -> Any:
        """A batch of items of this data set."""
        return default_collate(items)


class KeyedSampler(Sampler[Key]):
    """Every index once an epoch, in an order that follows from (seed, epoch).

    Args:
        length: items in the data set.
        start: the first iteration's epoch, and how many of its items an interrupted run has used.
        rank, ranks: this process's share of every epoch, cut to equal lengths.
    """

    def __init__(
        self, length: int, seed: int, *, start: Key = (0, 0), rank: int = 0, ranks: int = 1
    ) -> None:
        if length < ranks:
            raise ValueError(f"{length} images cannot be shared by {ranks} processes, add some.")
        self.length, self.seed, self.rank, self.ranks = length, seed, rank, ranks
        self.start = start

    def __len__(self) -> int:
        return self.length // self.ranks

    def __iter__(self) -> Iterator[Key]:
        epoch, used = self.start
        self.start = (epoch + 1, 0)
        order = np.random.default_rng((self.seed, epoch)).permutation(self.length)
        mine = order[self.rank :: self.ranks][: len(self)]
        return iter([(epoch, int(index)) for index in mine[used:]])
