"""Checkpoint files of any age: their weights by name, read without running what else they hold.

Read are safetensors, PyTorch's zip archives and the format that came before them. A pickle is a
program: it names functions and classes and asks for them to be called. PyTorch reads these files
with a pickle module that is handed to it; the one here lets it find tensors and plain containers.
Every other name stands for an inert `Record` (callbacks, configuration objects), and a name that
reaches for the system or the interpreter is refused.
"""

import pickle
import struct
import tarfile
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

CONTAINERS = ("state_dict", "model", "module", "net", "params")  # where weights lie in a file
OUR_DESCRIPTION = "e2eve"  # where `to=published` notes what the weights do not say

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
    OSError,
    struct.error,
    zipfile.BadZipFile,
)


class RefusedError(ValueError):
    """A pickle asks for something that no checkpoint needs."""


class Checkpoint(NamedTuple):
    """The weights of a file."""

    weights: dict[str, Tensor]
    description: dict | None  # as in a bundle's config.yaml, where the file was written by e2eve
    records: list[str]  # classes of objects in the file that were not rebuilt


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
    tree, records = _load_restricted(path)
    weights = {n: leaf.detach() for n, leaf in find_state(tree, path).items() if _is_weight(leaf)}
    description = tree.get(OUR_DESCRIPTION)
    return Checkpoint(weights, description if isinstance(description, dict) else None, records)


def check_looks_right(path: Path) -> None:
    """Raises ValueError where the first bytes show that this is no checkpoint, or not whole."""
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
    if start[257:262] == b"ustar" or tarfile.is_tarfile(path):
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
            if isinstance(inside, dict) and any(map(_is_weight, inside.values())):
                return {str(name): value for name, value in inside.items()}
    what = type(tree).__name__ if not isinstance(tree, dict) else f"entries {list(tree)[:4]}"
    raise ValueError(
        f"{path} holds {what} and no weights by name, at the top or under "
        f"{', '.join(CONTAINERS)}: give a checkpoint with a state dictionary."
    )


def _is_weight(leaf: object) -> bool:
    return isinstance(leaf, Tensor)


def _load_restricted(path: Path) -> tuple[Any, list[str]]:
    """What the file holds, and names of classes that were not rebuilt."""
    records: dict[str, type[Record]] = {}
    zipped = zipfile.is_zipfile(path)
    try:
        # PyTorch would load and run such an archive, so its own reader is asked.
        if zipped and torch._C.PyTorchFileReader(str(path)).has_record("constants.pkl"):
            raise ValueError("a TorchScript archive, which is a program")
        with warnings.catch_warnings():  # of storages as they were named before
            warnings.simplefilter("ignore")
            tree = torch.load(
                path,
                map_location="cpu",
                weights_only=False,
                pickle_module=restricted_pickle(path, records),
                mmap=zipped,  # so that optimiser states are not read
            )
    except RefusedError:
        raise
    except UNREADABLE as error:
        raise ValueError(
            f"{path} is no PyTorch checkpoint, or cut short or damaged ({error}): download it "
            "again, or give a .ckpt, .pth, .pt or .safetensors file."
        ) from error
    return tree, sorted(records)


class Record:
    """Stands for whatever is not rebuilt, takes everything and does nothing."""

    def __new__(cls, *args: Any, **kwargs: Any) -> "Record":
        return object.__new__(cls)

    def _ignore(self, *args: Any, **kwargs: Any) -> None: ...

    __init__ = __setstate__ = __setitem__ = append = extend = add = _ignore

    def __call__(self, *args: Any, **kwargs: Any) -> "Record":
        return Record()


def rebuild_tensor(storage: Any, offset: int, shape: Any, stride: Any, *rest: Any) -> Any:
    """A tensor; what else comes with it (gradient, hooks) is left."""
    if not isinstance(storage, torch.storage.TypedStorage):
        return Record()  # its numbers are in some other format
    return torch._utils._rebuild_tensor(storage, offset, tuple(shape), tuple(stride))


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


def restricted_pickle(path: Path, records: dict[str, type[Record]]) -> Any:
    """A pickle module for `torch.load` whose `find_class` imports nothing.

    Args:
        records: gets a class for each name that is not rebuilt. PyTorch resolves names of
            storages by itself before it asks for anything.
    """

    class Unpickler(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            module = PYTHON_2.get(module, module)
            full, package = f"{module}.{name}", module.partition(".")[0]
            if full in REBUILT:
                return REBUILT[full]
            refused_builtin = module == "builtins" and name.partition(".")[0] in REFUSED_BUILTINS
            if package in REFUSED_MODULES or refused_builtin:
                raise RefusedError(
                    f"{path} wants to run {full}: refused, since a checkpoint has no need to; do "
                    "not open this file with anything else either."
                )
            return records.setdefault(full, type("Record", (Record,), {}))

    def load(file: Any, **options: Any) -> Any:
        return Unpickler(file, **options).load()

    return SimpleNamespace(__name__=__name__, Unpickler=Unpickler, load=load)
