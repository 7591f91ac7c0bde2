"""The border between YAML and code: commands, typed settings, objects that a config names.

Library code receives dataclasses and built objects; a DictConfig goes no further than the modules
that read one with the functions below. Imports nothing heavy, so that --help answers at once.
"""

import argparse
import functools
import inspect
import logging
import os
import pkgutil
import re
import sys
import typing
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn, TypeVar

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import (
    CompactHydraException,
    HydraException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
)
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from e2eve.checks import full_name
from e2eve.helping import help_text
from e2eve.naming import unknown_choice, unknown_key

log = logging.getLogger(__name__)

# Hydra finds launchers in packages of this very name only, wherever they lie. When this module is
# imported and not when a command starts: workers of stock launchers unpickle them without one.
sys.path.append(str(Path(__file__).parent / "sweeps" / "plugins"))

# As the user gave it: while Hydra runs it is 1.
FULL_ERROR = os.environ.get("HYDRA_FULL_ERROR", "0")

# Exit codes: of what is refused, by its sentence, and of what fails under way.
REFUSED, FAILURE = 2, 1

# Groups of several that a command line may add to.
OPEN = ("metrics", "callbacks", "logger")

STRICT = ConfigDict(extra="forbid", allow_inf_nan=False, coerce_numbers_to_str=True)
Schema = TypeVar("Schema")


def conf_dir() -> str:
    """The folder of YAML files: inside the package when installed, beside it in a checkout."""
    inside = Path(__file__).resolve().parent / "conf"
    return str(inside if inside.is_dir() else inside.parents[1] / "conf")


def command(
    config_name: str, verbatim: Collection[str] = ()
) -> Callable[[Callable[[DictConfig], Any]], Callable[[], None]]:
    """Make a command of a function of a config; what it returns is what a Hydra sweeper gets.

    A path that it returns, of what it has written, is printed.

    A ValueError, which is how every module reports what a user can get wrong, ends the command
    with its sentence and exit code 2, and so do mistakes that Hydra finds; what the machine cannot
    do, such as write to a full disk, ends it with 1. Set HYDRA_FULL_ERROR=1
    to see where they came from. Packages in the working directory can be imported. Values of the
    keys `verbatim` are texts that need no quotes, though Hydra would take them apart: a,b.
    """

    def decorate(main: Callable[[DictConfig], Any]) -> Callable[[], None]:
        full_error = FULL_ERROR  # pickled with the task: workers inherit another value

        @functools.wraps(main)
        def task(config: DictConfig) -> Any:
            os.environ["HYDRA_FULL_ERROR"] = full_error  # for processes that this one starts
            try:
                found = main(config)
                if isinstance(found, Path):
                    from rich.console import Console

                    Console().print(str(found), soft_wrap=True, highlight=False)
                return found
            except (ValueError, OSError, OmegaConfBaseException) as error:
                if full_error == "1" or HydraConfig.get().mode == RunMode.MULTIRUN:
                    raise  # a launcher decides what one cell's failure means
                _exit_with(error)
            finally:
                os.environ["HYDRA_FULL_ERROR"] = "1"

        @functools.wraps(main)
        def run() -> None:
            if not {"", os.getcwd()} & set(sys.path):  # started by its console script
                sys.path.append(os.getcwd())  # last: a folder here hides no installed package
            if {"--help", "-h"} & set(sys.argv[1:]):
                print(help_text(Path(conf_dir()), config_name, sys.argv[1:]))
                return
            os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands over what it would print otherwise
            sys.argv[1:] = [_quoted(argument, verbatim) for argument in sys.argv[1:]]
            try:
                # `version_base` fixes Hydra's own defaults: the working directory stays as it is.
                hydra.main(version_base="1.3", config_path=conf_dir(), config_name=config_name)(
                    task
                )()
            except (ValueError, OSError, CompactHydraException, OmegaConfBaseException) as error:
                if full_error == "1":
                    raise
                _exit_with(error, config_name)

        return run

    return decorate


# Keys, or their last parts, whose values are names and paths, though they may look like numbers.
TEXTS = frozenset(
    "name run_dir out source driver mask model run runs decoder title bundle published root "
    "train_list val_list init_from validation_set dir votes".split()
)
LIKE_A_NUMBER = re.compile(r"(?i)[-+]?[\d._]*\d[\d._]*(e[-+]?\d+)?|nan|[-+]?inf|true|false")


def _quoted(argument: str, verbatim: Collection[str]) -> str:
    """The argument with quotes where its value is a text that Hydra would take for another thing.

    A path that begins with ~ is one below the user's own folder, as shells understand it.
    """
    key, _, value = argument.partition("=")
    if re.match(r"[\w.+@/]+$", key) and re.match(r"~(/|$)", value):
        value = os.path.expanduser(value)
        argument = f"{key}={value}"
    name = key.lstrip("+").rpartition(".")[2]
    is_text = key in verbatim or (name in TEXTS and LIKE_A_NUMBER.fullmatch(value))
    if not is_text or value in ("", "null") or value[0] in "'\"":
        return argument
    return '{}="{}"'.format(key, value.replace("\\", "\\\\").replace('"', '\\"'))


def _exit_with(error: Exception, config_name: str = "train") -> NoReturn:
    log.error("%s", _sentence_of(error, config_name))
    of_hydra = isinstance(error, CompactHydraException)  # one of which is an OSError too
    sys.exit(FAILURE if isinstance(error, OSError) and not of_hydra else REFUSED)


def _sentence_of(error: Exception, config_name: str) -> str:
    """The message as one sentence; Hydra's with the nearest of the names that there are."""
    message = str(error)
    if isinstance(error, OSError) and error.strerror:  # a full disk, a folder that is gone
        return f"{error.filename or 'A file'}: {error.strerror}."
    if found := re.search(r"Missing mandatory value: (\S+)", message):
        return f"{found[1]} is missing: give {found[1]}=…."
    if isinstance(error, OverrideParseException):
        key, _, value = error.override.partition("=")
        return f"{error.override} cannot be read: quote the value, as in '{key}=\"{value}\"'."
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        group, _, name = error.missing_cfg_file.rpartition("/")
        return (
            f"{unknown_choice(name, error.options, group)} Where it is one of your own, give "
            "--config-dir=<the folder that holds your groups>."
        )
    if found := re.search(r"Could not override '([^']+)'", message):
        return _unknown_override(found[1], _composed(config_name, sys.argv[1:]))
    if isinstance(error, ValueError) and not isinstance(error, OmegaConfBaseException):
        return message.rpartition("\nValueError: ")[2].strip()  # a loader process's traceback
    return " ".join(f"{message} {error.__cause__ or ''}".split())


def _composed(config_name: str, arguments: Sequence[str]) -> DictConfig:
    """The config with the choices on the command line, as far as they can be made."""
    parser = argparse.ArgumentParser(allow_abbrev=False, add_help=False)
    parser.add_argument("--config-dir", "-cd")
    named, others = parser.parse_known_args(arguments)
    folders = [f"hydra.searchpath=[file://{os.path.abspath(d)}]" for d in [named.config_dir] if d]
    choices = [o for o in others if re.match(r"[^.=]+=|hydra\.searchpath=", o)]
    kept: list[str] = []
    with hydra.initialize_config_dir(conf_dir(), version_base="1.3"):
        found = hydra.compose(config_name)
        for one in [*folders, *choices]:
            with suppress(HydraException):
                found = hydra.compose(config_name, [*kept, one])
                kept.append(one)
    return found


def _unknown_override(key: str, config: DictConfig) -> str:
    """The sentence about a key on the command line that the config lacks."""
    group, _, name = key.rpartition(".")
    known = [*_leaves(OmegaConf.to_container(config))]
    with suppress(ValueError, TypeError, OmegaConfBaseException):
        target = OmegaConf.select(config, f"{group}._target_") if group in known else None
        arguments = inspect.signature(located(target, group)).parameters if target else ()
        known += [f"+{group}.{one}" for one in arguments if f"{group}.{one}" not in known]
    opened = name == "_target_" and group.partition(".")[0] in OPEN and group not in known
    if opened or f"+{key}" in known:
        return f"{key} is not set yet: write +{key}=… to add it."
    return unknown_key(key, known)


def _leaves(node: Any, prefix: str = "") -> Iterable[str]:
    """Dotted names of all nodes and leaves."""
    for name, value in node.items() if isinstance(node, Mapping) else ():
        yield f"{prefix}{name}"
        yield from _leaves(value, f"{prefix}{name}.")


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
