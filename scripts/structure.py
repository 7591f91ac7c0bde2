"""The structure of the package in numbers: `python scripts/structure.py [root of a checkout]`.

- Statements: nodes of the syntax tree that are `ast.stmt`, over every `e2eve/**/*.py`.
- Single importers: modules of `e2eve` that exactly one other module of it imports, inside functions
  and under `TYPE_CHECKING` too. A name that a package's `__init__` re-exports is imported from the
  module that defines it, by whoever imports it from the package; the `__init__` itself imports
  nothing. Not counted: commands (which the README's list names first), `__init__`, plugins, and
  what only a plugin imports: Hydra reads each plugin at every start, so one holds nothing else.
- Imports that point upward: against the order of the list in the README's layout, or to a command.
- File names and class names that occur more than once, files and functions that are too long.

Exit code 1 above the limits for statements, single importers and upward imports.
"""

import ast
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

# Never more than there are today; the aims are 8000 statements and 15 single importers.
STATEMENTS, SINGLE_IMPORTERS, UPWARD_IMPORTS = 13200, 28, 0
FILE_LINES, FUNCTION_LINES = 400, 80

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Import(NamedTuple):
    """`import module` where there is no name, else `from module import name as alias`."""

    module: str
    name: str | None = None
    alias: str | None = None


class Package:
    """The sources of a checkout's package, parsed.

    Args:
        root: folder of README.md and of the package.
        name: of the package.
    """

    def __init__(self, root: Path, name: str = "e2eve") -> None:
        self.root, self.name = root, name
        self.paths = {self._module(path): path for path in sorted((root / name).rglob("*.py"))}
        self.trees = {module: ast.parse(path.read_text()) for module, path in self.paths.items()}

    def _module(self, path: Path) -> str:
        parts = path.relative_to(self.root).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def is_init(self, module: str) -> bool:
        return self.paths[module].name == "__init__.py"

    def top(self, module: str) -> str:
        """The module or package at the root of the package that a module belongs to."""
        return ".".join(module.split(".")[:2])

    @cached_property
    def statements(self) -> Counter[str]:
        """Statements by module or package at the root."""
        counts: Counter[str] = Counter()
        for module, tree in self.trees.items():
            counts[self.top(module)] += sum(isinstance(node, ast.stmt) for node in ast.walk(tree))
        return counts

    @cached_property
    def imports(self) -> dict[str, list[Import]]:
        """What each module imports of the package, as it is written."""
        found: dict[str, list[Import]] = {module: [] for module in self.paths}
        for module, tree in self.trees.items():
            for node in ast.walk(tree):
                if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    written = [Import(node.module, a.name, a.asname or a.name) for a in node.names]
                elif isinstance(node, ast.Import):
                    written = [Import(alias.name) for alias in node.names]
                else:
                    continue
                found[module] += [one for one in written if one.module.split(".")[0] == self.name]
        return found

    def source(self, wanted: Import) -> str | None:
        """The module that an import reads: of a name that packages re-export, where it is from."""
        while wanted.name and self._is_package(wanted.module):
            again = [
                one for one in self.imports[wanted.module] if one.alias and one.alias == wanted.name
            ]
            if not again:
                break
            wanted = again[0]
        inner = f"{wanted.module}.{wanted.name}"
        module = inner if inner in self.paths else wanted.module
        return module if module in self.paths else None

    def _is_package(self, module: str) -> bool:
        return module in self.paths and self.is_init(module)

    def importers(self) -> dict[str, set[str]]:
        """For each module the others that import it."""
        found = defaultdict(set)
        for module, imports in self.imports.items():
            if not self.is_init(module):
                for source in {self.source(one) for one in imports} - {None, module}:
                    found[source].add(module)
        return {module: found[module] for module in self.paths}

    def single_importers(self) -> dict[str, str]:
        """Modules with exactly one importer, and that importer."""
        single = {m: min(others) for m, others in self.importers().items() if len(others) == 1}
        return {
            module: other
            for module, other in single.items()
            if not self.is_init(module)
            and not is_plugin(module)
            and not is_plugin(other)
            and module not in self.layout.commands
        }

    @cached_property
    def layout(self) -> "Layout":
        return Layout.read((self.root / "README.md").read_text(), self.name)

    def upward(self) -> list[str]:
        """A sentence for each import that points upward, and for what the list leaves out."""
        wrong = set()
        for module, imports in self.imports.items():
            own = self.top(module)
            if own == self.name:  # the package's own __init__ re-exports its public names
                continue
            if own not in self.layout.lines:
                wrong.add(f"{own} is not in the README's list")
                continue
            for wanted in {self.top(self.source(one) or one.module) for one in imports}:
                if wanted not in {own, self.name} and not self.layout.allows(own, wanted):
                    wrong.add(f"{module} imports {wanted}")
        return sorted(wrong)

    def repeated(self) -> Iterator[str]:
        """File names, and class names, of more than one module."""
        files, classes = defaultdict(list), defaultdict(list)
        for module, tree in self.trees.items():
            if not self.is_init(module):
                files[f"{module.split('.')[-1]}.py"].append(module)
            for node in tree.body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    classes[f"class {node.name}"].append(module)
        for name, modules in sorted({**files, **classes}.items()):
            if len(modules) > 1:
                yield f"{name}: {', '.join(modules)}"

    def long(self) -> Iterator[str]:
        """Files and functions above their limits."""
        for module, tree in self.trees.items():
            lines = len(self.paths[module].read_text().splitlines())
            if lines > FILE_LINES:
                yield f"{module}: {lines} lines"
            for node in ast.walk(tree):
                if isinstance(node, Function):
                    lines = (node.end_lineno or node.lineno) - node.lineno + 1
                    if lines > FUNCTION_LINES:
                        yield f"{module}.{node.name}: {lines} lines"


class Layout(NamedTuple):
    """The README's list of modules and packages.

    Attributes:
        lines: the line that each name at the root of the package stands on.
        commands: modules named before the first package.
    """

    lines: dict[str, int]
    commands: set[str]

    @classmethod
    def read(cls, text: str, package: str) -> "Layout":
        """From the indented lines below `package/` in a block of code.

        Raises:
            ValueError: if there is no such list.
        """
        listing = re.search(rf"^```\n(?:[^`]*\n)?{package}/.*\n((?:  .*\n)+)", text, re.MULTILINE)
        if listing is None:
            raise ValueError(f"README.md has no list of {package}/: give one in a block of code.")
        lines: dict[str, int] = {}
        for number, line in enumerate(listing[1].splitlines()):
            beginning = re.match(r"  (?:\w+(?:\.py|/) *)+", line)
            for name in re.findall(r"\w+(?=\.py|/)", beginning[0] if beginning else ""):
                lines[f"{package}.{name}"] = number
        first = re.search(r"^  (\w+)/", listing[1], re.MULTILINE)
        last = lines[f"{package}.{first[1]}"] if first else 0
        return cls(lines, {name for name, line in lines.items() if line < last})

    def allows(self, own: str, wanted: str) -> bool:
        """Whether `own` may import `wanted`, which stands below it and is no command."""
        known = wanted in self.lines and wanted not in self.commands
        return known and (own in self.commands or self.lines[own] < self.lines[wanted])


def is_plugin(module: str) -> bool:
    return "hydra_plugins" in module.split(".")


def main(root: Path) -> int:
    """Prints the report; 1 if a limit is exceeded, 0 otherwise."""
    package = Package(root)
    single, upward = package.single_importers(), package.upward()
    total = package.statements.total()
    for heading, lines in {
        "Statements": [f"{n:6d} {name}" for name, n in sorted(package.statements.items())],
        "Modules with a single importer": [f"{a} ← {b}" for a, b in single.items()],
        "Imports that point upward": upward,
        "Names that occur more than once": [*package.repeated()],
        f"Files above {FILE_LINES} lines, functions above {FUNCTION_LINES}": [*package.long()],
    }.items():
        print(f"{heading}:", *(lines or ["none"]), sep="\n  ")
    exceeded = False
    for count, limit, what in (
        (total, STATEMENTS, "statements"),
        (len(single), SINGLE_IMPORTERS, "modules with a single importer"),
        (len(upward), UPWARD_IMPORTS, "imports that point upward"),
    ):
        exceeded |= count > limit
        print(f"{count} {what} of at most {limit}{': too many' if count > limit else ''}")
    return int(exceeded)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1]))
