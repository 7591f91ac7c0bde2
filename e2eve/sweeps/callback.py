"""What Hydra calls before and after a sweep, whatever the launcher."""

import logging
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from e2eve.sweeps.in_process import check_single_process
from e2eve.sweeps.study import cell_name, check_command, fixed_keys, open_record, quoted
from e2eve.training.run_folder import RunFolder

log = logging.getLogger(__name__)

OURS = "hydra_plugins.e2eve_launchers"

EXTRAS = {"joblib-launcher": "sweep", "optuna-sweeper": "sweep", "submitit-launcher": "slurm"}
"""Plugins of Hydra, without their `hydra-`, and the extra that brings each."""

# For hydra.sweep.subdir in conf/train.yaml; workers of stock launchers import this module as well.
OmegaConf.register_new_resolver("cell_name", cell_name, replace=True)


class StudyCallback(Callback):
    """Checks a sweep before its first cell, and reports at its end what is not done, and why.

    Hydra makes warnings of exceptions in callbacks: what is refused ends the command by itself.
    """

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        try:
            prepare(config)
        except ValueError as error:
            log.error("%s", error)
            sys.exit(1)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        folder = Path(config.hydra.sweep.dir)
        with open_record(folder) as record:
            cells = record["cells"].items()
        endings = {name: ending(RunFolder(folder / name), note) for name, note in cells}
        remaining = {name: why for name, why in endings.items() if why != "done"}
        done = len(endings) - len(remaining)
        log.info("Sweep in %s: %d of %d cells are done.", folder, done, len(endings))
        for name, why in remaining.items():
            log.error("  %s: %s\n    %s", name, why, RunFolder(folder / name).log)
        if remaining:
            sys.exit(1)


def prepare(config: DictConfig) -> None:
    """Check what a sweep needs, and tell its cells how they are named.

    Raises ValueError for another command than train, packages that are not installed, and what the
    launcher cannot do.
    """
    check_command(config)
    for target in (config.hydra.sweeper._target_, config.hydra.launcher._target_):
        package = target.split(".")[1]
        extra = EXTRAS.get(package.removeprefix("hydra_").replace("_", "-"))
        if extra and find_spec(f"hydra_plugins.{package}") is None:
            raise ValueError(
                f"This sweep needs the package {package.replace('_', '-')}, which is not "
                f"installed: pip install 'e2eve[{extra}]'."
            )
    if config.study.dry_run:
        config.hydra.launcher = {"_target_": f"{OURS}.LocalLauncher"}
    elif not config.hydra.launcher._target_.startswith(OURS):
        check_stock_launcher(config)
    names = config.hydra.job.config.override_dirname
    names.exclude_keys = [*names.exclude_keys, *fixed_keys(config)]
    # Stock launchers compose the config of each cell anew, from these overrides and its own.
    keys = ",".join(quoted(key) for key in names.exclude_keys)
    override = f"hydra.job.config.override_dirname.exclude_keys=[{keys}]"
    config.hydra.overrides.hydra.append(override)
    if not config.study.dry_run:
        with open_record(Path(config.hydra.sweep.dir)) as record:
            record["cells"] = {}


def check_stock_launcher(config: DictConfig) -> None:
    """Raises ValueError for what a launcher that knows nothing of training runs cannot do."""
    launcher = config.hydra.runtime.choices["hydra/launcher"]
    check_single_process(config, launcher)
    wanted, folder = config.study.validation, config.evaluation.validation_set
    is_there = folder is not None and Path(folder, "manifest.json").exists()
    if wanted is not None and config.evaluation.enabled and not is_there:
        raise ValueError(
            "study.validation describes a validation set that is built before the cells, and "
            f"hydra/launcher={launcher} runs nothing but cells: give hydra/launcher=e2eve_local or "
            "e2eve_slurm, or study.validation=null."
        )


def ending(run: RunFolder, note: str | None) -> str:
    """How a cell has ended: `done`, or why not."""
    status = run.status()
    return note or (f"failed, {status['error']}" if "error" in status else status["state"])
