"""Stands in for `e2eve.train` in tests of sweeps: a run folder in milliseconds, no training.

Seed 7 fails unless a file `healed` lies in the sweep's folder; seed 8 is killed; seed 9 waits to be
ended; a tokenizer's run leaves a bundle unless its batch size is 13.
"""

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from e2eve.commands import command
from e2eve.runs import RunFolder, run_settings
from e2eve.sweeps import hooks


@command("train")
def main(config: DictConfig) -> float | None:
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        # It changes nothing of its process, and what would be restored takes seconds to import.
        hooks.process_state_restored = contextlib.nullcontext  # type: ignore[assignment]
        return hooks.train_cell(config, train)
    train(config)
    return None


def train(config: DictConfig) -> Path:
    folder, settings = Path(config.study.dir), run_settings(config)
    run = RunFolder(config.run_dir)
    if (done := run.result_of(settings)) is not None:
        return done
    run.open(settings)
    run.mark("running")
    with (run / "lives.txt").open("a") as file:
        file.write("started\n")
    try:
        behave(config, folder, run)
    except ValueError as error:
        run.note_failure(error)
        raise
    run.mark("done", result="result.txt")
    return run / "result.txt"


def behave(config: DictConfig, folder: Path, run: RunFolder) -> None:
    if config.seed == 7 and not (folder / "healed").exists():
        raise ValueError("seed 7 brings no luck")
    if config.seed == 8:
        os.kill(os.getpid(), signal.SIGKILL)
    if config.seed == 9:
        signal.signal(signal.SIGTERM, lambda *_: leave(run))
        (run / "waiting").touch()
        time.sleep(60)
    if config.batch_size == 13:
        raise ValueError("thirteen is too many")
    if config.task.endswith("tokenizer"):
        run.bundle.mkdir()
        (run.bundle / "config.yaml").write_text("kind: tokenizer\n")
        (run.bundle / "tokenizer.safetensors").touch()
    loss = (config.optimizer.base_learning_rate * 1e5 - 3) ** 2
    (run / "metrics.csv").write_text(f"step,val/loss\n1,9\n2,{loss}\n")
    (run / "result.txt").touch()


def leave(run: RunFolder) -> None:
    run.mark("interrupted", reason="SIGTERM")
    sys.exit(143)


if __name__ == "__main__":
    main()
