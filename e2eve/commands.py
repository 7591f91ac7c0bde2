"""How a command starts, and what it says to what a person got wrong."""

import argparse
import functools
import inspect
import logging
import os
import re
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import (
    CompactHydraException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from e2eve.config import OPEN, conf_dir, located
from e2eve.helping import help_text
from e2eve.naming import unknown_choice, unknown_key

log = logging.getLogger(__name__)

# As the user gave it: while Hydra runs it is 1.
FULL_ERROR = os.environ.get("HYDRA_FULL_ERROR", "0")

# Exit codes: of what is refused, by its sentence, and of what fails under way.
REFUSED, FAILURE = 2, 1


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
                sys.stdout.write(help_text(Path(conf_dir()), config_name, sys.argv[1:]) + "\n")
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
