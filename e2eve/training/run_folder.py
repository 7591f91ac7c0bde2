"""The folder of a run: what it is made of, what state it is in, and whether it may go on."""

import json
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

# What may change when a run goes on: it says how long and how often, not what is trained.
FREE = ("trainer", "evaluation", "logger")


class RunFolder:
    """Names every file of a run.

    config.yaml, status.json, metrics.csv, metrics.json, report.html, samples/, checkpoints/,
    bundle/ and validation_set/.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    @property
    def last_checkpoint(self) -> Path:
        return self / "checkpoints" / "last.ckpt"

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
            changed = [k for k in differing(before, resolved) if k.split(".")[0] not in free]
            if changed:
                raise ValueError(
                    f"{self.path} holds a run with other settings ({', '.join(changed[:4])}): "
                    "give this one another name=… or remove that folder."
                )
        self.path.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(OmegaConf.create(resolved), self / "config.yaml")
        return self

    def result_of(self, config: DictConfig) -> Path | None:
        """What the run ended with, if it is done with these very settings."""
        status = self.status()
        if status["state"] != "done" or not (self / status["result"]).exists():
            return None
        before = OmegaConf.to_container(OmegaConf.load(self / "config.yaml"))
        if differing(before, OmegaConf.to_container(config, resolve=True)):
            return None
        return self / status["result"]

    def status(self) -> dict:
        path = self / "status.json"
        return json.loads(path.read_text()) if path.exists() else {"state": "new"}

    def mark(self, state: str, **facts: object) -> None:
        """Note `running`, `done` or `failed`, with the time and any facts."""
        time = datetime.now(UTC).isoformat(timespec="seconds")
        status = {"state": state, "time": time, **facts}
        (self / "status.json").write_text(json.dumps(status, indent=2) + "\n")


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
