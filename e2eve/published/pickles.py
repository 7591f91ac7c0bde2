"""Pickles of old checkpoints, read without running anything that they name.

A pickle is a program: it names functions and classes and asks for them to be called. Here only
tensors and plain containers are rebuilt. Every other name stands for an inert record, and a name
that reaches for the system or the interpreter is refused.
"""

import pickle
import struct
from collections import OrderedDict
from dataclasses import dataclass, field
from io import BufferedReader, BytesIO
from typing import Any

import torch

STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}

# No checkpoint needs these, and nearly every attack by pickle does.
REFUSED_MODULES = frozenset(
    "_pickle asyncio bdb cPickle cloudpickle code codeop commands cProfile ctypes dill ftplib http "
    "imp importlib joblib marshal nt os pdb pickle pip posix profile pty requests runpy shutil "
    "signal site smtplib socket subprocess sys tempfile timeit trace urllib webbrowser".split()
)
REFUSED_BUILTINS = frozenset(
    "__import__ apply breakpoint compile delattr eval exec execfile exit file globals input locals "
    "open quit setattr vars".split()
)

PYTHON_2 = {"__builtin__": "builtins", "commands": "subprocess"}  # modules that were renamed

# What a damaged or foreign file makes an unpickler raise.
UNREADABLE = (
    pickle.UnpicklingError,
    RuntimeError,
    EOFError,
    AttributeError,
    ImportError,
    LookupError,
    TypeError,
    ValueError,
    OverflowError,
    struct.error,
)


class RefusedError(ValueError):
    """A pickle asks for something that no checkpoint needs."""


@dataclass(frozen=True)
class StorageKind:
    dtype: torch.dtype


@dataclass(frozen=True)
class StorageRecord:
    """Numbers that lie elsewhere in the file, under `key`."""

    dtype: torch.dtype
    key: str
    length: int


@dataclass(frozen=True)
class TensorRecord:
    """A view of a storage, not read yet."""

    storage: StorageRecord
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class Record:
    """Stands for whatever is not rebuilt, takes everything and does nothing."""

    def __new__(cls, *args: Any, **kwargs: Any) -> "Record":
        return object.__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None: ...

    def __call__(self, *args: Any, **kwargs: Any) -> "Record":
        return Record()

    def __setstate__(self, state: Any) -> None: ...

    def __setitem__(self, key: Any, value: Any) -> None: ...

    def append(self, item: Any) -> None: ...

    def extend(self, items: Any) -> None: ...

    def add(self, item: Any) -> None: ...


def rebuild_tensor(storage: Any, offset: Any, shape: Any, stride: Any, *rest: Any) -> Any:
    """In place of torch's; what else comes with a tensor (gradient, hooks) is left."""
    if not isinstance(storage, StorageRecord):
        return Record()  # its numbers are in some other format
    return TensorRecord(storage, int(offset), tuple(shape), tuple(stride))


def rebuild_parameter(data: Any, *rest: Any) -> Any:
    """A parameter is its tensor here."""
    return data


def rebuild_subclass(function: Any, kind: Any, arguments: Any, state: Any) -> Any:
    """A tensor with attributes is its tensor here."""
    return rebuild_tensor(*arguments) if function is rebuild_tensor else Record()


def plain_dict(*rest: Any) -> OrderedDict:
    """In place of a dictionary with a default."""
    return OrderedDict()


REBUILT: dict[str, Any] = {
    "collections.OrderedDict": OrderedDict,
    "collections.defaultdict": plain_dict,
    "builtins.dict": dict,
    "builtins.list": list,
    "builtins.tuple": tuple,
    "builtins.set": set,
    "builtins.frozenset": frozenset,
    "torch.Size": tuple,
    "torch._utils._rebuild_tensor": rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": rebuild_tensor,
    "torch._utils._rebuild_parameter": rebuild_parameter,
    "torch._utils._rebuild_parameter_with_state": rebuild_parameter,
    "torch._tensor._rebuild_from_type_v2": rebuild_subclass,
}


@dataclass
class Findings:
    """What an unpickler met besides its result."""

    storages: dict[str, StorageRecord] = field(default_factory=dict)
    records: dict[str, type[Record]] = field(default_factory=dict)  # not rebuilt, by full name


class RestrictedUnpickler(pickle.Unpickler):
    """Rebuilds tensors, as `TensorRecord`s, and plain containers; `find_class` imports nothing."""

    def __init__(self, file: BufferedReader | BytesIO, where: str, findings: Findings) -> None:
        super().__init__(file)
        self.where, self.findings = where, findings

    def find_class(self, module: str, name: str) -> Any:
        module = PYTHON_2.get(module, module)
        full = f"{module}.{name}"
        if full in REBUILT:
            return REBUILT[full]
        if module.partition(".")[0] == "torch" and name in STORAGES:
            return StorageKind(STORAGES[name])
        refused_builtin = module == "builtins" and name.partition(".")[0] in REFUSED_BUILTINS
        if module.partition(".")[0] in REFUSED_MODULES or refused_builtin:
            raise RefusedError(
                f"{self.where} wants to run {full}: refused, since a checkpoint has no need to; "
                "do not open this file with anything else either."
            )
        return self.findings.records.setdefault(full, type("Record", (Record,), {}))

    def persistent_load(self, pid: Any) -> StorageRecord:
        kind, key, length = pid[1], pid[2], pid[4]
        if pid[0] != "storage" or not isinstance(kind, StorageKind) or any(pid[5:]):
            raise pickle.UnpicklingError(f"a storage of an unknown kind: {pid!r}")
        storage = StorageRecord(kind.dtype, str(key), int(length))
        return self.findings.storages.setdefault(storage.key, storage)
