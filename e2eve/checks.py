"""What a user's class gave or a file holds, checked where it comes in: a sentence, no traceback."""

import hashlib
import inspect
import numbers
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml


def full_name(thing: object) -> str:
    """Where a class, a function or the class of an object is imported from."""
    named: Any = thing if hasattr(thing, "__qualname__") else type(thing)
    return f"{named.__module__}.{named.__qualname__}"


def require(fits: bool, who: object, given: object, wanted: str) -> None:
    """Raises ValueError unless it fits: "`who` gives `given`, give `wanted`."

    Args:
        who: the object or the method that gave it; or as text, with a verb.
        given: of an array or a tensor the type of its values and its shape are named.
    """
    if fits:
        return
    said = who if isinstance(who, str) else f"{full_name(who)} gives"
    shown = "null" if given is None else full_name(given)
    if hasattr(given, "dtype") and hasattr(given, "shape"):
        shown = f"{given.dtype} of shape {tuple(given.shape)}"
    raise ValueError(f"{said} {shown}, give {wanted}.")


def all_of(kind: type, given: list[Any], group: str) -> list[Any]:
    """The objects of a group of the config, each of this kind; `require` says otherwise."""
    for one in given:
        require(isinstance(one, kind), f"The group {group} names", one, f"a {full_name(kind)}")
    return given


def check_number(
    name: str, value: Any, remedy: str, least: float = 0, most: float = sys.float_info.max
) -> None:
    """Raises ValueError if the value is no number from `least` to `most`, both included."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        text = "null" if value is None else f'"{value}"'
        raise ValueError(f"{name} is {text}: give a number.")
    if not least <= value <= most:  # type: ignore[operator]
        raise ValueError(f"{name} is {value}: {remedy}.")


def whole_number(
    name: str, value: Any, remedy: str, least: int = 1, most: int = sys.maxsize
) -> int:
    """The value as an integer, numpy's and 2.0 too.

    Raises:
        ValueError: when it is no whole number from `least` to `most`.
    """
    check_number(name, value, remedy, least, most)
    if value != int(value):
        raise ValueError(f"{name} is {value}, no whole number: {remedy}.")
    return int(value)


def require_call(function: Any, *names: str) -> None:
    """Raises ValueError unless the object can be called with so many arguments."""
    try:
        inspect.signature(function).bind(*names)
    except TypeError as error:
        raise ValueError(
            f"{full_name(function)} cannot be called with ({', '.join(names)}): {error}."
        ) from error


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file of plain values; a few lines of nested aliases, which would fill the memory, and
    which nothing of ours writes, are refused.

    Raises:
        ValueError: when it cannot be read or holds something else.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        text = path.read_text(encoding="utf-8")
        aliases = any(isinstance(one, yaml.AliasEvent) for one in yaml.parse(text, Loader=loader))
        found = {} if aliases else yaml.load(text, Loader=loader) or {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        said = " ".join(str(error).split())
        raise ValueError(f"{path} cannot be read ({said}): restore or remove it.") from error
    if aliases or not isinstance(found, dict):
        what = "YAML aliases" if aliases else f"a {type(found).__name__}"
        raise ValueError(f"{path} holds {what}, and names with plain values are needed.")
    return found


def check_writable(folder: str | Path, key: str) -> None:
    """Raises ValueError unless files can be written into the folder, which need not be there."""
    nearest = Path(folder).absolute()
    while not os.path.lexists(nearest):
        nearest = nearest.parent
    try:
        with tempfile.TemporaryFile(dir=nearest):
            return
    except OSError as error:
        raise ValueError(
            f"{key} is {folder}, and nothing can be written in {nearest} ({error.strerror}): give "
            "another folder."
        ) from error


def is_inside(path: Path, folder: Path) -> bool:
    """Whether a file lies in a folder, links followed."""
    return path.resolve().is_relative_to(folder.resolve())


def sha256(path: Path) -> str:
    """Of a file's content, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
