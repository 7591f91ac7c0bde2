"""What a study will run: its cells, and before them what makes the folders that they read."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from omegaconf import DictConfig, OmegaConf

from e2eve.evaluation.settings import check_numbers
from e2eve.sweeps.study import JOINED, TODO, Cell, Study, parsed, quoted, without

# Choices for the cells that tokenizers are trained with too: images, networks, machine …
FOR_TOKENIZERS = (
    *("dataset", "image_size", "driver_size", "vqgan", "tokenizer_loss"),
    *("trainer", "loader", "compute", "callbacks", "logger"),
)
# … but these of them are meant for the cells: experiments have their own.
OF_THE_EDITOR = (
    *("trainer.max_steps", "trainer.val_check_interval", "callbacks.last.every_n_steps"),
)

NAMES_THE_RUN = ("experiment", "sweep", "study", "task", "name", "run_dir", "init_from")

VALIDATION = "validation_set"
NUMBERS = ("num_inputs", "num_distractors", "seed")  # of one that is there: as they are asked for


class Reading(NamedTuple):
    """A folder that a training run reads: the key that names it, where it is, what makes it."""

    key: str
    where: str
    task: str


class SweepPlan:
    """What is to happen with each cell, and what comes before.

    Args:
        configs: of the cells.
        joined: names of cells that jobs of an earlier command still work at.

    Raises ValueError when something is missing that no experiment makes, or the shared validation
    set has no folder or was built for other numbers.
    """

    def __init__(
        self, study: Study, configs: dict[Cell, DictConfig], joined: Collection[str]
    ) -> None:
        self.study, self.configs, retry = study, configs, study.settings.retry_failed
        self.states = {
            cell: JOINED if cell.name in joined else cell.state(config, retry)
            for cell, config in configs.items()
        }
        self.existing: dict[Reading, None] = {}
        self.waves: list[list[Cell]] = []
        self._find_needs([configs[cell] for cell in self.cells(TODO)])

    def cells(self, *states: str) -> list[Cell]:
        return [cell for cell, state in self.states.items() if state in states]

    def lacking(self, cell: Cell) -> list[str]:
        """Folders that the cell reads and that are not there."""
        reads = readings(self.configs[cell])
        return [one.where for one in reads if not exists(self.study, one)]

    def lines(self) -> list[str]:
        """What a person reads of it: `  to run  seed-0`."""
        rows = [("exists", f"{one.where}  ({one.key})") for one in self.existing]
        first = [cell for wave in self.waves for cell in wave]
        rows += [("made first", f"{one.folder}  ({' '.join(one.overrides)})") for one in first]
        rows += [(state, cell.name) for cell, state in self.states.items()]
        return [f"  {what}  {which}" for what, which in rows]

    def _find_needs(self, configs: Sequence[DictConfig]) -> None:
        """What training runs with these configs read exists, or is made by one wave before them."""
        while configs:
            read = dict.fromkeys(one for config in configs for one in readings(config))
            self.existing |= dict.fromkeys(one for one in read if exists(self.study, one))
            wave = [maker(self.study, one) for one in read if one not in self.existing]
            self.waves = [wave, *self.waves] if wave else self.waves
            configs = [self.study.compose(cell.overrides) for cell in wave if not cell.module]


def readings(config: DictConfig) -> list[Reading]:
    """What a training run reads; packaged and untrained networks are left out.

    Raises ValueError where the validation set of a study has no folder.
    """
    edits = config.task in ("editor", "evaluation")
    keys: dict[str, str] = {}
    if config.init_from is not None:
        keys["init_from"] = "editor" if edits else config.task
    elif edits:
        keys |= {f"tokenizer.{role}": f"{role}_tokenizer" for role in ("source", "driver")}
    if config.study.validation is not None and config.evaluation.enabled:
        keys["evaluation.validation_set"] = VALIDATION
        if config.evaluation.validation_set is None:
            raise ValueError(
                "study.validation describes a validation set that cells share, and "
                "evaluation.validation_set is null: name a folder there."
            )
    found = [Reading(key, OmegaConf.select(config, key), task) for key, task in keys.items()]
    given = [one for one in found if one.where not in (None, "untrained")]
    return [one for one in given if not one.where.startswith("package:")]


def exists(study: Study, reading: Reading) -> bool:
    """Raises ValueError for a validation set that was built for other numbers."""
    if reading.task == VALIDATION:
        is_there = Path(reading.where, "manifest.json").exists()
        if is_there:
            asked = study.compose(validation_choices(study)).evaluation
            check_numbers(reading.where, {name: asked[name] for name in NUMBERS})
        return is_there
    from e2eve.bundle import locate  # PyTorch takes seconds

    try:
        return bool(locate(reading.where))
    except ValueError:
        return False


def maker(study: Study, reading: Reading) -> Cell:
    """The command that builds the validation set, or trains the experiment of that run folder.

    Raises ValueError when there is no such experiment.
    """
    folder = Path(reading.where)
    if reading.task == VALIDATION:
        overrides = (*validation_choices(study), f"out={quoted(folder)}")
        return Cell(folder.name, folder, overrides, study.flags, "e2eve.validation_set")
    if folder.name in study.loader.get_group_options("experiment"):
        choices = choices_for(study, reading.task)
        overrides = (*study.hydra_overrides, f"+experiment={folder.name}", *choices)
        config = study.compose(overrides)
        if Path(config.run_dir) == folder and config.task == reading.task:
            return Cell(folder.name, folder, overrides, study.flags)
    raise ValueError(
        f"The sweep reads {reading.key}={folder}, which is no trained network, and no experiment "
        f"makes it (one called {folder.name} with that run folder would): train it first, or give "
        f"another {reading.key}."
    )


def choices_for(study: Study, task: str) -> list[str]:
    """What the command says about images, networks and machine."""
    given = without(study.given, NAMES_THE_RUN)
    if task == "editor":
        return given
    own = list(study.settings.tokenizers)
    others = without(given, FOR_TOKENIZERS)
    taken = [text for text in given if text not in others]
    return without(taken, (*OF_THE_EDITOR, *(one.key_or_group for one in parsed(own)))) + own


def validation_choices(study: Study) -> list[str]:
    """What the command says about images, and how the shared validation set is built."""
    own = [*study.settings.validation, "evaluation.validation_set=null"]
    dropped = ("sweep", "study", "task", "init_from", *(one.key_or_group for one in parsed(own)))
    return [*without(study.given, dropped), *own]
