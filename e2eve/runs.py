"""Run folders on disk: files, state, lock, curves; what is known of a run without PyTorch."""

import csv
import json
import logging
import os
import re
import secrets
import socket
import subprocess
import traceback
import zipfile
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from omegaconf import DictConfig, OmegaConf

from e2eve.checks import read_yaml
from e2eve.config import plain

log = logging.getLogger(__name__)

# Version of what a run folder holds. 1: written before Lightning's own names in `trainer`.
FORMAT = 2

# What may change when a run is resumed: it says how long, how often and where, not what is trained.
# The decay of the learning rate follows the number of steps, and the driver's tokenizer is the one
# of the group `tokenizer`.
FREE = frozenset(
    "trainer loader compute callbacks evaluation sampling metrics logger tags steps validate_every "
    "checkpoint_every ckpt_path export optimizer.decay_steps source_tokenizer driver_tokenizer "
    "tokenizer.allow_untrained run_dir".split()
)
# But images of a step, which have been seen, and what gradients become, follow from these.
FIXED = frozenset(
    "trainer.devices trainer.num_nodes trainer.accumulate_grad_batches trainer.gradient_clip_val "
    "trainer.gradient_clip_algorithm trainer.limit_train_batches trainer.overfit_batches "
    "loader.batch_limit loader.cache_limit".split()
)

# Seconds that a network file system may take to notice that a requeued job's node is gone.
REQUEUE_PATIENCE = 120.0

PACKAGE = Path(__file__).parent

Curve = tuple[list[float], list[float]]  # steps, values


class RunFolder:
    """Names every file of a run.

    config.yaml, status.json, train.log, metrics.csv, metrics.json, report.html, samples/,
    checkpoints/, bundle/ and validation_set/.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.checkpoints, self.bundle = self / "checkpoints", self / "bundle"
        self.log, self.report = self / "train.log", self / "report.html"
        self.curves = self / "metrics.csv"

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    @property
    def last_checkpoint(self) -> Path | None:
        """The newest one that is complete; None without any.

        Raises:
            ValueError: when there are some and none is complete.
        """
        found = checkpoints_in(self.checkpoints)
        complete = [path for path in found if zipfile.is_zipfile(path)]  # as PyTorch saves them
        if found and not complete:
            raise ValueError(
                f"No checkpoint in {self.checkpoints} is complete: remove that folder to train "
                "from the start."
            )
        return complete[-1] if complete else None

    def open(self, settings: Mapping[str, Any], unrelated: Collection[str] = ()) -> "RunFolder":
        """Create the folder, or resume in it.

        Args:
            settings: see `run_settings`.
            unrelated: parts of the settings that this kind of training run does not read.

        Raises:
            ValueError: if it holds a run with other settings, or one of another version.
        """
        if (self / "config.yaml").exists():
            found = self.status().get("format", 1)
            if found != FORMAT and (self / "status.json").exists():
                raise ValueError(
                    f"{self.path} holds a run of another version of e2eve (format {found}, and "
                    f"this one writes {FORMAT}): finish it with the version that it was started "
                    "with, or give this one another name=…; once finished, its bundle can be used "
                    "here."
                )
            free = {*FREE, *unrelated}
            before = self.settings()
            changed = [
                name
                for name in differing(before, settings)
                if (name in FIXED or not free & {name, name.split(".")[0]})
                and not _moved(name, before, settings)
            ]
            if changed and self.holds_training:
                raise ValueError(
                    f"{self.path} holds a run with other settings ({', '.join(changed[:4])}): "
                    "give this one another name=… or remove that folder."
                )
        self.path.mkdir(parents=True, exist_ok=True)
        if not (self / "status.json").exists():
            self.mark("new")
        self._write("config.yaml", OmegaConf.to_yaml(OmegaConf.create(dict(settings))))
        return self

    @property
    def holds_training(self) -> bool:
        """Whether something was trained: what was refused or failed before may be mended."""
        kept = (self.curves, self.bundle, self.checkpoints)
        return self.status()["state"] == "done" or any(path.exists() for path in kept)

    def settings(self) -> dict[str, Any]:
        """What config.yaml says."""
        return read_yaml(self / "config.yaml")

    def check_length(self, max_steps: int) -> None:
        """Raises ValueError if more optimiser steps have been trained; -1: as many as may be."""
        last = self.last_checkpoint
        steps = int(last.stem.removeprefix("step_")) if last else 0
        if 0 <= max_steps < steps:
            raise ValueError(
                f"{self.path} was trained for {steps} steps and trainer.max_steps is "
                f"{max_steps}: give the shorter run another name=… or remove that folder."
            )

    def result_of(self, settings: Mapping[str, Any]) -> Path | None:
        """What the run ended with, if it is done with these very settings."""
        status = self.status()
        if status["state"] != "done" or not (self / status["result"]).exists():
            return None
        return None if differing(self.settings(), settings) else self / status["result"]

    def remove_old_evaluation(self) -> None:
        """Remove the metrics and the report of weights that have been trained further since."""
        last, metrics = self.last_checkpoint, self / "metrics.json"
        if last and metrics.exists() and metrics.stat().st_mtime < last.stat().st_mtime:
            metrics.unlink()
            self.report.unlink(missing_ok=True)

    def status(self) -> dict[str, Any]:
        path = self / "status.json"
        if not path.exists():
            return {"state": "new"}
        try:
            status = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path} is damaged ({error}): remove that file.") from error
        return status

    def mark(self, state: str, **facts: object) -> None:
        """Note `new`, `running`, `done`, `failed` or `interrupted`, with the time and any facts."""
        time = datetime.now(UTC).isoformat(timespec="seconds")
        status = {"state": state, "time": time, "format": FORMAT, **facts}
        self._write("status.json", json.dumps(status, indent=2) + "\n")

    def note_failure(self, error: BaseException) -> None:
        """Append the traceback to the run's own log, and keep the sentence in its status."""
        with self.log.open("a", encoding="utf-8") as file:
            file.write("".join(traceback.format_exception(error)))
        self.mark("failed", error=f"{type(error).__name__}: {error}")

    def title(self, name: str) -> str:
        """The run's name for people, and its folder where that says more."""
        return name if self.path.name in ("", name) else f"{name}, {self.path.name}"

    def wandb_id(self) -> str:
        """The id that is made once and kept with the run: whoever resumes it resumes this id."""
        path = self / "wandb_id.txt"
        if not path.exists():
            readable = re.sub(r"[^\w.+-]", "_", self.path.resolve().name)[-60:]
            self._write(path.name, f"{readable}-{secrets.token_hex(4)}\n")
        return path.read_text().strip()

    def _write(self, name: str, text: str) -> None:
        """In one piece: nobody reads half a file."""
        partial = self / f".{name}.partial"
        partial.write_text(text, encoding="utf-8")
        partial.replace(self / name)


def checkpoints_in(folder: Path) -> list[Path]:
    """Those of optimiser steps, the last one at the end, complete or not."""
    found = (path for path in folder.glob("step_*.ckpt") if path.stem[len("step_") :].isdecimal())
    return sorted(found, key=lambda path: int(path.stem.removeprefix("step_")))


def run_settings(config: DictConfig) -> dict[str, Any]:
    """What a run is: the config resolved, without the study that it is part of.

    Only these are compared and kept; a run that was a cell of a study may be resumed by itself.
    """
    return {name: v for name, v in plain(config).items() if name not in ("study", "sweep")}


def differing(before: object, after: object, prefix: str = "") -> list[str]:
    """Dotted names of the leaves that differ between two nested dictionaries."""
    if not (isinstance(before, Mapping) and isinstance(after, Mapping)):
        same = before == after or _same_place(before, after)
        return [] if same else [prefix.rstrip(".")]
    return [
        name
        for key in sorted({*before, *after}, key=str)
        for name in differing(before.get(key), after.get(key), f"{prefix}{key}.")
    ]


def _same_place(first: object, second: object) -> bool:
    """Whether two texts are one path, however it is spelt."""
    if not (isinstance(first, str) and isinstance(second, str)):
        return False
    one, other = (os.path.realpath(os.path.expanduser(path)) for path in (first, second))
    return one == other


# Keys of files and folders that may lie elsewhere when a run is resumed.
MOVABLE = ("dataset.root", "dataset.train_list", "dataset.val_list")


def _moved(name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether a path is gone and the one in its place is there."""
    if name not in MOVABLE:
        return False
    group, _, key = name.partition(".")
    old, new = before[group].get(key), after[group].get(key)
    moved = isinstance(old, str) and isinstance(new, str) and os.path.exists(new)
    if moved := moved and not os.path.exists(old):
        log.info("%s was %s, which is gone: the run goes on with %s.", name, old, new)
    return moved


def read_curves(path: str | Path) -> dict[str, Curve]:
    """Steps and values of each column, those without values left out; empty without a file."""
    columns: dict[str, dict[float, float]] = defaultdict(dict)
    for step, row in Curves(path).rows.items():
        for name, value in row.items():
            columns[name][float(step)] = value
    return {name: ([*values], [*values.values()]) for name, values in columns.items()}


class Curves:
    """The rows of a metrics.csv; those that an interrupted run repeats are written over."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.rows: dict[int, dict[str, float]] = {}
        if self.path.exists():
            with self.path.open(newline="", encoding="utf-8") as file:
                for row in csv.DictReader(file):
                    step = int(float(row.pop("step")))
                    self.rows[step] = {name: float(v) for name, v in row.items() if v}

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Keep the values of a step, in the place of earlier ones of the same names."""
        self.rows.setdefault(step, {}).update(values)

    def save(self) -> None:
        """Write the file in one piece: nobody reads half of it."""
        names = sorted({name for row in self.rows.values() for name in row})
        partial = self.path.with_suffix(".partial")
        with partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["step", *names], restval="")
            writer.writeheader()
            writer.writerows({"step": step, **row} for step, row in sorted(self.rows.items()))
        partial.replace(self.path)


def is_first_process() -> bool:
    """Whether this process is the only one of its run, or the first, as who starts it says."""
    names = ("RANK", "LOCAL_RANK", "SLURM_PROCID")
    return next((os.environ[name] for name in names if name in os.environ), "0") == "0"


# Locks that are held until the process ends, by their files.
_held: dict[Path, FileLock] = {}

IN_USE = "Another process is training in {}: wait for it, end it, or give another name=…"


def hold(folder: Path, name: str = ".lock", in_use: str = IN_USE) -> None:
    """Keep the folder for this process until it ends, however it does.

    Args:
        in_use: what is said where another process keeps it.

    Raises:
        ValueError: if one does.
        OSError: if nothing can be written there.
    """
    _held[(folder / name).resolve()] = _acquired(folder, name, in_use)


def _acquired(folder: Path, name: str, in_use: str) -> FileLock:
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / name)
    try:
        lock.acquire(timeout=REQUEUE_PATIENCE if "SLURM_RESTART_COUNT" in os.environ else 0)
    except Timeout:
        raise ValueError(in_use.format(folder)) from None
    except NotImplementedError:
        log.warning("%s lies where files cannot be locked: start only one run there.", folder)
    return lock


@contextmanager
def lock_run_dir(folder: Path, name: str = ".lock") -> Iterator[None]:
    """Keep the folder for this process until the block ends, unless `hold` keeps it already.

    Raises:
        ValueError: if another process trains there.
    """
    if (folder / name).resolve() in _held:
        yield
        return
    lock = _acquired(folder, name, IN_USE)
    try:
        yield
    finally:
        lock.release()


def is_locked(folder: Path) -> bool:
    """Whether some process trains in the folder; False where files cannot be locked."""
    if not (folder / ".lock").exists():
        return False
    try:
        with FileLock(folder / ".lock", timeout=0):
            return False
    except (Timeout, NotImplementedError) as error:
        return isinstance(error, Timeout)


def run_metadata() -> dict[str, object]:
    """Host, process, revision of the code, and the job's id under SLURM."""
    job = os.environ.get("SLURM_JOB_ID")
    if "SLURM_ARRAY_JOB_ID" in os.environ:
        job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    facts = {"host": socket.gethostname(), "process": os.getpid(), "revision": git_revision()}
    return {**facts, "job": job} if job else facts


def git_revision(package: Path = PACKAGE) -> str | None:
    """Hash of the commit, with "-dirty" where files were changed since; None outside a checkout.

    A package that is installed somewhere inside another project's checkout has no revision.
    """
    if _git(package, "ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    return _git(package, "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty")


def _git(folder: Path, *arguments: str) -> str | None:
    """What git prints; None where it fails or is not installed."""
    line = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(line, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
