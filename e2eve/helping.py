"""What --help prints: a command's own file of defaults with its comments, then what it inherits."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from textwrap import fill

WIDTH = 100


def help_text(conf: Path, config_name: str, arguments: Sequence[str]) -> str:
    """What a command does, examples, its own options with their defaults, the groups last.

    Args:
        arguments: of the command line, for --config-dir.
    """
    lines = (conf / f"{config_name}.yaml").read_text(encoding="utf-8").splitlines()
    head = [line.removeprefix("#").removeprefix(" ") for line in _head(lines)]
    folders = [conf, *_config_dirs(arguments)]
    parts = [
        "\n".join(head),
        "Options, with their defaults; give them as key=value, nested ones as key.key=value:",
        "\n".join(_options(lines)).rstrip(),
        "Groups, given as group=choice, what a choice holds as group.key=value; --cfg job prints\n"
        "what a command line adds up to:",
        "\n".join(_groups(folders, _chosen(conf, lines))),
    ]
    return "\n\n".join(parts)


def _head(lines: Sequence[str]) -> Iterator[str]:
    for line in lines:
        if not line.startswith("#"):
            return
        yield line


def _options(lines: Sequence[str]) -> Iterator[str]:
    """The file without its head, its defaults list and what Hydra is told."""
    shown, begun = False, False
    for line in lines:
        if key := re.match(r"(\w+):", line):
            shown = key[1] not in ("defaults", "hydra")
            begun = True
        elif begun and line.startswith("#"):  # about what comes next
            shown = True
        if shown and (line.strip() or begun):
            yield line.rstrip()


def _chosen(conf: Path, lines: Sequence[str]) -> dict[str, str]:
    """Choices of the defaults list, those of an inherited file too."""
    found: dict[str, str] = {}
    for line in lines[: _end_of_defaults(lines)]:
        if parent := re.match(r"  - (\w+) *(#|$)", line):
            if parent[1] != "_self_":
                inherited = (conf / f"{parent[1]}.yaml").read_text(encoding="utf-8")
                found |= _chosen(conf, inherited.splitlines())
        elif choice := re.match(r"  - (?:optional )?([\w/]+): *(\S+)", line):
            found[choice[1]] = choice[2]
    return found


def _end_of_defaults(lines: Sequence[str]) -> int:
    start = lines.index("defaults:")
    return next(n for n in range(start + 1, len(lines)) if not lines[n].startswith("  "))


def _groups(folders: Sequence[Path], chosen: dict[str, str]) -> Iterator[str]:
    """A line for each group: its choices, the default in brackets."""
    extra = {"experiment": "", "sweep": ""} if "trainer" in chosen else {}
    for group, choice in {**chosen, **extra}.items():
        names = {path.stem for folder in folders for path in folder.glob(f"{group}/*.yaml")}
        if names:
            shown = ", ".join(f"[{name}]" if name == choice else name for name in sorted(names))
            line = f"{'+' if group in extra else ''}{group}: {shown}"
            yield fill(line, WIDTH, subsequent_indent="  ", break_on_hyphens=False)


def _config_dirs(arguments: Sequence[str]) -> list[Path]:
    pairs = pairwise(arguments)
    given = [after for one, after in pairs if one in ("--config-dir", "-cd")]
    given += [one.partition("=")[2] for one in arguments if one.startswith("--config-dir=")]
    return [Path(folder) for folder in given]
