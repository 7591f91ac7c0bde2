"""What Hydra calls: before a sweep, for each cell that a stock launcher runs, and after it."""

import gc
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, ListConfig

from e2eve.commands import FAILURE, REFUSED
from e2eve.config import choose, instantiate
from e2eve.evaluation.results import METRICS, current_name, read_results
from e2eve.runs import RunFolder, hold, is_first_process, read_curves
from e2eve.sweeps.study import FAILED, Cell, open_record, parsed, place, quoted

log = logging.getLogger(__name__)

OURS = "hydra_plugins.e2eve_launchers"


class StudyCallback(Callback):
    """Checks a sweep before its first cell, and reports at its end what is not done, and why.

    Hydra makes warnings of exceptions in callbacks: what is refused ends the command by itself.
    """

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Before Hydra writes into the folder: what another process has there stays untouched."""
        if config.hydra.job.config_name == "train" and is_first_process():
            with refusing():
                hold(Path(config.hydra.run.dir))

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        with refusing():
            prepare(config)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        folder, remaining = Path(config.hydra.sweep.dir), dict[str, str]()
        with open_record(folder) as record:
            cells = record["cells"]
        for name, note in cells.items():
            status = RunFolder(folder / name).status()
            failed = f"failed, {status['error']}" if "error" in status else status["state"]
            remaining |= {} if (note or failed) == "done" else {name: note or failed}
        done = len(cells) - len(remaining)
        log.info("Sweep in %s: %d of %d cells are done.", folder, done, len(cells))
        for name, why in remaining.items():
            log.error("  %s: %s\n    %s", name, why, RunFolder(folder / name).log)
        if remaining:
            sys.exit(FAILURE)


@contextmanager
def refusing() -> Iterator[None]:
    """What is refused inside ends the command with its sentence."""
    try:
        yield
    except ValueError as error:
        log.error("%s", error)
        sys.exit(REFUSED)
    except OSError as error:
        log.error("%s: %s.", error.filename, error.strerror)
        sys.exit(REFUSED)
    except Exception as error:
        log.error("%s", error, exc_info=True)
        sys.exit(FAILURE)


IN_USE = "Another sweep runs in {}: wait for it, end it, or give another study.dir=…"


def prepare(config: DictConfig) -> None:
    """Check what a sweep needs, and tell its cells how they are named.

    Raises ValueError for another command than train, packages that are not installed, what the
    launcher cannot do, and where another sweep runs in the same folder.
    """
    command = config.hydra.job.config_name
    if command != "train":
        raise ValueError(f"-m is for e2eve.train, and this is e2eve.{command}: leave it out.")
    for plugin in (config.hydra.sweeper, config.hydra.launcher):
        if "missing" in plugin:
            raise ValueError(
                f"This sweep needs the package {plugin.missing}, which is not installed: pip "
                f"install 'e2eve[{plugin.extra}]'."
            )
    check_direction(config)
    stock = not config.hydra.launcher._target_.startswith(OURS)
    if stock and config.study.dry_run:
        config.hydra.launcher = {"_target_": f"{OURS}.LocalLauncher"}
    elif stock:
        check_stock_launcher(config)
    names = config.hydra.job.config.override_dirname
    params = {str(key).lstrip("+~") for key in config.hydra.sweeper.get("params") or {}}
    names.exclude_keys += [
        one.key_or_group
        for one in parsed(config.hydra.overrides.task)
        if not one.is_sweep_override() and one.key_or_group not in params
    ]
    # Launchers compose the config of each cell anew, from these overrides and its own.
    keys = ",".join(quoted(key) for key in names.exclude_keys)
    config.hydra.overrides.hydra.append(f"hydra.job.config.override_dirname.exclude_keys=[{keys}]")
    if not config.study.dry_run:
        hold(Path(config.hydra.sweep.dir), ".sweep_command.lock", IN_USE)
        with open_record(Path(config.hydra.sweep.dir)) as record:
            record["cells"] = {}


def check_direction(config: DictConfig) -> None:
    """Set the direction of a search where it is null, by what the metric says.

    Raises ValueError where it is the metric's opposite, or the search has no objective.
    """
    sweeper, objective = config.hydra.sweeper, config.study.objective
    if "direction" not in sweeper:  # of a sweeper that makes no use of results
        return
    infos = (instantiate(node).info for node in config.metrics.values())
    best = {info.key: info.best for info in infos}
    name = current_name(objective or "").rpartition("/")[2]
    known = {"low": "minimize", "high": "maximize"}.get(best.get(name) or "")
    given = getattr(sweeper.direction, "name", sweeper.direction) or known
    if objective is None or given is None or known not in (None, given):
        raise ValueError(
            f"A search needs study.objective, such as editor/nll_inside, and its direction: they "
            f"are {objective} and {given}, give hydra.sweeper.direction={known or 'minimize'}."
        )
    sweeper.direction = given


def check_stock_launcher(config: DictConfig) -> None:
    """Raises ValueError for what a launcher that knows nothing of training runs cannot do."""
    launcher = config.hydra.runtime.choices["hydra/launcher"]
    check_single_process(config, launcher)
    wanted, folder = config.study.validation, config.evaluation.get("validation_set")
    is_there = folder is not None and Path(folder, "manifest.json").exists()
    if wanted is not None and config.evaluation.enabled and not is_there:
        raise ValueError(
            "study.validation describes a validation set that is built before the cells, and "
            f"hydra/launcher={launcher} runs nothing but cells: give hydra/launcher=e2eve_local or "
            "e2eve_slurm, or study.validation=null."
        )


def train_cell(config: DictConfig, train: Callable[[DictConfig], Path]) -> float | None:
    """Train a cell in its folder; the study's objective, for the sweeper.

    Failures end in the report of the sweep: the basic sweeper would stop at the first of them and
    show a traceback. Only a sweeper that is after an objective is told.
    """
    hydra, study = HydraConfig.get(), config.study
    place(config, hydra)
    cell = Cell(study.cell, Path(config.run_dir), tuple(hydra.overrides.task))
    with open_record(Path(study.dir)) as record:
        record["cells"][cell.name] = None
    try:
        check_single_process(config, hydra.runtime.choices["hydra/launcher"])
        if cell.state(config, study.retry_failed) == FAILED:
            raise ValueError(f"{cell.name} {FAILED}.")
        with process_state_restored():
            train(config)
        return read_objective(cell.run, study.objective)
    except Exception as error:
        with open_record(Path(study.dir)) as record:
            record["cells"][cell.name] = cell.note_failure(f"{type(error).__name__}: {error}")
        if study.objective:
            raise
        log.error("%s", error, exc_info=not isinstance(error, ValueError))
        return None


def read_objective(run: RunFolder, name: str | None, note: str | None = None) -> float | None:
    """`system/metric` of metrics.json, or the last value in a column of metrics.csv.

    Raises ValueError when the run has no such number, is not done, or there is a `note` on why its
    numbers are not those that are asked for.
    """
    if name is None:
        return None
    if note or run.status()["state"] != "done":
        raise ValueError(f"{run.path} has no {name}, since it is not done.")
    numbers = {column: values[-1] for column, (_, values) in read_curves(run.curves).items()}
    if (run / METRICS).exists():
        numbers |= read_results(run.path).numbers()
    return choose(current_name(name), numbers, "study.objective")


def check_single_process(config: DictConfig, launcher: str) -> None:
    """Raises ValueError for training runs of several processes: a stock launcher starts one a cell.

    Lightning starts the others by the command line of this one, which is that of the sweep.
    """
    devices, nodes = config.trainer.devices, config.trainer.num_nodes
    if (len(devices) if isinstance(devices, ListConfig) else devices, nodes) != (1, 1):
        ours = "e2eve_slurm" if "slurm" in launcher else "e2eve_local"
        raise ValueError(
            f"trainer.devices is {devices} and trainer.num_nodes {nodes}, and hydra/launcher="
            f"{launcher} runs cells of one process: give hydra/launcher={ours}, or one device."
        )


@contextmanager
def process_state_restored() -> Iterator[None]:
    """Leave the process as it was, so that no cell depends on those before it.

    Each training run sets its seeds itself. What else it sets for the whole process would outlive
    it: the number of threads and deterministic algorithms change sums, and compiled networks count
    against torch.compile's limit of recompilations, after which a network runs uncompiled. A
    sweeper in this process may draw from the global generators, which all cells seed alike.
    """
    import torch
    from pytorch_lightning.utilities.seed import isolate_rng

    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    try:
        with isolate_rng():
            yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)
        if "torch._dynamo" in sys.modules:
            torch.compiler.reset()
        gc.collect()  # a Trainer and its networks refer to each other in circles
        torch.cuda.empty_cache()
