"""Checkpoint files of any age: their weights by name, and what else they hold is left.

Read are safetensors, PyTorch's zip archives and the format that came before them. PyTorch's safe
loader goes first; what it refuses, callbacks or configuration objects among the weights, goes
through `e2eve.published.pickles`.
"""

import warnings
import zipfile
from collections.abc import Callable, Mapping
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from e2eve.published.pickles import (
    UNREADABLE,
    Findings,
    RefusedError,
    RestrictedUnpickler,
    StorageRecord,
    TensorRecord,
)

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # the first thing in a file from before PyTorch 1.6
CONTAINERS = ("state_dict", "model", "module", "net", "params")  # where weights lie in a file
OUR_DESCRIPTION = "e2eve"  # where `to=published` notes what the weights do not say


class Checkpoint(NamedTuple):
    """The weights of a file."""

    weights: dict[str, Tensor]
    description: dict | None  # as in a bundle's config.yaml, where the file was written by e2eve
    records: list[str]  # classes of objects in the file that were not rebuilt


class Contents(NamedTuple):
    tree: Any
    tensor: Callable[[Any], Tensor]  # of a leaf
    records: list[str]


def read_checkpoint(path: str | Path) -> Checkpoint:
    """The weights of a checkpoint, on the CPU, as they are stored; nothing in the file is run.

    Raises:
        ValueError: one sentence on what the file is instead, or what it wants to run.
    """
    path = Path(path)
    check_looks_right(path)
    if path.suffix == ".safetensors":
        try:
            return Checkpoint(load_file(path), None, [])
        except SafetensorError as error:
            raise ValueError(f"{path} cannot be read ({error}): download it again.") from error
    contents = _load_safely(path) or _load_restricted(path)
    state = find_state(contents.tree, path)
    weights = {
        name: contents.tensor(leaf)
        for name, leaf in state.items()
        if isinstance(leaf, Tensor | TensorRecord)
    }
    description = contents.tree.get(OUR_DESCRIPTION)
    return Checkpoint(
        weights, description if isinstance(description, dict) else None, contents.records
    )


def check_looks_right(path: Path) -> None:
    """Raise one sentence where the first bytes show that this is no checkpoint, or not whole."""
    if not path.is_file():
        raise ValueError(f"There is no file {path}: give the path of a published checkpoint.")
    with path.open("rb") as file:
        start = file.read(512)
    head = start.lstrip().lower()
    if not start:
        raise ValueError(f"{path} is empty: download it again.")
    if head.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise ValueError(
            f"{path} is a web page and no checkpoint, as a download leaves it that asked for a "
            "log-in or a confirmation: download it in a browser."
        )
    if head.startswith(b"version https://git-lfs"):
        raise ValueError(f"{path} is a pointer of Git LFS and no checkpoint: run `git lfs pull`.")
    if start[257:262] == b"ustar":
        raise ValueError(
            f"{path} is in the tar format of PyTorch before 0.4: open it there and save it again."
        )
    if start.startswith(b"PK") and not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is cut short at {path.stat().st_size} bytes: download it again.")


def find_state(tree: Any, path: Path) -> dict[str, Any]:
    """The dictionary of weights in what a file holds.

    Raises:
        ValueError: where there is none.
    """
    if isinstance(tree, dict):
        for inside in (*(tree.get(name) for name in CONTAINERS), tree):
            if isinstance(inside, dict) and _has_weights(inside):
                return {str(name): value for name, value in inside.items()}
    what = type(tree).__name__ if not isinstance(tree, dict) else f"entries {list(tree)[:4]}"
    raise ValueError(
        f"{path} holds {what} and no weights by name, at the top or under "
        f"{', '.join(CONTAINERS)}: give a checkpoint with a state dictionary."
    )


def _has_weights(state: Mapping) -> bool:
    return any(isinstance(value, Tensor | TensorRecord) for value in state.values())


def _load_safely(path: Path) -> Contents | None:
    """What PyTorch's safe loader makes of the file; None where it refuses."""
    try:
        with warnings.catch_warnings():  # about the protocol of the pickle, which is checked here
            warnings.simplefilter("ignore")
            # Mapped, so that optimiser states are not read.
            tree = torch.load(
                path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
            )
    except UNREADABLE:
        return None
    return Contents(tree, lambda leaf: leaf.detach(), [])


def _load_restricted(path: Path) -> Contents:
    try:
        load = _load_zip if zipfile.is_zipfile(path) else _load_legacy
        return load(path)
    except RefusedError:
        raise
    except (*UNREADABLE, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path} is no PyTorch checkpoint, or cut short or damaged ({error}): download it "
            "again, or give a .ckpt, .pth, .pt or .safetensors file."
        ) from error


def _load_zip(path: Path) -> Contents:
    findings = Findings()
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        root = next((n for n in names if n.count("/") == 1 and n.endswith("/data.pkl")), None)
        if root is None:
            raise ValueError("a zip archive without data.pkl")
        root = root.removesuffix("data.pkl")
        if f"{root}byteorder" in names and archive.read(f"{root}byteorder") != b"little":
            raise ValueError("written on a big-endian machine")
        tree = RestrictedUnpickler(
            BytesIO(archive.read(f"{root}data.pkl")), str(path), findings
        ).load()

    @cache
    def numbers(storage: StorageRecord) -> Tensor:
        with zipfile.ZipFile(path) as archive:
            return _numbers(storage, archive.read(f"{root}data/{storage.key}"))

    return Contents(tree, lambda leaf: _view(leaf, numbers, path), sorted(findings.records))


def _load_legacy(path: Path) -> Contents:
    """Three headers, the tree, the keys of its storages, and for each a length and the numbers."""
    findings, offsets = Findings(), dict[str, int]()
    with path.open("rb") as file:
        magic, _, _, tree, keys = (
            RestrictedUnpickler(file, str(path), findings).load() for _ in range(5)
        )
        if magic != LEGACY_MAGIC:
            raise ValueError("a pickle of something else")
        for key in keys:
            file.seek(8, 1)  # how many numbers follow, known already
            offsets[key] = file.tell()
            file.seek(findings.storages[key].length * findings.storages[key].dtype.itemsize, 1)

    @cache
    def numbers(storage: StorageRecord) -> Tensor:
        with path.open("rb") as file:
            file.seek(offsets[storage.key])
            return _numbers(storage, file.read(storage.length * storage.dtype.itemsize))

    return Contents(tree, lambda leaf: _view(leaf, numbers, path), sorted(findings.records))


def _numbers(storage: StorageRecord, data: bytes) -> Tensor:
    if len(data) != storage.length * storage.dtype.itemsize:
        raise RuntimeError(f"{len(data)} bytes for {storage.length} numbers of {storage.dtype}")
    if not data:
        return torch.empty(0, dtype=storage.dtype)
    return torch.frombuffer(bytearray(data), dtype=storage.dtype)


def _view(leaf: TensorRecord, numbers: Callable[[StorageRecord], Tensor], path: Path) -> Tensor:
    try:
        return numbers(leaf.storage).as_strided(leaf.shape, leaf.stride, leaf.offset)
    except (*UNREADABLE, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is cut short or damaged ({error}): download it again.") from error
