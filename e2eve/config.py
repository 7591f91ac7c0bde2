"""Where the configuration lives, and how a verb starts: imports nothing heavy."""

import difflib
import functools
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException, InstantiationException
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf

log = logging.getLogger(__name__)

# Hydra finds launchers in packages of this very name only, wherever they lie. When this module is
# imported and not when a command starts: workers of stock launchers unpickle them without one.
sys.path.append(str(Path(__file__).parent / "sweeps" / "plugins"))

TRUSTED = ("e2eve.", "torch.", "pytorch_lightning.")


def conf_dir() -> str:
    """The folder of YAML files: inside the package when installed, beside it in a checkout."""
    inside = Path(__file__).resolve().parent / "conf"
    return str(inside if inside.is_dir() else inside.parents[1] / "conf")


def verb(config_name: str) -> Callable[[Callable[[DictConfig], Any]], Callable[[], None]]:
    """Make a command of a function of a config, whose result a sweeper is told.

    A ValueError, which is how every module reports what a user can get wrong, ends the command
    with its sentence and exit code 1. Set HYDRA_FULL_ERROR=1 to see where it came from.
    """

    def decorate(main: Callable[[DictConfig], Any]) -> Callable[[], None]:
        @functools.wraps(main)
        def guarded(config: DictConfig) -> Any:
            try:
                check_numbers(config, {"": config_name, **HydraConfig.get().runtime.choices})
                return main(config)
            except ValueError as error:
                if os.environ.get("HYDRA_FULL_ERROR") == "1":
                    raise
                log.error("%s", error)
                if HydraConfig.get().mode == RunMode.MULTIRUN:  # the sweeper ends the command
                    raise CompactHydraException(str(error)) from error
                sys.exit(1)

        # `version_base` fixes Hydra's own defaults: the working directory stays as it is.
        start = hydra.main(version_base="1.3", config_path=conf_dir(), config_name=config_name)
        return start(guarded)

    return decorate


def check_numbers(config: DictConfig, chosen: Mapping[str, str]) -> None:
    """Raise one sentence where a word is given in place of a number, or of true or false.

    Args:
        chosen: names of files by their group; "" is the folder itself.
    """
    for group, name in chosen.items():
        for key, default in _numbers(group, name):
            given = OmegaConf.select(config, key)
            if isinstance(given, str):
                wanted = "true or false" if isinstance(default, bool) else "a number"
                raise ValueError(f'{key} is "{given}": give {wanted}, such as {default}.')


def _numbers(group: str, name: str) -> Iterator[tuple[str, int | float]]:
    """Dotted keys for which a file, or one that it builds on, has a number, true or false."""
    path = Path(conf_dir(), group, f"{name}.yaml")
    if not path.is_file():  # one of Hydra's own
        return
    content = OmegaConf.to_container(OmegaConf.load(path))
    assert isinstance(content, dict)  # as all our files are
    for one in content.pop("defaults", []):
        if isinstance(one, str) and one != "_self_":
            yield from _numbers(group, one)
    yield from _number_leaves(content, group.replace("/", "."))


def _number_leaves(node: Any, key: str) -> Iterator[tuple[str, int | float]]:
    if isinstance(node, int | float):
        yield key, node
    elif isinstance(node, dict):
        for name, value in node.items():
            yield from _number_leaves(value, f"{key}.{name}".lstrip("."))


def listed(value: Any) -> list[Any]:
    """Of a config, where one thing may be given as it is or several in brackets."""
    return list(value) if isinstance(value, ListConfig) else [value]


def plain(node: DictConfig) -> dict[str, Any]:
    """The node as a dictionary of plain values, references resolved."""
    values = OmegaConf.to_container(node, resolve=True)
    assert isinstance(values, dict)  # what a DictConfig becomes
    return {str(key): value for key, value in values.items()}


def instantiate(node: DictConfig, **extra: Any) -> Any:
    """Build the object that `_target_` names, its nested nodes too.

    Raises:
        ValueError: when a target is not part of e2eve, torch or Lightning, or refuses its values.
    """
    for target in _targets(OmegaConf.to_container(node, resolve=True)):
        if not target.startswith(TRUSTED):
            raise ValueError(
                f'The config names "{target}" as something to build, and only names that start '
                f"with {', '.join(TRUSTED)} are: correct _target_."
            )
    try:
        return hydra.utils.instantiate(node, _convert_="all", **extra)
    except InstantiationException as error:
        if isinstance(error.__cause__, ValueError):  # one of ours: its sentence is enough
            raise error.__cause__ from None
        raise


def _targets(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["_target_"]] if "_target_" in node else []
        return own + [t for value in node.values() for t in _targets(value)]
    if isinstance(node, list):
        return [t for value in node for t in _targets(value)]
    return []


def choose(value: str, known: dict[str, Any], what: str) -> Any:
    """`known[value]`, or one sentence that lists the choices and the nearest one."""
    if value in known:
        return known[value]
    near = difflib.get_close_matches(value, known, n=1)
    hint = f', did you mean "{near[0]}"?' if near else "."
    raise ValueError(f'{what} is "{value}", the choices are {", ".join(sorted(known))}{hint}')


def device_of(name: str) -> str:
    """The device itself, or for "auto" the first GPU where there is one, else the CPU."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"device is {name} and PyTorch finds no GPU: give device=cpu.")
    try:
        torch.device(name)
    except RuntimeError as error:
        raise ValueError(f'device is "{name}": give auto, cpu, cuda or cuda:<number>.') from error
    return name
