"""Cells of a sweep: their names, folders and command lines."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

from e2eve.runs import RunFolder, is_locked

LONGEST_NAME = 120
"""Characters; file systems take 255 bytes."""


@dataclass(frozen=True)
class Cell:
    """A run folder, and the overrides of the training that fills it."""

    name: str
    folder: Path
    overrides: tuple[str, ...]

    @property
    def run(self) -> RunFolder:
        return RunFolder(self.folder)

    def ended_badly(self, ending: str) -> None:
        """Note how its process ended, where the run could not do that itself.

        Where the process was refused, since another one trains there, it has nothing to say.
        """
        if self.run.status()["state"] in ("new", "running") and not is_locked(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self.run.mark("failed", error=ending)


def parsed(overrides: Sequence[str]) -> list[Override]:
    return OverridesParser.create().parse_overrides(list(overrides))


def key_of(override: Override) -> str:
    """As it is written, without + or ~."""
    return override.get_key_element().lstrip("+~")


def cell_name(overrides: Sequence[str], keys: Sequence[str]) -> str:
    """What a cell has chosen for the swept `keys`: `tokenizer-shared+seed-0`.

    It is the same whenever the choices are, and needs no quotes in a shell or in Hydra. Names that
    lose characters for that, or would be too long, end in a hash of the choices.
    """
    chosen = {key_of(one): one.get_value_element_as_str() for one in parsed(overrides)}
    pairs = {key: chosen[key] for key in keys if key in chosen}
    text = "+".join(f"{label}-{_bare(pairs[key])}" for key, label in short(list(pairs)).items())
    name = re.sub(r"[^A-Za-z0-9_.+-]", "_", text)
    if name == text and len(name) <= LONGEST_NAME:
        return name or "cell"
    digest = hashlib.sha256("+".join(f"{k}={v}" for k, v in pairs.items()).encode()).hexdigest()
    return f"{name[:LONGEST_NAME]}+{digest[:8]}"


def short(keys: Sequence[str]) -> dict[str, str]:
    """The last part of each dotted key, or as many of them as tell it from the others."""
    labels = {}
    for key in keys:
        parts = key.split(".")
        for count in range(1, len(parts) + 1):
            ending = ".".join(parts[-count:])
            if sum(other == ending or other.endswith(f".{ending}") for other in keys) == 1:
                break
        labels[key] = ending
    return labels


def quoted(value: object) -> str:
    """For the right side of an override, whatever characters it holds."""
    return "'" + str(value).replace("'", "\\'") + "'"


def _bare(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value
