"""What cells read and other trainings make: their tokenizers, or the editor that they evaluate."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from omegaconf import DictConfig

from e2eve.sweeps.cells import Cell, key_of, parsed
from e2eve.sweeps.sweep import Sweep, without

FOR_TOKENIZERS = (
    *("dataset", "image_size", "driver_size", "vqgan", "tokenizer_loss"),
    *("trainer", "logger"),
)
"""Choices for the cells that tokenizers are trained with too: pictures, networks, machine."""

OF_THE_EDITOR = ("trainer.max_steps", "trainer.validate_every", "trainer.checkpoint_every")
"""Choices among those that are meant for the cells: experiments have their own."""

NAMES_THE_RUN = ("experiment", "sweep", "task", "name", "run_dir", "init_from")


class Reading(NamedTuple):
    """A folder that a training reads, the task that makes such folders, the key that names it."""

    where: str
    task: str
    key: str


@dataclass
class Needs:
    """Trainings that come before the cells, in waves: each wave needs the ones before it."""

    existing: list[Reading] = field(default_factory=list)
    waves: list[list[Cell]] = field(default_factory=list)

    @property
    def trainings(self) -> list[Cell]:
        return [cell for wave in self.waves for cell in wave]


def find_needs(sweep: Sweep, configs: Sequence[DictConfig]) -> Needs:
    """
    Raises:
        ValueError: when something is missing that no experiment makes.
    """
    needs = Needs()
    while configs:
        read = dict.fromkeys(reading for config in configs for reading in readings(config))
        needs.existing += [one for one in read if exists(one.where) and one not in needs.existing]
        missing = [one for one in read if not exists(one.where)]
        wave = [maker(sweep, reading) for reading in missing]
        if wave:
            needs.waves.insert(0, wave)
        configs = [sweep.compose(cell.overrides) for cell in wave]
    return needs


def readings(config: DictConfig) -> Iterator[Reading]:
    """Packaged and untrained networks are left out."""
    editor = config.task in ("editor", "evaluation")
    if config.init_from is not None:
        task = "editor" if editor else config.task
        found = [Reading(config.init_from, task, "init_from")]
    elif editor:
        found = [
            Reading(config.tokenizer[role], f"{role}_tokenizer", f"tokenizer.{role}")
            for role in ("source", "driver")
            if config.tokenizer[role] is not None
        ]
    else:
        found = []
    for reading in found:
        if reading.where != "untrained" and not reading.where.startswith("package:"):
            yield reading


def exists(where: str) -> bool:
    from e2eve.bundle import locate  # PyTorch takes seconds

    try:
        locate(where)
    except ValueError:
        return False
    return True


def maker(sweep: Sweep, reading: Reading) -> Cell:
    """The training of the experiment whose run folder this is.

    Raises:
        ValueError: when there is no such experiment.
    """
    name = Path(reading.where).name
    if name in sweep.experiments:
        overrides = (
            *sweep.hydra_overrides,
            f"+experiment={name}",
            *choices_for(sweep, reading.task),
        )
        config = sweep.compose(overrides)
        if Path(config.run_dir) == Path(reading.where) and config.task == reading.task:
            return Cell(name, Path(reading.where), overrides)
    raise ValueError(
        f"The sweep reads {reading.key}={reading.where}, which is no trained network, and no "
        f"experiment makes it (one called {name} with that run folder would): train it first, or "
        f"give another {reading.key}."
    )


def choices_for(sweep: Sweep, task: str) -> list[str]:
    """What the sweep's command says about pictures, networks and machine."""
    given = without(sweep.given, NAMES_THE_RUN)
    if task == "editor":
        return given
    taken = [
        text
        for text, override in zip(given, parsed(given), strict=True)
        if key_of(override).split(".")[0] in FOR_TOKENIZERS
    ]
    own = list(sweep.settings.tokenizers)
    return [*without(taken, (*OF_THE_EDITOR, *map(key_of, parsed(own)))), *own]
