"""Reads what W&B wrote while offline, with nothing but its own record format.

A .wandb file is a header of 7 bytes and then blocks of 32 KiB with records as in LevelDB's log: a
checksum, a length, a type (whole, first, middle or last part), and the bytes.
"""

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2

HEADER, BLOCK = 7, 32768
WHOLE, LAST = 1, 4


@dataclass
class OfflineRun:
    """One life of a run; `exit_code` is None where it was never finished."""

    id: str = ""
    name: str = ""
    group: str = ""
    tags: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, str] = field(default_factory=dict)  # a metric's step metric
    exit_code: int | None = None
    files: Path = Path()

    def steps(self) -> list[int]:
        return [row["trainer/global_step"] for row in self.history if "trainer/global_step" in row]


def read_offline(run_folder: Path) -> list[OfflineRun]:
    """Every life of a run, the first one first."""
    folders = sorted((run_folder / "wandb").glob("offline-run-*"))
    return [_read(folder) for folder in folders]


def _read(folder: Path) -> OfflineRun:
    (path,) = folder.glob("run-*.wandb")
    found = OfflineRun(files=folder / "files")
    for record in _records(path.read_bytes()):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            run = record.run
            found.id, found.name, found.group = run.run_id, run.display_name, run.run_group
            found.tags = list(run.tags)
            found.config |= _items(run.config.update)
        elif kind == "config":
            found.config |= _items(record.config.update)
        elif kind == "history":
            found.history.append(_items(record.history.item))
        elif kind == "summary":
            found.summary |= _items(record.summary.update)
        elif kind == "metric":
            name = record.metric.name or record.metric.glob_name
            found.metrics[name] = record.metric.step_metric
        elif kind == "exit":
            found.exit_code = record.exit.exit_code
    return found


def _items(items: Any) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for item in items:
        *above, name = list(item.nested_key) or [item.key]
        node = values
        for key in above:
            node = node.setdefault(key, {})
        node[name] = json.loads(item.value_json)
    return values


def _records(data: bytes) -> Iterator[Any]:
    place, parts = HEADER, b""
    while place + HEADER <= len(data):
        left = BLOCK - place % BLOCK
        if left < HEADER:
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + HEADER])
        part = data[place + HEADER : place + HEADER + length]
        place += HEADER + length
        if kind == 0 or len(part) < length:  # still being written
            return
        parts += part
        if kind in (WHOLE, LAST):
            record = getattr(wandb_internal_pb2, "Record")()  # noqa: B009  # made at run time
            record.ParseFromString(parts)
            parts = b""
            yield record
