"""A cell as stock launchers run it: a function call, in a process that may have other cells."""

import csv
import gc
import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, ListConfig

from e2eve.config import choose
from e2eve.sweeps.study import FAILED, Cell, open_record
from e2eve.training.run_folder import RunFolder

log = logging.getLogger(__name__)


def train_cell(config: DictConfig, train: Callable[[DictConfig], Path]) -> float | None:
    """Train a cell in its folder; the study's objective, for the sweeper.

    Failures end in the report of the sweep: the basic sweeper would stop at the first of them and
    show a traceback. Only a sweeper that is after an objective is told.
    """
    hydra, study = HydraConfig.get(), config.study
    study.dir, study.cell = hydra.sweep.dir, hydra.sweep.subdir
    cell = Cell(study.cell, Path(study.dir, study.cell), tuple(hydra.overrides.task))
    config.run_dir = str(cell.folder)
    with open_record(Path(study.dir)) as record:
        record["cells"][cell.name] = None
    try:
        check_single_process(config, hydra.runtime.choices["hydra/launcher"])
        if cell.state(config, study.retry_failed) == FAILED:
            raise ValueError(f"{cell.name} failed before: study.retry_failed=true runs it again.")
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
    """`system/metric` or `nll/…` of metrics.json, or the last value in a column of metrics.csv.

    Raises ValueError when the run has no such number, is not done, or there is a `note` on why its
    numbers are not those that are asked for.
    """
    if name is None:
        return None
    if note or run.status()["state"] != "done":
        raise ValueError(f"{run.path} has no {name}, since it is not done.")
    return choose(name, {**last_values(run), **final_values(run)}, "study.objective")


def check_single_process(config: DictConfig, launcher: str) -> None:
    """Raises ValueError for training runs of several processes: a stock launcher starts one a cell.

    Lightning starts the others by the command line of this one, which is that of the sweep.
    """
    devices, nodes = config.trainer.devices, config.trainer.nodes
    if (len(devices) if isinstance(devices, ListConfig) else devices, nodes) != (1, 1):
        ours = "e2eve_slurm" if "slurm" in launcher else "e2eve_local"
        raise ValueError(
            f"trainer.devices is {devices} and trainer.nodes {nodes}, and hydra/launcher="
            f"{launcher} runs cells of one process: give hydra/launcher={ours}, or one device."
        )


@contextmanager
def process_state_restored() -> Iterator[None]:
    """Leave the process as it was, so that no cell depends on those before it.

    Each training run sets its seeds itself. What else it sets for the whole process would outlive
    it: the number of threads and the choice of kernels change sums, and compiled networks count
    against torch.compile's limit of recompilations, after which a network runs uncompiled. A
    sweeper in this process may draw from the global generators, which all cells seed alike.
    """
    import torch
    from pytorch_lightning.utilities.seed import isolate_rng

    threads, benchmark = torch.get_num_threads(), torch.backends.cudnn.benchmark
    deterministic = torch.are_deterministic_algorithms_enabled()
    try:
        with isolate_rng():
            yield
    finally:
        torch.set_num_threads(threads)
        torch.backends.cudnn.benchmark = benchmark
        torch.use_deterministic_algorithms(deterministic)
        if "torch._dynamo" in sys.modules:
            torch.compiler.reset()
        gc.collect()  # a Trainer and its networks refer to each other in circles
        torch.cuda.empty_cache()


def final_values(run: RunFolder) -> dict[str, float]:
    """What the evaluation at the end has found."""
    path = run / "metrics.json"
    if not path.exists():
        return {}
    found = json.loads(path.read_text(encoding="utf-8"))
    values = {
        f"{row['key']}/{name}": value
        for row in found["systems"]
        for name, value in row.items()
        if isinstance(value, int | float)
    }
    means = {f"nll/{name}": value["mean"] for name, value in found["nll"].items() if value}
    return values | means


def last_values(run: RunFolder) -> dict[str, float]:
    """What the training run has logged last."""
    path = run / "metrics.csv"
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {name: float(v) for row in rows for name, v in row.items() if name != "step" and v}
