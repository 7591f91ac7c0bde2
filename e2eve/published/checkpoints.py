"""Checkpoint files of any age: their weights by name, read without running what else they hold.

Read are safetensors, PyTorch's zip archives and the format that came before them. A pickle is a
program: it names functions and classes and asks for them to be called. PyTorch reads these files
with a pickle module that is handed to it; the one here lets it find tensors and plain containers.
Every other name stands for an inert `Record` (callbacks, configuration objects), and a name that
reaches for the system or the interpreter is refused.

The weights are those of an editor, of its transformer alone, or of a tokenizer. An editor's file
has its tokenizers in it, the source tokenizer twice: targets are read with one, masked sources with
the other.
"""

import pickle
import re
import struct
import tarfile
import warnings
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Collection, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from e2eve.published.names import MASK, causal_mask

Weights = dict[str, Tensor]

SOURCE, DRIVER, SOURCE_AGAIN = "first_stage_model", "cond_stage_model", "cond_stage2_model"
TRANSFORMER = "transformer"
PARTS = (TRANSFORMER, SOURCE, DRIVER, SOURCE_AGAIN)

WRAPPERS = {"module", "_orig_mod"}  # what wrappers for several devices and compilers add to names
PREFIXES = ("model.", "net.")  # what stands before all names of some files

# Networks of losses and metrics, by the first part of their names.
LOSS_NETWORKS = re.compile(
    r"(\w*loss\w*|\w*lpips\w*|\w*perceptual\w*|\w*discriminator\w*|\w*inception\w*|\w*metrics?|"
    r"vgg\w*|(\w+_)?fid(_\w+)?|model_ema)",
    re.IGNORECASE,
)

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
    weights = {
        n: leaf.detach() for n, leaf in find_state(tree, path).items() if isinstance(leaf, Tensor)
    }
    description = tree.get(OUR_DESCRIPTION)
    return Checkpoint(weights, description if isinstance(description, dict) else None, records)


def check_looks_right(path: Path) -> None:
    """Raises ValueError where the first bytes show that this is no checkpoint, or not whole."""
    if not path.is_file():
        raise ValueError(f"There is no file {path}: give the path of a published checkpoint.")
    with path.open("rb") as file:
        start = file.read(512)
    head = start.lstrip().lower()
    web_page = head.startswith((b"<!doctype", b"<html", b"<?xml", b"<head"))
    for found, what in (
        (not start, "is empty: download it again."),
        (
            web_page,
            "is a web page and no checkpoint, as a download leaves it that asked for a log-in or "
            "a confirmation: download it in a browser.",
        ),
        (
            head.startswith(b"version https://git-lfs"),
            "is a pointer of Git LFS and no checkpoint: run `git lfs pull`.",
        ),
        (
            start[257:262] == b"ustar" or tarfile.is_tarfile(path),
            "is in the tar format of PyTorch before 0.4: open it there and save it again.",
        ),
        (
            start.startswith(b"PK") and not zipfile.is_zipfile(path),
            f"is cut short at {path.stat().st_size} bytes: download it again.",
        ),
    ):
        if found:
            raise ValueError(f"{path} {what}")


def find_state(tree: Any, path: Path) -> dict[str, Any]:
    """The dictionary of weights in what a file holds.

    Raises:
        ValueError: where there is none.
    """
    if isinstance(tree, dict):
        for inside in (*(tree.get(name) for name in CONTAINERS), tree):
            if isinstance(inside, dict) and any(
                isinstance(leaf, Tensor) for leaf in inside.values()
            ):
                return {str(name): value for name, value in inside.items()}
    what = type(tree).__name__ if not isinstance(tree, dict) else f"entries {list(tree)[:4]}"
    raise ValueError(
        f"{path} holds {what} and no weights by name, at the top or under "
        f"{', '.join(CONTAINERS)}: give a checkpoint with a state dictionary."
    )


def _load_restricted(path: Path) -> tuple[Any, list[str]]:
    records: dict[str, type[Record]] = {}
    zipped = zipfile.is_zipfile(path)
    try:
        # PyTorch would load and run such an archive, so its own reader is asked.
        if zipped and torch._C.PyTorchFileReader(str(path)).has_record("constants.pkl"):  # type: ignore[attr-defined]
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
    # What else comes with a tensor (gradient, hooks) is left.
    if not isinstance(storage, torch.storage.TypedStorage):
        return Record()  # its numbers are in some other format
    return torch._utils._rebuild_tensor(storage, offset, tuple(shape), tuple(stride))


def rebuild_subclass(function: Any, kind: Any, arguments: Any, state: Any) -> Any:
    # A tensor with attributes is its tensor here.
    return rebuild_tensor(*arguments) if function is rebuild_tensor else Record()


def rebuild_parameter(data: Any, *rest: Any) -> Any:
    return data  # a parameter is its tensor here


REBUILT: dict[str, Any] = {
    "collections.OrderedDict": OrderedDict,
    "collections.defaultdict": lambda *rest: OrderedDict(),
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

    return SimpleNamespace(
        __name__=__name__,
        Unpickler=Unpickler,
        load=lambda file, **options: Unpickler(file, **options).load(),
    )


class Parts(NamedTuple):
    """Weights of each part by their published names; empty where the file has none."""

    transformer: Weights
    source: Weights
    driver: Weights
    skipped: Counter[str]  # how many names were left out, by their beginning


def take_apart(weights: Weights, where: str, skip: Collection[str] = ()) -> Parts:
    """Recognises an editor or a tokenizer and sorts its names.

    Args:
        skip: further beginnings of names (up to the first dot) to leave out.

    Raises:
        ValueError: when it is neither, or holds what an editor here cannot have.
    """
    skipped: Counter[str] = Counter()
    unwrapped = {
        ".".join(part for part in name.split(".") if part not in WRAPPERS): value
        for name, value in weights.items()
    }
    kept = _kept(unwrapped, skip, skipped)
    for prefix in PREFIXES:
        if kept and all(name.startswith(prefix) for name in kept):
            kept = _kept(_under(kept, prefix), skip, skipped)
    if "tok_emb.weight" in kept:
        return Parts(_transformer(kept, where, skipped), {}, {}, skipped)
    if any(name.startswith(f"{TRANSFORMER}.") for name in kept):
        return _editor(kept, where, skip, skipped)
    if "encoder.conv_in.weight" in kept:
        return Parts({}, _tokenizer(kept, where), {}, skipped)
    raise ValueError(
        f"{where} holds {len(weights)} weights ({', '.join(list(weights)[:3])}, …) and is neither "
        "an editor (transformer.…, first_stage_model.…) nor a VQGAN (encoder.…, quantize.…): give "
        "a checkpoint of one of these families."
    )


def _kept(weights: Weights, skip: Collection[str], skipped: Counter[str]) -> Weights:
    # All but networks of losses and what `skip` names, which are counted.
    kept = {}
    for name, value in weights.items():
        first = name.partition(".")[0]
        if first in skip or LOSS_NETWORKS.fullmatch(first):
            skipped[f"{first}.…"] += 1
        else:
            kept[name] = value
    return kept


def _under(weights: Weights, prefix: str) -> Weights:
    return {n.removeprefix(prefix): value for n, value in weights.items() if n.startswith(prefix)}


def _editor(weights: Weights, where: str, skip: Collection[str], skipped: Counter[str]) -> Parts:
    others = sorted({name.partition(".")[0] for name in weights} - set(PARTS))
    if others:
        raise ValueError(
            f"{where} is an editor with parts of an unknown kind ({', '.join(others[:4])}): say "
            f"skip=[{','.join(others)}] if they are not needed."
        )
    transformer = _transformer(_under(weights, f"{TRANSFORMER}."), where, skipped)
    parts = {name: _kept(_under(weights, f"{name}."), skip, skipped) for name in PARTS[1:]}
    for name, part in parts.items():
        if part:
            _tokenizer(part, f"{where} ({name})")
    again = parts[SOURCE_AGAIN]
    source = parts[SOURCE] or again
    if not same_weights(again, {name: source[name] for name in again if name in source}):
        raise ValueError(
            f"{where} reads masked sources with {SOURCE_AGAIN}, whose weights differ from those of "
            f"{SOURCE}, and an editor has one source tokenizer here: no bundle can be made of it."
        )
    if again and parts[SOURCE]:
        skipped[f"{SOURCE_AGAIN}.… (is {SOURCE}.…)"] = len(again)
    return Parts(transformer, source, parts[DRIVER], skipped)


def _transformer(weights: Weights, where: str, skipped: Counter[str]) -> Weights:
    # Without masks, which say that attention is causal.
    if "condition_embeddings.weight" not in weights:
        raise ValueError(
            f"{where} has a transformer without condition_embeddings, so it is no editor but "
            "another one of the taming-transformers family: its VQGAN can be given apart."
        )
    masks = {name: value for name, value in weights.items() if MASK.match(name)}
    for name, mask in masks.items():
        if not torch.equal(mask.float(), causal_mask(mask.shape[-1])):
            raise ValueError(
                f"{name} in {where} is not causal, and editors here read from left to right only: "
                "no bundle can be made of it."
            )
    if masks:
        skipped["attention masks"] = len(masks)
    return {name: value for name, value in weights.items() if name not in masks}


def _tokenizer(weights: Weights, where: str) -> Weights:
    if "quantize.embedding.weight" not in weights:
        raise ValueError(
            f"{where} is an autoencoder without quantize.embedding.weight, so it has no codebook "
            "of vectors (Gumbel quantisation, continuous codes): give a VQGAN."
        )
    return weights


def same_weights(some: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> bool:
    return some.keys() == others.keys() and all(
        some[name].dtype == others[name].dtype and torch.equal(some[name], others[name])
        for name in some
    )
