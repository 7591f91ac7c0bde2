"""The validation set that all cells of a sweep are measured on."""

import logging
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from e2eve.evaluation.files import check_numbers
from e2eve.sweeps.cells import key_of, parsed, quoted
from e2eve.sweeps.sweep import Sweep, without

log = logging.getLogger(__name__)

NUMBERS = ("num_inputs", "num_distractors", "seed")


def shared_folder(sweep: Sweep, configs: Sequence[DictConfig]) -> Path | None:
    """Where it is or will be; None where the sweep doesn't ask for one.

    Raises:
        ValueError: when the cells do not name one folder, or it was built for other numbers.
    """
    if sweep.settings.validation is None:
        return None
    folders = {config.evaluation.validation_set for config in configs if config.evaluation.enabled}
    if not folders:
        return None
    if len(folders) > 1 or folders == {None}:
        raise ValueError(
            "sweep.validation describes one validation set for all cells, and "
            f"evaluation.validation_set is {', '.join(map(str, folders))}: name one folder there."
        )
    folder = Path(folders.pop())
    if (folder / "manifest.json").exists():
        asked = sweep.compose(described(sweep)).evaluation
        check_numbers(folder, {name: asked[name] for name in NUMBERS})
    return folder


def described(sweep: Sweep) -> list[str]:
    """The choices that it is built with."""
    own = [*sweep.settings.validation, "evaluation.validation_set=null"]
    return [*without(sweep.given, ("sweep", "task", "init_from", *map(key_of, parsed(own)))), *own]


def build_shared(sweep: Sweep, folder: Path) -> None:
    """Build it where it is missing, by its own verb.

    Raises:
        ValueError: when that fails.
    """
    if (folder / "manifest.json").exists():
        return
    options = [*described(sweep), f"out={quoted(folder)}"]
    command = [sys.executable, "-m", "e2eve.validation_set", *sweep.flags, *options]
    if subprocess.run(command, check=False).returncode != 0:
        raise ValueError(f"The validation set {folder} could not be built, for the reason above.")
