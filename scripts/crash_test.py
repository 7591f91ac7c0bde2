"""Interrupts tiny training runs at random moments, resumes them, and compares what they end with.

    python scripts/crash_test.py [--trials 16] [--seed 0] [--at-once 1] [--out FOLDER]

An editor, a tokenizer with a discriminator, and an editor that encodes its edits first and is
evaluated last are trained once without interruption. Then each trial starts one again, interrupts
it once or twice, and starts it until it ends with 0:

| trial | what is sent |
|---|---|
| kill | SIGKILL at a random moment of a step, or between the last step and the end |
| write | SIGKILL while a checkpoint is being written, or just after |
| term, int, hup | SIGTERM, SIGINT or SIGHUP to the process |
| usr2 | SIGUSR2, which nothing listens to where submitit did not start the process: it kills |
| group | SIGTERM to the process and its loader processes, as SLURM and `timeout` send it |
| encode | SIGKILL, SIGTERM, SIGINT or SIGHUP while edits are encoded |
| evaluate | the same while the editor is evaluated |

Weights of the bundle, metrics.csv and the report's numbers have to be the same bit for bit, a
signal that may be handled loses no step and ends with 128 + its number. Prints a line for each
trial and a table; exits with 1 where something differs.

Processes are forked from one that has loaded the libraries, which else took most of the time, and
run `python -m e2eve.train` from its first line.
"""

import argparse
import csv
import json
import multiprocessing
import os
import random
import runpy
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

STEPS = 40
TINY = (
    "vqgan=tiny transformer=tiny logger=csv image_size=32 driver_size=16 "
    f"batch_size=4 dataset.train.length=32 dataset.val.length=8 steps={STEPS} checkpoint_every=7 "
    "validate_every=10 loader.val_length=8 loader.workers=1 trainer.log_every_n_steps=1 "
    "compute.threads=1 optimizer.warmup_steps=5 seed=3"
).split()
EDITOR = "tokenizer.source=untrained tokenizer.allow_untrained=true".split()
KINDS = {
    "editor": [*EDITOR, *"evaluation=off token_cache=0 callbacks=ema".split()],
    "tokenizer": [
        *"task=source_tokenizer optimizer=tokenizer tokenizer_loss=plain evaluation=off".split(),
        *"vqgan.quantizer.normalised=true vqgan.quantizer.restart_after=5".split(),
        *"tokenizer_loss.adversarial_weight=0.8 tokenizer_loss.adversarial_start=7".split(),
        "tokenizer_loss.discriminator={channels: 8, layers: 2}",
    ],
    "evaluated": [
        *EDITOR,
        *"token_cache=1600 dataset.train.length=400 dataset.val.length=16".split(),
        *"evaluation=standard evaluation.num_inputs=5 evaluation.num_references=8".split(),
        *"evaluation.num_distractors=4 evaluation.num_samples=2 evaluation.batch_size=2".split(),
    ],
}
SIGNALS = {
    "term": signal.SIGTERM,
    "group": signal.SIGTERM,
    "int": signal.SIGINT,
    "hup": signal.SIGHUP,
    "usr2": signal.SIGUSR2,
}
MODES = ("kill", "write", *SIGNALS)
HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
CASES = [
    *((mode, kind) for mode in MODES for kind in ("editor", "tokenizer")),
    *((mode, "evaluated") for mode in ("encode", "evaluate")),
]

processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["e2eve.training.run"])


class Training:
    """One process in a run folder; its output goes to a file."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.folder, self.output = folder, folder.with_suffix(".txt")
        overrides = [*TINY, *KINDS[kind], f"run_dir={folder}"]
        last = {text.partition("=")[0]: text for text in overrides}  # of one key given twice
        self.output.write_bytes(b"")
        self.process = processes.Process(target=train, args=(list(last.values()), self.output))
        self.process.start()

    def running(self) -> bool:
        return self.process.is_alive()

    def wait(self) -> int:
        """The exit code, which is negative for a signal that killed."""
        self.process.join(900)
        assert self.process.exitcode is not None, f"{self.folder} takes more than 15 minutes"
        return self.process.exitcode

    def wait_for(self, what: str, step: int) -> None:
        """Until that step is logged, or a checkpoint after it is being written; or it has ended."""
        while self.running() and not self.has_reached(what, step):
            time.sleep(0.0005)

    def has_reached(self, what: str, step: int) -> bool:
        if not self.output.stat().st_size:  # what is looked for may be of an earlier life
            return False
        match what:
            case "write":
                names = [path.name for path in self.folder.glob("checkpoints/.step_*.partial")]
                return any(int(name.split("_")[1].split(".")[0]) >= step for name in names)
            case "encode":
                return (self.folder / "token_cache").exists()
            case "evaluate":
                return (self.folder / "bundle" / "config.yaml").exists()
            case _:
                return last_step(self.folder) >= step


def train(overrides: Sequence[str], output: Path) -> None:
    """`python -m e2eve.train` in a session of its own."""
    os.setsid()
    multiprocessing.set_start_method(None, force=True)  # the default; else it would be inherited
    with output.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.argv = ["e2eve.train", *overrides]
    runpy.run_module("e2eve.train", run_name="__main__", alter_sys=True)


def last_step(folder: Path) -> int:
    """Steps that metrics.csv has a training loss of."""
    try:
        with (folder / "metrics.csv").open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row.get("train/loss")]
    except FileNotFoundError:
        return 0
    return int(rows[-1]["step"]) + 1 if rows else 0


def saved_step(folder: Path) -> int:
    steps = [int(path.stem.split("_")[1]) for path in folder.glob("checkpoints/step_*.ckpt")]
    return max(steps, default=0)


def result(folder: Path) -> dict[str, bytes]:
    """What a run ends with, by name: weights, curves, and the numbers of the report."""
    files = [*sorted((folder / "bundle").glob("*.safetensors")), *sorted(folder.glob("*.csv"))]
    found = {path.name: path.read_bytes() for path in files}
    if (folder / "metrics.json").exists():
        report = json.loads((folder / "metrics.json").read_text())
        del report["about"]["seconds"]
        found["metrics.json"] = json.dumps(report).encode()
    return found


def interrupt(training: Training, mode: str, rng: random.Random) -> dict[str, object] | None:
    """What was seen of a signal at a random moment; None where the run had ended before."""
    folder = training.folder
    late = mode == "kill" and rng.random() < 1 / 6
    first = saved_step(folder) + 1
    training.wait_for(mode, STEPS if late else rng.randint(first, max(first, STEPS - 8)))
    longest = {"write": 0.01, "encode": 0.5, "evaluate": 3.0}.get(mode, 1.0 if late else 0.1)
    time.sleep(rng.uniform(0, longest))
    if not training.running():
        return None
    number = SIGNALS.get(mode, signal.SIGKILL)
    if mode in ("encode", "evaluate"):
        number = rng.choice([signal.SIGKILL, *HANDLED])
    assert training.process.pid is not None
    (os.killpg if mode == "group" else os.kill)(training.process.pid, number)
    code = training.wait()
    lost = last_step(folder) - saved_step(folder)
    well = code == 128 + number and lost <= 0 if number in HANDLED else code == -number
    return {"code": code, "step": last_step(folder), "lost": lost, "well": well or code == 0}


def trial(mode: str, kind: str, folder: Path, whole: dict[str, bytes], rng: random.Random) -> dict:
    """Interrupt and resume until the run is done; what was seen on the way."""
    facts: dict[str, Any] = {"kind": kind, "mode": mode, "interruptions": []}
    for number in range(8):
        training = Training(folder, kind)
        if number < rng.randint(1, 2) and (seen := interrupt(training, mode, rng)):
            facts["interruptions"].append(seen)
            continue
        if training.wait() or facts["interruptions"]:
            break
        shutil.rmtree(folder)  # it was faster than the signal: from the beginning
    code = training.wait()
    found = result(folder) if code == 0 else {}
    differing = sorted(name for name in whole if whole[name] != found.get(name))
    if code:
        facts["said"] = training.output.read_text().splitlines()[-3:]
    well = not differing and all(seen["well"] for seen in facts["interruptions"])
    if well:
        shutil.rmtree(folder)
    return {**facts, "differing": differing, "well": well}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--at-once", type=int, default=1, help="trials that run side by side")
    parser.add_argument("--out", type=Path, help="kept, what differs in it; else temporary")
    asked = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    out = (asked.out or Path(tempfile.mkdtemp(prefix="crash_test_"))).resolve()
    out.mkdir(parents=True, exist_ok=True)
    whole = {}
    for kind in KINDS:
        training = Training(out / f"{kind}_whole", kind)
        if training.wait():
            sys.exit(training.output.read_text())
        whole[kind] = result(training.folder)

    def tried(number: int) -> dict[str, Any]:
        mode, kind = CASES[number % len(CASES)]
        rng = random.Random(f"{asked.seed} {number}")
        return trial(mode, kind, out / f"{number}_{mode}_{kind}", whole[kind], rng)

    rows = []
    with ThreadPoolExecutor(asked.at_once) as pool:
        results = pool.map(tried, range(asked.trials))
        for row in track(results, "trials", total=asked.trials, console=Console(stderr=True)):
            rows.append(row)
            print(json.dumps(row), flush=True)
    table = Table("trial", "trials", "interruptions", "identical and as promised")
    for mode in dict(CASES):
        some = [row for row in rows if row["mode"] == mode]
        hits = sum(len(row["interruptions"]) for row in some)
        table.add_row(mode, str(len(some)), str(hits), str(sum(row["well"] for row in some)))
    Console().print(table)
    if asked.out is None:
        shutil.rmtree(out)
    sys.exit(0 if all(row["well"] for row in rows) else 1)


if __name__ == "__main__":
    main()
