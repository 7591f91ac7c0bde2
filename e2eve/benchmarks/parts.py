"""A part of the work: what is timed, against what, and the least that it could take."""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import NamedTuple

from e2eve.benchmarks.floors import Floor
from e2eve.benchmarks.setting import Setting
from e2eve.benchmarks.timing import Case, Timing, timings
from e2eve.config import choose
from e2eve.reporting.progress import Report, silent


class Part(NamedTuple):
    """One thing to do, in several ways.

    plain: as a straightforward implementation does it; None where there is none.
    ours: as e2eve does it.
    others: further ways.
    facts: what else was found while it was prepared.
    """

    name: str
    batch: int
    plain: Case | None
    ours: Case
    others: tuple[Case, ...] = ()
    floor: Floor | None = None
    facts: Mapping[str, float] = MappingProxyType({})

    def only(self, ways: Collection[str]) -> "Part":
        """Ours, and of the others those that are named.

        Raises:
            ValueError: when there is no such way.
        """
        cases = (*((self.plain,) if self.plain else ()), self.ours, *self.others)
        for way in ways:
            choose(way, {case.name: case for case in cases}, f"A way of {self.name}")
        kept = tuple(case for case in self.others if case.name in ways)
        plain = self.plain if self.plain and self.plain.name in ways else None
        return self._replace(plain=plain, others=kept)


class Result(NamedTuple):
    """What was found; ratios above 1 mean: the plain way is slower, the floor is lower."""

    part: Part
    plain: Timing | None
    ours: Timing
    others: tuple[Timing, ...]

    @property
    def timings(self) -> tuple[Timing, ...]:
        return (*((self.plain,) if self.plain else ()), self.ours, *self.others)

    def speedup(self, timing: Timing) -> float | None:
        return self.plain.seconds / timing.seconds if self.plain else None

    def above_floor(self, timing: Timing) -> float | None:
        return timing.seconds / self.part.floor.seconds if self.part.floor else None


def measured(part: Part, *, rounds: int, setting: Setting, report: Report = silent) -> Result:
    plain = (part.plain,) if part.plain else ()
    found = timings(
        (*plain, part.ours, *part.others),
        rounds=rounds,
        device=setting.device,
        clock=setting.clock,
        advance=lambda done, total: report(f"{part.name}, batch {part.batch}", done, total),
    )
    first = found.pop(0) if part.plain else None
    return Result(part, first, found[0], tuple(found[1:]))
