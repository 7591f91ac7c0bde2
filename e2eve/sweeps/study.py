"""A study and its cells: names, run folders, commands, and what is recorded of them."""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

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
        written = parsed(config.hydra.overrides.task)
        self.given = [one.input_line or "" for one in written if one.key_or_group in fixed]
        self.hydra_overrides = without(config.hydra.overrides.hydra, OF_THE_STUDY)
        sources = config.hydra.runtime.config_sources
        extra = [source.path for source in sources if source.provider == "command-line"]
        self.flags = tuple(f"--config-dir={path}" for path in extra)

    def cell(self, overrides: Sequence[str]) -> tuple[Cell, DictConfig]:
        """The cell with these overrides of a sweeper, and its config."""
        config = self.loader.load_sweep_config(self.config, list(overrides))
        own = place(config, config.hydra)
        kept = [*self.hydra_overrides, *without(overrides, OF_THE_STUDY)]
        kept += [f"{key}={quoted(value)}" for key, value in own.items()]
        folder = Path(config.run_dir)
        return Cell(config.study.cell, folder, tuple(kept), self.flags), _without_hydra(config)

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """The config of one training run with these overrides."""
        return _without_hydra(self.loader.load_configuration("train", list(overrides), RunMode.RUN))


def place(config: DictConfig, hydra: DictConfig) -> dict[str, str]:
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
def open_record(folder: Path) -> Iterator[dict[str, dict[str, str | None]]]:
    """sweep.json of a study's folder, to be read and changed by one process at a time.

    cells: names in the last command → what the report says instead of the run's state, or null.
    jobs: name of a cell, or of a training run that cells need → its last job of submitit.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, partial = folder / "sweep.json", folder / ".sweep.json.partial"
    with FileLock(folder / ".sweep.lock"):
        record = {"cells": {}, "jobs": {}}  # type: ignore[var-annotated]
        record |= json.loads(path.read_text("utf-8")) if path.exists() else {}
        yield record
        partial.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        partial.replace(path)


def parsed(overrides: Sequence[str]) -> list[Override]:
    return OverridesParser.create().parse_overrides(list(overrides))


def without(overrides: Sequence[str], beginnings: Sequence[str]) -> list[str]:
    """Overrides whose keys are none of these and lie below none of them."""
    below = tuple(f"{one}{separator}" for one in beginnings for separator in "./")
    keys = [(one.key_or_group, one.input_line or "") for one in parsed(overrides)]
    return [text for key, text in keys if key not in beginnings and not key.startswith(below)]


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
