"""The last word of a sweep: which cells are not done, and where to read why."""

import logging
import sys
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from e2eve.runs import RunFolder
from e2eve.sweeps.record import Record

log = logging.getLogger(__name__)


class SweepReport(Callback):
    """Hydra calls it when all cells are over; the command fails when one of them is not done."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        optuna = "hydra_plugins.hydra_optuna_sweeper"
        if config.hydra.sweeper._target_.startswith(optuna) and find_spec(optuna) is None:
            log.error(
                "A search needs the package hydra-optuna-sweeper, which is not installed: pip "
                "install 'e2eve[sweep]'."
            )
            sys.exit(1)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        record = Record.read(Path(config.sweep.dir))
        remaining = dict(unfinished(record))
        done = len(record.cells) - len(remaining)
        log.info("Sweep in %s: %d of %d cells are done.", config.sweep.dir, done, len(record.cells))
        for name, why in remaining.items():
            log.error("%s", f"  {name}: {why}")
        if remaining:
            sys.exit(1)


def unfinished(record: Record) -> Iterator[tuple[str, str]]:
    """Name of each cell that is not done, and why."""
    for name, facts in record.cells.items():
        run = RunFolder(facts["folder"])
        status = run.status()
        if facts["note"]:
            yield name, facts["note"]
        elif status["state"] == "failed":
            yield name, f"failed, {status['error']}\n    {log_of(run, record.jobs.get(name))}"
        elif status["state"] != "done":
            yield name, f"{status['state']}\n    {log_of(run, record.jobs.get(name))}"


def log_of(run: RunFolder, job: Mapping[str, str] | None = None) -> Path:
    """The run's own log, or what its process has said where it never came to write one."""
    others = [Path(job["output"])] if job else []
    return next((p for p in (run.log, *others, run / "output.log") if p.exists()), run.log)
