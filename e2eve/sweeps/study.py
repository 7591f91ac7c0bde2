"""A study: its cells, what is recorded of them, and what is to run, with what they read first."""

import hashlib
import json
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock
from hydra.conf import HydraConf
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from e2eve.evaluation.settings import check_numbers
from e2eve.runs import RunFolder, is_locked, run_settings

MODULE = "e2eve.train"

LONGEST_NAME = 120  # characters; file systems take 255 bytes

# Overrides that say how the study is run; commands of cells don't get them.
OF_THE_STUDY = (
    *("hydra.mode", "hydra.sweep", "hydra/launcher", "hydra.launcher", "hydra/sweeper"),
    *("hydra.sweeper", "hydra.job.config", "study.retry_failed", "study.dry_run"),
)

TODO, DONE, JOINED, RUNNING = "to run", "done", "job under way", "running elsewhere"
FAILED = "failed before (study.retry_failed=true runs it again)"

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


@dataclass(frozen=True)
class Cell:
    """A run folder, and the training run that fills it.

    Args:
        flags: of Hydra, such as --config-dir.
        module: another command, for folders that cells read and that are no run folders.
    """

    name: str
    folder: Path
    overrides: tuple[str, ...]
    flags: tuple[str, ...] = ()
    module: str | None = None

    @property
    def run(self) -> RunFolder:
        return RunFolder(self.folder)

    @property
    def command(self) -> list[str]:
        """The module that runs it by itself, and its arguments."""
        return [self.module or MODULE, *self.flags, *self.overrides]

    def state(self, config: DictConfig, retry_failed: bool) -> str:
        """What is to happen with it: it resumes where it stopped, and nothing is done twice."""
        if is_locked(self.folder):
            return RUNNING
        if self.run.result_of(run_settings(config)) is not None:
            return DONE
        return TODO if retry_failed or self.run.status()["state"] != "failed" else FAILED

    def note_failure(self, why: str) -> str | None:
        """Note that its process has failed, where the run could not do that itself.

        Returns what the report says instead of the run's state: where a cell that is done was
        refused, the run has nothing to say. Neither has it where another process trains there.
        """
        state = self.run.status()["state"]
        if state == "done":
            return "refused, its folder holds a run with other settings"
        if state in ("new", "running") and not is_locked(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self.run.mark("failed", error=why)
        return None


class Study:
    """What the command of a sweep says about all its cells.

    Args:
        config: of the whole command, `hydra` included.
    """

    def __init__(self, config: DictConfig, loader: ConfigLoader) -> None:
        self.config, self.settings, self.loader = config, config.study, loader
        self.folder = Path(config.hydra.sweep.dir)
        fixed = config.hydra.job.config.override_dirname.exclude_keys
        self.given = [
            one.input_line or ""
            for one in parsed(config.hydra.overrides.task)
            if one.key_or_group in fixed
        ]
        self.hydra_overrides = without(config.hydra.overrides.hydra, OF_THE_STUDY)
        self.flags = tuple(
            f"--config-dir={source.path}"
            for source in config.hydra.runtime.config_sources
            if source.provider == "command-line"
        )

    def cell(self, overrides: Sequence[str]) -> tuple[Cell, DictConfig]:
        """The cell with these overrides of a sweeper, and its config."""
        config = self.loader.load_sweep_config(self.config, list(overrides))
        own = place(config, config.hydra)
        kept = [*self.hydra_overrides, *without(overrides, OF_THE_STUDY)]
        kept += [f"{key}={quoted(value)}" for key, value in own.items()]
        cell = Cell(config.study.cell, Path(config.run_dir), tuple(kept), self.flags)
        return cell, _without_hydra(config)

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """The config of one training run with these overrides."""
        return _without_hydra(self.loader.load_configuration("train", list(overrides), RunMode.RUN))


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
        return [one.where for one in readings(self.configs[cell]) if not exists(self.study, one)]

    def lines(self) -> list[str]:
        """What a person reads of it: `  to run  seed-0`."""
        rows = [("exists", f"{one.where}  ({one.key})") for one in self.existing]
        rows += [
            ("made first", f"{one.folder}  ({' '.join(one.overrides)})")
            for wave in self.waves
            for one in wave
        ]
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
        experiment = f"+experiment={folder.name}"
        overrides = (*study.hydra_overrides, experiment, *choices_for(study, reading.task))
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


def place(config: DictConfig, hydra: HydraConf) -> dict[str, str]:
    """Set what is a cell's own in its config, and return it by key.

    Args:
        hydra: the node of the cell.
    """
    folder = Path(hydra.sweep.dir, hydra.sweep.subdir)
    own = {"study.dir": hydra.sweep.dir, "study.cell": hydra.sweep.subdir, "run_dir": str(folder)}
    for key, value in own.items():
        OmegaConf.update(config, key, value)
    return own


def _without_hydra(config: DictConfig) -> DictConfig:
    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])


@contextmanager
def open_record(folder: Path) -> Iterator[dict[str, dict[str, Any]]]:
    """sweep.json of a study's folder, to be read and changed by one process at a time.

    cells: names in the last command → what the report says instead of the run's state, or null.
    jobs: name of a cell, or of a training run that cells need → its last job of submitit.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, partial = folder / "sweep.json", folder / ".sweep.json.partial"
    with FileLock(folder / ".sweep.lock"):
        record: dict[str, dict[str, Any]] = {"cells": {}, "jobs": {}}
        record |= json.loads(path.read_text("utf-8")) if path.exists() else {}
        yield record
        partial.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        partial.replace(path)


def parsed(overrides: Sequence[str]) -> list[Override]:
    return OverridesParser.create().parse_overrides(list(overrides))


def without(overrides: Sequence[str], beginnings: Sequence[str]) -> list[str]:
    """Overrides whose keys are none of these and lie below none of them."""
    below = tuple(f"{one}{separator}" for one in beginnings for separator in "./")
    return [
        one.input_line or ""
        for one in parsed(overrides)
        if one.key_or_group not in beginnings and not one.key_or_group.startswith(below)
    ]


def quoted(value: object) -> str:
    """The right side of an override, whatever characters the value holds."""
    return "'" + str(value).replace("'", "\\'") + "'"


def cell_name(choices: str) -> str:
    """The name of a cell's folder: `seed-0+tokenizer-shared`.

    It needs no quotes in a shell or in Hydra. Names that lose characters for that, or would be too
    long, end in a hash of the choices.

    Args:
        choices: Hydra's `override_dirname`, of what is not the same in all cells.
    """
    name = re.sub(r"[^A-Za-z0-9_.+-]", "_", choices)
    if name == choices and len(name) <= LONGEST_NAME:
        return name or "cell"
    return f"{name[:LONGEST_NAME]}+{hashlib.sha256(choices.encode()).hexdigest()[:8]}"


# For hydra.sweep.subdir in conf/train.yaml, here and in workers of stock launchers.
OmegaConf.register_new_resolver("cell_name", cell_name, replace=True)
