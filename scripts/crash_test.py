"""Interrupts tiny training runs at random moments, resumes them, and compares what they end with.

    python scripts/crash_test.py [--trials 12] [--seed 0] [--out FOLDER]

An editor and a tokenizer with a discriminator are trained once without interruption. Then each
trial starts one again, interrupts it once or twice, and starts it until it ends with 0:

| trial | what is sent |
|---|---|
| kill | SIGKILL at a random moment of a step, or between the last step and the end |
| write | SIGKILL while a checkpoint is being written, or just after |
| term, int, hup | SIGTERM, SIGINT or SIGHUP to the process |
| usr2 | SIGUSR2, which nothing listens to where submitit did not start the process: it kills |
| group | SIGTERM to the process and its loader processes, as SLURM and `timeout` send it |

Weights of the bundle and metrics.csv have to be the same bit for bit, a signal that may be handled
loses no step and ends with 128 + its number. Prints a line for each trial and a table; exits with 1
where something differs.
"""

import argparse
import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

STEPS = 40
TINY = (
    "vqgan=tiny transformer=tiny logger=csv evaluation=off image_size=32 driver_size=16 "
    f"batch_size=4 dataset.train.length=32 dataset.val.length=8 steps={STEPS} checkpoint_every=7 "
    "validate_every=10 loader.val_length=8 loader.workers=1 trainer.log_every_n_steps=1 "
    "compute.threads=1 optimizer.warmup_steps=5 seed=3"
).split()
KINDS = {
    "editor": "tokenizer.source=untrained tokenizer.allow_untrained=true token_cache=0 "
    "callbacks=ema callbacks.ema.decay=0.9".split(),
    "tokenizer": [
        *"task=source_tokenizer optimizer=tokenizer tokenizer_loss=plain".split(),
        *"vqgan.quantizer.normalised=true vqgan.quantizer.restart_after=5".split(),
        *"tokenizer_loss.adversarial_weight=0.8 tokenizer_loss.adversarial_start=7".split(),
        "tokenizer_loss.discriminator={channels: 8, layers: 2}",
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
HANDLED = ("term", "group", "int", "hup")


class Training:
    """One process in a run folder; its output goes to a file."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.folder, self.output = folder, folder.with_suffix(".txt")
        command = [sys.executable, "-m", "e2eve.train", *TINY, *KINDS[kind], f"run_dir={folder}"]
        with self.output.open("w") as file:
            self.process = subprocess.Popen(
                command,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                start_new_session=True,
            )

    def running(self) -> bool:
        return self.process.poll() is None

    def wait_for(self, what: str, step: int) -> None:
        """Until that step is logged, or a checkpoint after it is being written; or it has ended."""
        checkpoints = self.folder / "checkpoints"
        while self.running():
            if what == "write":
                names = [path.name for path in checkpoints.glob(".step_*.partial")]
                if any(int(name.split("_")[1].split(".")[0]) >= step for name in names):
                    return
            elif last_step(self.folder) >= step:
                return
            time.sleep(0.0005)


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
    files = [*sorted((folder / "bundle").glob("*.safetensors")), folder / "metrics.csv"]
    return {path.name: path.read_bytes() for path in files}


def interrupt(training: Training, mode: str, rng: random.Random) -> dict[str, object] | None:
    """What was seen of a signal at a random moment; None where the run had ended before."""
    folder = training.folder
    late = mode == "kill" and rng.random() < 1 / 6
    first = saved_step(folder) + 1
    training.wait_for(mode, STEPS if late else rng.randint(first, max(first, STEPS - 8)))
    time.sleep(rng.uniform(0, 1.0 if late else 0.01 if mode == "write" else 0.1))
    if not training.running():
        return None
    number = SIGNALS.get(mode, signal.SIGKILL)
    (os.killpg if mode == "group" else os.kill)(training.process.pid, number)
    code = training.process.wait(300)
    lost = last_step(folder) - saved_step(folder)
    handled = mode in HANDLED
    well = code == 128 + number and lost <= 0 if handled else code == -number
    return {"code": code, "step": last_step(folder), "lost": lost, "well": well or code == 0}


def trial(mode: str, kind: str, folder: Path, whole: dict[str, bytes], rng: random.Random) -> dict:
    """Interrupt and resume until the run is done; what was seen on the way."""
    facts: dict = {"kind": kind, "mode": mode, "interruptions": []}
    for number in range(8):
        training = Training(folder, kind)
        if number < rng.randint(1, 2) and (seen := interrupt(training, mode, rng)):
            facts["interruptions"].append(seen)
            continue
        if training.process.wait(600) or facts["interruptions"]:
            break
        shutil.rmtree(folder)  # it was faster than the signal: from the beginning
    found = result(folder) if training.process.returncode == 0 else {}
    differing = sorted(name for name in whole if whole[name] != found.get(name))
    well = not differing and all(seen["well"] for seen in facts["interruptions"])
    if training.process.returncode:
        facts["said"] = training.output.read_text().splitlines()[-3:]
    return {**facts, "differing": differing, "well": well}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="kept afterwards; else a temporary folder")
    asked = parser.parse_args()
    rng = random.Random(asked.seed)
    out = (asked.out or Path(tempfile.mkdtemp(prefix="crash_test_"))).resolve()
    out.mkdir(parents=True, exist_ok=True)
    whole = {}
    for kind in KINDS:
        training = Training(out / f"{kind}_whole", kind)
        if training.process.wait(900):
            sys.exit(training.output.read_text())
        whole[kind] = result(training.folder)
    cases = [(mode, kind) for mode in MODES for kind in KINDS]
    rows = []
    for number in range(asked.trials):
        mode, kind = cases[number % len(cases)]
        rows.append(trial(mode, kind, out / f"{number}_{mode}_{kind}", whole[kind], rng))
        print(json.dumps(rows[-1]), flush=True)
    table = Table("trial", "trials", "interruptions", "identical and as promised")
    for mode in MODES:
        some = [row for row in rows if row["mode"] == mode]
        hits = sum(len(row["interruptions"]) for row in some)
        table.add_row(mode, str(len(some)), str(hits), str(sum(row["well"] for row in some)))
    Console().print(table)
    if asked.out is None:
        shutil.rmtree(out)
    sys.exit(0 if all(row["well"] for row in rows) else 1)


if __name__ == "__main__":
    main()
