"""Where a command writes: never over a file that no command has written."""

import itertools
from collections.abc import Iterable
from os.path import lexists
from pathlib import Path

from e2eve.checks import check_writable


def new_folder(wanted: str | Path, names: Iterable[str | Path]) -> Path:
    """The folder to write files of these names into: `wanted`, unless one of them is taken there.

    Then the first of wanted_2, wanted_3, … that does not exist. Nothing is created.

    Raises:
        ValueError: where `wanted` lies below a file, nothing can be written there, or it has no
            name that a number could follow.
    """
    wanted = Path(wanted)
    blocked = next(path for path in (wanted, *wanted.absolute().parents) if lexists(path))
    if not blocked.is_dir():
        raise ValueError(f"{blocked} is a file: give another folder to write into.")
    check_writable(wanted, "out")
    taken = [name for name in names if lexists(wanted / name)]
    if not taken:
        return wanted
    if wanted.name in ("", ".."):
        raise ValueError(f"{wanted.absolute()} holds {taken[0]} already: give a new folder.")
    numbered = (wanted.with_name(f"{wanted.name}_{n}") for n in itertools.count(2))
    return next(folder for folder in numbered if not lexists(folder))


PAGE = "default-src 'none'; img-src data: blob:"  # in the head of every page


def check_replaceable(page: Path, beside: Iterable[str | Path]) -> None:
    """Raises ValueError if a page and files beside it would replace what no earlier call has left.

    A page of ours is known by its head; where there is none, no file beside it is ours either.
    """
    taken = [path for path in (page, *(page.parent / name for name in beside)) if lexists(path)]
    ours = page.is_file() and PAGE in page.read_text(encoding="utf-8", errors="replace")
    if taken and not ours:
        raise ValueError(
            f"{taken[0]} is there and not of an earlier call: give another place to write to."
        )
