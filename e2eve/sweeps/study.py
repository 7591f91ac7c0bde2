"""A study and its cells: names, run folders, command lines, and the record of a command."""

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
from omegaconf import DictConfig, open_dict

from e2eve.runs import RunFolder, is_locked, run_settings

MODULE = "e2eve.train"

LONGEST_NAME = 120  # characters; file systems take 255 bytes

# Overrides that say how the study is run; commands of cells don't get them.
OF_THE_STUDY = (
    *("hydra.mode", "hydra.sweep", "hydra/launcher", "hydra.launcher", "hydra/sweeper"),
    *("hydra.sweeper", "hydra.job.config", "study.retry_failed", "study.dry_run"),
)

TODO, DONE, FAILED = "to run", "done", "failed before"
JOINED, RUNNING = "job under way", "running elsewhere"


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

        Returns:
            What the report says instead of the run's state: where a cell that is done was refused,
            the run has nothing to say. Neither has it where another process trains there.
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

    Raises ValueError for another command than train.
    """

    def __init__(self, config: DictConfig, loader: ConfigLoader) -> None:
        check_command(config)
        self.settings, self.loader = config.study, loader
        self.folder = Path(config.hydra.sweep.dir)
        self.fixed = list(config.hydra.job.config.override_dirname.exclude_keys)
        written = parsed(config.hydra.overrides.task)
        self.given = [one.input_line or "" for one in written if key_of(one) in self.fixed]
        self.hydra_overrides = without(config.hydra.overrides.hydra, OF_THE_STUDY)
        sources = config.hydra.runtime.config_sources
        extra = [source.path for source in sources if source.provider == "command-line"]
        self.flags = tuple(f"--config-dir={path}" for path in extra)

    def cell(self, overrides: Sequence[str]) -> Cell:
        """The cell with these overrides of a sweeper."""
        name = cell_name(overrides, self.fixed)
        folder = self.folder / name
        own = [f"run_dir={quoted(folder)}", f"study.dir={quoted(self.folder)}"]
        kept = [*self.hydra_overrides, *without(overrides, OF_THE_STUDY), *own]
        return Cell(name, folder, (*kept, f"study.cell={quoted(name)}"), self.flags)

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """The config of one training run with these overrides."""
        config = self.loader.load_configuration("train", list(overrides), RunMode.RUN)
        with open_dict(config):
            del config["hydra"]
        return config


def check_command(config: DictConfig) -> None:
    """Raises ValueError for another command than train."""
    command = config.hydra.job.config_name
    if command != "train":
        raise ValueError(f"-m is for e2eve.train, and this is e2eve.{command}: leave it out.")


def fixed_keys(config: DictConfig) -> list[str]:
    """Keys that a command gives one value, which is no choice among several."""
    params = {str(key).lstrip("+~") for key in config.hydra.sweeper.get("params") or {}}
    written = parsed(config.hydra.overrides.task)
    fixed = [key_of(one) for one in written if not one.is_sweep_override()]
    return [key for key in fixed if key not in params]


@contextmanager
def open_record(folder: Path) -> Iterator[dict[str, dict[str, str | None]]]:
    """sweep.json of a study's folder, to be read and changed by one process at a time.

    cells: names in the last command → what the report says instead of the run's state, or null.
    jobs: name of a cell, or of a training run that cells need → its last job of submitit.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, partial = folder / "sweep.json", folder / ".sweep.json.partial"
    with FileLock(folder / ".sweep.lock"):
        kept = json.loads(path.read_text("utf-8")) if path.exists() else {}
        record = {"cells": {}, "jobs": {}} | kept
        yield record
        partial.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        partial.replace(path)


def parsed(overrides: Sequence[str]) -> list[Override]:
    return OverridesParser.create().parse_overrides(list(overrides))


def key_of(override: Override) -> str:
    """The key without + or ~."""
    return override.get_key_element().lstrip("+~")


def without(overrides: Sequence[str], beginnings: Sequence[str]) -> list[str]:
    """Overrides whose keys are none of these and lie below none of them."""
    below = tuple(f"{one}{separator}" for one in beginnings for separator in "./")
    keys = [(key_of(one), one.input_line or "") for one in parsed(overrides)]
    return [text for key, text in keys if key not in beginnings and not key.startswith(below)]


def quoted(value: object) -> str:
    """The right side of an override, whatever characters the value holds."""
    return "'" + str(value).replace("'", "\\'") + "'"


def cell_name(overrides: Sequence[str], fixed: Sequence[str] = ()) -> str:
    """What a cell has chosen where cells differ: `tokenizer-shared+seed-0`.

    It is the same whenever the choices are, and needs no quotes in a shell or in Hydra. Names that
    lose characters for that, or would be too long, end in a hash of the choices.

    Args:
        overrides: of the cell, in the order of the name.
        fixed: keys that have one value in all cells.
    """
    chosen = {key_of(one): one.get_value_element_as_str() for one in parsed(overrides)}
    pairs = {key: value for key, value in chosen.items() if key not in fixed}
    labels = short(list(pairs))
    text = "+".join(f"{labels[key]}-{_unquoted(value)}" for key, value in pairs.items())
    name = re.sub(r"[^A-Za-z0-9_.+-]", "_", text)
    if name == text and len(name) <= LONGEST_NAME:
        return name or "cell"
    digest = hashlib.sha256("+".join(f"{k}={v}" for k, v in pairs.items()).encode()).hexdigest()
    return f"{name[:LONGEST_NAME]}+{digest[:8]}"


def short(keys: Sequence[str]) -> dict[str, str]:
    """The last part of each dotted key, or as many of them as tell it from the others."""
    labels = {}
    for key in keys:
        parts = key.split(".")
        endings = [".".join(parts[-count:]) for count in range(1, len(parts) + 1)]
        shared = {one: sum(f".{other}".endswith(f".{one}") for other in keys) for one in endings}
        labels[key] = next((one for one in endings if shared[one] == 1), key)
    return labels


def _unquoted(value: str) -> str:
    return re.sub(r"""^(['"])(.*)\1$""", r"\2", value)
