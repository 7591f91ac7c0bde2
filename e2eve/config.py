"""The border between YAML and code: typed settings, objects that a config names.

Library code receives dataclasses and built objects; a DictConfig goes no further than the modules
that read one with the functions below. Imports nothing heavy, so that --help answers at once.
"""

import inspect
import logging
import pkgutil
import re
import sys
import typing
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import (
    InstantiationException,
)
from omegaconf import DictConfig, ListConfig, OmegaConf
from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from e2eve.checks import full_name
from e2eve.naming import unknown_choice, unknown_key

log = logging.getLogger(__name__)

# Hydra finds launchers in packages of this very name only, wherever they lie. When this module is
# imported and not when a command starts: workers of stock launchers unpickle them without one.
sys.path.append(str(Path(__file__).parent / "sweeps" / "plugins"))

# Groups of several that a command line may add to.
OPEN = ("metrics", "callbacks", "logger")

STRICT = ConfigDict(extra="forbid", allow_inf_nan=False, coerce_numbers_to_str=True)
Schema = TypeVar("Schema")


def conf_dir() -> str:
    """The folder of YAML files: inside the package when installed, beside it in a checkout."""
    inside = Path(__file__).resolve().parent / "conf"
    return str(inside if inside.is_dir() else inside.parents[1] / "conf")


def read_settings(
    node: DictConfig | Mapping[str, Any], schema: type[Schema], key: str = ""
) -> Schema:
    """The node as the dataclass `schema`, nested ones too, with types and ranges checked.

    Args:
        schema: a dataclass whose annotations may be `Literal`s, unions and the aliases above.
        key: where the node lies in the config, for messages.

    Raises:
        ValueError: with a sentence for each setting that is missing, unknown or out of range.
    """
    return _checked(plain(node), schema, key)


def _checked(values: Any, annotation: Any, key: str) -> Any:
    """The values as what the annotation asks for. In a list, as a dataclass takes no settings."""
    try:
        return TypeAdapter(list[annotation], config=STRICT).validate_python([values])[0]
    except ValidationError as error:
        mistake = error.errors(include_url=False)[0]
        names, place = [key] if key else [], values
        for part in mistake["loc"][1:]:  # names of settings, and of the members of a union
            inside: Any = dict(enumerate(place)) if isinstance(place, list) else place
            if isinstance(inside, Mapping) and part in inside:
                names.append(str(part))
                place = inside[part]
        if mistake["type"] == "missing":
            names.append(str(mistake["loc"][-1]))
        raise ValueError(_mistake(".".join(names), mistake, annotation)) from None


def _mistake(key: str, error: Any, annotation: Any) -> str:
    """The sentence about one of pydantic's errors."""
    kind, context, value = error["type"], error.get("ctx", {}), error["input"]
    if kind == "unexpected_keyword_argument":
        parent = key.rpartition(".")[0]
        return unknown_key(key, [f"{parent}.{n}".lstrip(".") for n in _field_names(annotation)])
    if kind == "missing":
        return f"{key} is missing: give {key}=…."
    if kind == "value_error":  # by a class itself: its sentence is enough
        return with_key(str(context["error"]), key, value if isinstance(value, Mapping) else ())
    if kind == "literal_error":
        choices = [one.strip("'") for one in re.split(", | or ", context["expected"])]
        return unknown_choice(value, choices, key)
    remedies = {
        "int": "a whole number",
        "float": "a number",
        "bool": "true or false",
        "string": "text",
        "path": "a path",
        "greater_than_equal": f"at least {context.get('ge')}",
        "greater_than": f"more than {context.get('gt')}",
        "less_than_equal": f"at most {context.get('le')}",
        "less_than": f"less than {context.get('lt')}",
        "finite_number": "a finite number",
        "list": "a list",
        "dict": "a group of settings",
        "dataclass": "a group of settings",
    }
    named = remedies.get(kind) or remedies.get(kind.split("_")[0]) or error["msg"].lower()
    return f"{key} is {shown(value)}: give {named}."


def shown(value: object) -> str:
    """A value as a sentence shows it."""
    return f'"{value}"' if isinstance(value, str) else "null" if value is None else str(value)


def _field_names(annotation: Any) -> set[str]:
    """Names of all settings of a dataclass and of those inside it."""
    fields = getattr(annotation, "__dataclass_fields__", {})
    inside = [*typing.get_args(annotation), *(field.type for field in fields.values())]
    return {*fields, *(name for one in inside for name in _field_names(one))}


def instantiate(node: Any, key: str = "", **extra: Any) -> Any:
    """Build the object that `_target_` names, its nested nodes too.

    Any function or class that can be imported may be named. `_partial_` and the other keys of
    hydra.utils.instantiate mean what they mean there.

    Args:
        key: where the node lies in the config, for messages.
        extra: further arguments of the outermost call.

    Raises:
        ValueError: when a target cannot be imported, has no argument of a name (the nearest one is
            named) or refuses a value.
    """
    values = _checked_calls(plain(node), key, extra)
    try:
        return hydra.utils.instantiate(values, _convert_="all", **extra)
    except InstantiationException as error:
        cause = error.__cause__
        inner = re.search(r"full_key: (\S+)", str(error))
        where = ".".join(part for part in (key, inner and inner[1]) if part)
        if isinstance(cause, ValueError):  # one of ours: its sentence is enough
            raise ValueError(with_key(str(cause), where, _node_at(values, inner))) from None
        if isinstance(cause, TypeError | ImportError) or cause is None:
            what = f"{where}: " if where else ""
            target = _node_at(values, inner).get("_target_", values["_target_"])
            raise ValueError(f"{what}{target} fails: {cause or error}.") from error
        raise cause from error


def _node_at(values: Mapping[str, Any], inner: re.Match[str] | None) -> Mapping[str, Any]:
    """The node whose call failed, by what Hydra says of its place."""
    found = OmegaConf.select(OmegaConf.create(dict(values)), inner[1]) if inner else values
    return found if isinstance(found, Mapping) else {}


def with_key(sentence: str, key: str, names: Iterable[str] = ()) -> str:
    """A sentence of a class or a function, with the place in the config that it is about.

    Args:
        names: settings below the key, one of which the sentence may begin with.
    """
    if not key or re.search(rf"(^|[ ('\[]){re.escape(key)}([.:=]| is )", sentence):
        return sentence
    return f"{key}.{sentence}" if sentence.split(" ")[0] in names else f"{key}: {sentence}"


@contextmanager
def about(key: str, names: Iterable[str] = ()) -> Iterator[None]:
    """A ValueError of the block is one about that key, see `with_key`."""
    try:
        yield
    except ValueError as error:
        raise ValueError(with_key(str(error), key, names)) from error


def instantiate_all(nodes: Mapping[str, Any], group: str) -> list[Any]:
    """The objects of a group of several, by name; a node that is null is none."""
    return [instantiate(node, f"{group}.{name}") for name, node in nodes.items() if node]


def _checked_calls(node: Any, key: str, extra: Collection[str] = ()) -> Any:
    """The node with the arguments of each call checked, as the target takes them.

    Args:
        extra: names of arguments that the node itself need not give.
    """
    if isinstance(node, list):
        return [_checked_calls(one, f"{key}.{n}".lstrip(".")) for n, one in enumerate(node)]
    if not isinstance(node, dict):
        return node
    values = {n: _checked_calls(one, f"{key}.{n}".lstrip(".")) for n, one in node.items()}
    if "_target_" not in values:
        return values
    given = {name: value for name, value in values.items() if not name.startswith("_")}
    target = located(values["_target_"], key)
    values |= check_arguments(target, given, key)
    if not values.get("_partial_") and "_args_" not in values:
        check_complete(target, [*given, *extra], key)
    return values


def check_complete(target: Callable[..., Any], given: Collection[str], key: str) -> None:
    """Raises ValueError if an argument is lacking that has no default."""
    with suppress(TypeError, ValueError):  # written in C
        parameters = inspect.signature(target).parameters.values()
        several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        lacking = [
            one.name
            for one in parameters
            if one.default is one.empty and one.kind not in several and one.name not in given
        ]
        if not lacking:
            return
        where = f"{key}.{lacking[0]}".lstrip(".")
        lacks = f"{where} is missing: give {where}=…, as {full_name(target)} has no default."
    if lacking:
        raise ValueError(lacks)


def check_arguments(
    target: Callable[..., Any],
    given: Mapping[str, Any],
    key: str,
    limits: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """Compare arguments that a config gives with the names and types of a signature.

    Args:
        limits: types of arguments by name, in the place of the signature's.

    Returns the arguments: whole numbers where these are asked for, though they are written 2.0.

    Raises:
        ValueError: with the nearest name, or with what a value should be.
    """
    try:
        parameters = inspect.signature(target).parameters
        hints = typing.get_type_hints(
            target.__init__ if inspect.isclass(target) else target, include_extras=True
        )
    except (TypeError, ValueError, NameError):  # written in C, or with names that are not there
        return dict(given)
    takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    taken = dict(given)
    for name, value in given.items():
        where = f"{key}.{name}".lstrip(".")
        if value == "???":
            raise ValueError(f"{where} is missing: give {where}=….")
        if name not in parameters and not takes_any:
            raise ValueError(unknown_key(where, [f"{key}.{p}".lstrip(".") for p in parameters]))
        # What pydantic knows nothing of, and what is built first, its class has to check.
        with suppress(PydanticUserError):
            if not names_target(value):
                found = _checked(value, limits.get(name, hints.get(name, Any)), where)
                narrower = isinstance(value, int) and isinstance(found, float)
                if (isinstance(value, int | float | str) or found == value) and not narrower:
                    taken[name] = found
    return taken


def located(target: Any, key: str) -> Any:
    """What a dotted path names.

    Raises:
        ValueError: when it cannot be imported, or nothing there can be called.
    """
    where = f"{key}._target_".lstrip(".")
    try:
        found = pkgutil.resolve_name(target) if isinstance(target, str) else None
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f'{where} is "{target}", which cannot be imported ({error}): correct it, or '
            "start in the folder that holds the package."
        ) from error
    if not callable(found):
        raise ValueError(f'{where} is {shown(target)}: give the class, as "package.module.Class".')
    return found


def names_target(value: Any) -> bool:
    """Whether an object is to be built somewhere inside."""
    if isinstance(value, dict):
        return "_target_" in value or any(map(names_target, value.values()))
    return isinstance(value, list) and any(map(names_target, value))


def import_targets(group: str) -> None:
    """Import what files of a group outside e2eve name: these modules may register something.

    Bundles store a registered name and no import path, so that opening one runs nothing that the
    command's own search path does not name.

    Raises:
        ValueError: when a target cannot be imported.
    """
    if not HydraConfig.initialized():
        return
    for source in HydraConfig.get().runtime.config_sources:
        folder = Path(source.path)
        if source.schema == "pkg":
            folder = Path(str(resources.files(source.path.replace("/", "."))))
        if source.schema in ("file", "pkg") and folder != Path(conf_dir()):
            for path in sorted(folder.glob(f"{group}/*.yaml")):
                if target := OmegaConf.select(OmegaConf.load(path), "_target_"):
                    located(target, str(path))


def listed(value: Any) -> list[Any]:
    """A list of what a config gives as one value or as several in brackets."""
    return list(value) if isinstance(value, ListConfig | list | tuple) else [value]


def plain(node: DictConfig | ListConfig | Mapping[str, Any]) -> dict[str, Any]:
    """The node as a dictionary of plain values, references resolved."""
    values = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
    assert isinstance(values, Mapping)  # what a DictConfig becomes
    return {str(key): value for key, value in values.items()}


def choose(value: object, known: Mapping[str, Any], what: str) -> Any:
    """`known[value]`, or one sentence that lists the choices and the nearest one."""
    if isinstance(value, str) and value in known:
        return known[value]
    raise ValueError(unknown_choice(value, known, what))


def device_of(name: object) -> str:
    """The device itself, or for "auto" the first GPU where there is one, else the CPU.

    Raises:
        ValueError: for what is no device, or is not there.
    """
    import torch

    gpus = torch.cuda.device_count()
    if name == "auto":
        return "cuda" if gpus else "cpu"
    found = re.fullmatch(r"(cpu|mps|cuda)(?::(\d+))?", name) if isinstance(name, str) else None
    if found is None:
        raise ValueError(f"device is {shown(name)}: give auto, cpu, cuda or cuda:<number>.")
    there = {"cpu": 1, "mps": int(torch.backends.mps.is_available()), "cuda": gpus}[found[1]]
    if int(found[2] or 0) >= there:
        has = f"{there} GPUs" if there else "no GPU of that kind"
        raise ValueError(f"device is {name} and PyTorch finds {has}: give device=auto or cpu.")
    return str(name)
