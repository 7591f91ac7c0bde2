"""Work that several processes share, put together again in the first of them."""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

from torch import distributed

T = TypeVar("T")


class Share(NamedTuple):
    """This process's part: every `ranks`-th item from its own number on."""

    rank: int = 0
    ranks: int = 1
    group: Any = None  # of processes, over the CPU

    @classmethod
    def of_this_process(cls) -> "Share":
        """All processes of a training come here at the same time; alone it is everything."""
        if not (distributed.is_available() and distributed.is_initialized()):
            return ALONE
        group = distributed.new_group(backend="gloo")
        return cls(distributed.get_rank(), distributed.get_world_size(), group)

    def of(self, items: Sequence[T]) -> Sequence[T]:
        return items[self.rank :: self.ranks]

    def gathered(self, own: T) -> list[T] | None:
        """What each process hands in, in their order, for the first one; None for the others."""
        if self.ranks == 1:
            return [own]
        everyone: list[Any] | None = [None] * self.ranks if self.rank == 0 else None
        distributed.gather_object(own, everyone, dst=0, group=self.group)
        return everyone


ALONE = Share()
