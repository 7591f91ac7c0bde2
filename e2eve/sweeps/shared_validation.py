"""The validation set that all cells of a sweep are measured on."""

import logging
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from e2eve.sweeps.cells import key_of, parsed, quoted
from e2eve.sweeps.sweep import Sweep, without

log = logging.getLogger(__name__)


def shared_folder(sweep: Sweep, configs: Sequence[DictConfig]) -> Path | None:
    """Where it is or will be; None where the sweep doesn't ask for one.

    Raises:
        ValueError: when the cells do not name one folder.
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
    return Path(folders.pop())


def build_shared(sweep: Sweep, folder: Path) -> None:
    """Build it where it is missing, by its own verb.

    Raises:
        ValueError: when that fails.
    """
    if (folder / "manifest.json").exists():
        return
    own = [*sweep.settings.validation, "evaluation.validation_set=null", f"out={quoted(folder)}"]
    given = without(sweep.given, ("sweep", "task", "init_from", *map(key_of, parsed(own))))
    command = [sys.executable, "-m", "e2eve.validation_set", *sweep.flags, *given, *own]
    if subprocess.run(command, check=False).returncode != 0:
        raise ValueError(f"The validation set {folder} could not be built, for the reason above.")
