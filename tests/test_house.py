"""Imports point downwards in the list that the README gives."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "e2eve"


def floors() -> dict[str, int]:
    """Names of modules and packages in the README's list, with the line they stand on."""
    listing = (ROOT / "README.md").read_text().split("## The house")[1].split("```")[1]
    lines = [line for line in listing.split("e2eve/", 1)[1].splitlines() if line.startswith("  ")]
    found: dict[str, int] = {}
    for number, line in enumerate(lines):
        for name in re.findall(r"\w+(?=\.py\b|/)", line[:24] if number > 2 else line):
            found[name] = number
    return found


def imported(path: Path) -> Iterator[str]:
    """Modules and packages at the root of the package that a file imports, in functions too.

    What only a type checker reads does not count.
    """
    tree = ast.parse(path.read_text())
    tree.body = [n for n in tree.body if not (isinstance(n, ast.If) and "TYPE" in ast.dump(n.test))]
    for node in ast.walk(tree):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "e2eve" and len(parts) > 1:
                yield parts[1]


FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_downwards(path):
    order = floors()
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    verbs = {name for name, line in order.items() if line <= 2}
    for name in set(imported(path)) - {own}:
        assert name in order, f"{name} is not in the README's list"
        assert order[own] < order[name] or own in verbs, f"{own} imports {name}"
        assert name not in verbs, f"{own} imports the verb {name}"
