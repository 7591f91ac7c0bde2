"""The folder of a run: what it is made of, what state it is in, and whether it may go on."""

import json
import re
import secrets
import traceback
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

# What may change when a run goes on: it says how long and how often, not what is trained. The decay
# of the learning rate follows the number of steps, and the driver's tokenizer is the one of the
# group `tokenizer`.
FREE = ("trainer", "evaluation", "logger", "optimizer.decay_steps", "driver_tokenizer")
# But pictures of a step, and which have been seen, follow from the number of processes.
FIXED = ("trainer.devices", "trainer.nodes")


class RunFolder:
    """Names every file of a run.

    config.yaml, status.json, train.log, metrics.csv, metrics.json, report.html, samples/,
    checkpoints/, bundle/ and validation_set/.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    @property
    def checkpoints(self) -> Path:
        return self / "checkpoints"

    @property
    def last_checkpoint(self) -> Path | None:
        """The link to it or, where a process was killed before it could renew that, the newest."""
        if (self.checkpoints / "last.ckpt").exists():
            return self.checkpoints / "last.ckpt"
        steps = sorted(self.checkpoints.glob("step_*.ckpt"), key=lambda path: path.stat().st_mtime)
        return steps[-1] if steps else None

    @property
    def log(self) -> Path:
        return self / "train.log"

    @property
    def bundle(self) -> Path:
        return self / "bundle"

    @property
    def report(self) -> Path:
        return self / "report.html"

    def open(self, config: DictConfig, unrelated: Collection[str] = ()) -> "RunFolder":
        """Create the folder, or go on in it.

        Args:
            unrelated: parts of the config that this kind of training does not read.

        Raises:
            ValueError: when it holds a run with other settings.
        """
        resolved = OmegaConf.to_container(config, resolve=True)
        if (self / "config.yaml").exists():
            before = OmegaConf.to_container(OmegaConf.load(self / "config.yaml"))
            free = {*FREE, *unrelated}
            changed = [
                name
                for name in differing(before, resolved)
                if name in FIXED or not free & {name, name.split(".")[0]}
            ]
            if changed:
                raise ValueError(
                    f"{self.path} holds a run with other settings ({', '.join(changed[:4])}): "
                    "give this one another name=… or remove that folder."
                )
        self.path.mkdir(parents=True, exist_ok=True)
        self._write("config.yaml", OmegaConf.to_yaml(OmegaConf.create(resolved)))
        return self

    def check_length(self, max_steps: int) -> None:
        """Raise one sentence where more than so many steps have been trained."""
        last = self.last_checkpoint
        steps = re.fullmatch(r"step_(\d+)", last.resolve().stem) if last else None
        if steps and int(steps[1]) > max_steps:
            raise ValueError(
                f"{self.path} was trained for {int(steps[1])} steps and trainer.max_steps is "
                f"{max_steps}: give the shorter training another name=… or remove that folder."
            )

    def result_of(self, config: DictConfig) -> Path | None:
        """What the run ended with, if it is done with these very settings."""
        status = self.status()
        if status["state"] != "done" or not (self / status["result"]).exists():
            return None
        before = OmegaConf.to_container(OmegaConf.load(self / "config.yaml"))
        if differing(before, OmegaConf.to_container(config, resolve=True)):
            return None
        return self / status["result"]

    def remove_old_evaluation(self) -> None:
        """Of weights that have been trained further since."""
        last, metrics = self.last_checkpoint, self / "metrics.json"
        if last and metrics.exists() and metrics.stat().st_mtime < last.stat().st_mtime:
            metrics.unlink()
            self.report.unlink(missing_ok=True)

    def status(self) -> dict:
        path = self / "status.json"
        return json.loads(path.read_text()) if path.exists() else {"state": "new"}

    def mark(self, state: str, **facts: object) -> None:
        """Note `running`, `done`, `failed` or `interrupted`, with the time and any facts."""
        time = datetime.now(UTC).isoformat(timespec="seconds")
        status = {"state": state, "time": time, **facts}
        self._write("status.json", json.dumps(status, indent=2) + "\n")

    def note_failure(self, error: BaseException) -> None:
        """The traceback goes into the run's own log, the sentence into its status."""
        with self.log.open("a", encoding="utf-8") as file:
            file.write("".join(traceback.format_exception(error)))
        self.mark("failed", error=f"{type(error).__name__}: {error}")

    def title(self, name: str) -> str:
        """For people: the run's name, and its folder where that says more."""
        return name if self.path.name in ("", name) else f"{name}, {self.path.name}"

    def wandb_id(self) -> str:
        """Made once and kept with the run: whoever goes on with it goes on with this id."""
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


def settings_of(config: DictConfig) -> DictConfig:
    """What a run is: the config resolved, without the study that it is part of, the batch limited.

    Only these are compared and kept; a run that was a cell may go on by itself.
    """
    resolved = OmegaConf.to_container(config, resolve=True)
    assert isinstance(resolved, dict)  # what a DictConfig becomes
    resolved.pop("study", None)
    limit = resolved["trainer"]["batch_limit"]
    if limit:
        resolved["batch_size"] = min(resolved["batch_size"], limit)
    return OmegaConf.create(resolved)


def differing(before: object, after: object, prefix: str = "") -> list[str]:
    """Dotted names of the leaves that differ between two nested dictionaries."""
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return [] if before == after else [prefix.rstrip(".")]
    names = sorted({*before, *after}, key=str)
    return [
        name
        for key in names
        for name in differing(before.get(key), after.get(key), f"{prefix}{key}.")
    ]
