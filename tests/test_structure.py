"""The structure of the package: imports point downwards, and what the report counts is right."""

import builtins
import dis
import importlib
from collections.abc import Iterator
from pathlib import Path
from types import CodeType

import pytest

from scripts.structure import Layout, Package, main

ROOT = Path(__file__).parents[1]

README = """
```
cook/        what can be chosen
kitchen/     the package
  bake.py fry.py
             the commands
  oven/      heats
  dough.py   kneads
```
"""
FILES = {
    "bake.py": "def main():\n    from kitchen.oven import heat\n",
    "fry.py": "import kitchen.dough\nfrom kitchen.oven import Heat\n",
    "oven/__init__.py": "from kitchen.oven.grill import heat\nfrom kitchen.oven.fan import Heat\n",
    "oven/grill.py": "import kitchen.dough\nfrom kitchen.oven import knob\ndef heat(): ...\n",
    "oven/fan.py": "class Heat: ...\n",
    "oven/knob.py": "class Heat: ...\n",
    "oven/hydra_plugins/timer.py": "from kitchen.oven import ring\n",
    "oven/ring.py": "",
    "dough.py": "",
}


def kitchen(folder: Path, **changes: str) -> Package:
    (folder / "README.md").write_text(README)
    for name, text in {**FILES, **changes}.items():
        path = folder / "kitchen" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Package(folder, "kitchen")


def test_imports_point_downwards():
    assert Package(ROOT).upward() == []


def test_the_layout_knows_commands_and_the_order():
    layout = Layout.read(README, "kitchen")
    assert layout.commands == {"kitchen.bake", "kitchen.fry"}
    assert layout.allows("kitchen.bake", "kitchen.oven")
    assert layout.allows("kitchen.oven", "kitchen.dough")
    assert not layout.allows("kitchen.dough", "kitchen.oven")
    assert not layout.allows("kitchen.bake", "kitchen.fry")
    with pytest.raises(ValueError, match="no list of attic/"):
        Layout.read(README, "attic")


def test_a_name_that_a_package_passes_on_is_imported_from_where_it_is_defined(tmp_path):
    assert kitchen(tmp_path).single_importers() == {
        "kitchen.oven.grill": "kitchen.bake",
        "kitchen.oven.fan": "kitchen.fry",
        "kitchen.oven.knob": "kitchen.oven.grill",
    }


@pytest.mark.parametrize(
    ("file", "text", "wrong"),
    [
        (
            "dough.py",
            "def f():\n    from kitchen import oven",
            "kitchen.dough imports kitchen.oven",
        ),
        ("oven/fan.py", "from kitchen.bake import main", "kitchen.oven.fan imports kitchen.bake"),
        ("attic.py", "import kitchen.dough", "kitchen.attic is not in the README's list"),
    ],
)
def test_an_import_that_points_upward_is_found(tmp_path, file, text, wrong):
    assert kitchen(tmp_path).upward() == []
    assert kitchen(tmp_path, **{file: text}).upward() == [wrong]


def test_statements_repeated_names_and_long_functions_are_counted(tmp_path):
    long = "def f():\n" + "    f()\n" * 90
    package = kitchen(tmp_path, **{"dough.py": long})
    assert package.statements["kitchen.dough"] == 91
    assert list(package.repeated()) == ["class Heat: kitchen.oven.fan, kitchen.oven.knob"]
    assert list(package.long()) == ["kitchen.dough.f: 91 lines"]


def test_too_much_is_an_error(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("scripts.structure.Package", lambda root: kitchen(root))
    assert main(tmp_path) == 0
    upward = {"dough.py": "from kitchen import oven"}
    monkeypatch.setattr("scripts.structure.Package", lambda root: kitchen(root, **upward))
    assert main(tmp_path) == 1
    assert "1 imports that point upward of at most 0: too many" in capsys.readouterr().out


def test_functions_read_only_names_that_there_are():
    """What linters look for, were dimensions such as "batch" in annotations no names to them."""
    paths = [path for path in (ROOT / "e2eve").rglob("*.py") if "hydra_plugins" not in path.parts]
    unknown = []
    for path in paths:
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        module = importlib.import_module(name)
        for code in nested_codes(compile(path.read_text(), str(path), "exec")):
            read = {step.argval for step in dis.get_instructions(code) if step.opname == GLOBAL}
            known = {*vars(module), *vars(builtins)}
            unknown += [f"{name}.{code.co_name}: {one}" for one in read - known]
    assert unknown == []


GLOBAL = "LOAD_GLOBAL"


def nested_codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from nested_codes(inner)
