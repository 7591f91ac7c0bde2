"""What a wheel holds, and how fast a command answers."""

import importlib
import pkgutil
import re
import subprocess
import sys
import time
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

import e2eve

ROOT = Path(__file__).parents[1]
COMMANDS = sorted(
    path.stem
    for path in (ROOT / "e2eve").glob("*.py")
    if re.search(r"^(@|main = )command\(", path.read_text(), re.MULTILINE)
)


TEMPLATES = [f"{package}/templates" for package in ("reporting", "comparison", "app_page")]


def test_the_promised_commands_are_there():
    assert {"train", "evaluate", "edit", "simulate", "validation_set"} <= set(COMMANDS)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> set[str]:
    """Names of the files in a wheel that is built here and now."""
    folder = tmp_path_factory.mktemp("wheel")
    line = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(line, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return set(zipfile.ZipFile(path).namelist())


def test_a_wheel_holds_every_configuration_and_packaged_weight(wheel):
    conf = {
        f"e2eve/conf/{path.relative_to(ROOT / 'conf').as_posix()}"
        for path in (ROOT / "conf").rglob("*.yaml")
    }
    assert conf <= wheel
    for folder in ("pretrained", *TEMPLATES):
        files = {p for p in (ROOT / "e2eve" / folder).rglob("*") if p.is_file()}
        assert files
        assert {path.relative_to(ROOT).as_posix() for path in files} <= wheel


def test_packaged_weights_weigh_little():
    weights = (ROOT / "e2eve/pretrained").glob("*/*.safetensors")
    assert sum(path.stat().st_size for path in weights) <= 25e6


def test_a_wheel_says_that_it_is_typed(wheel):
    assert "e2eve/py.typed" in wheel


def test_a_wheel_holds_a_console_script_for_each_command(wheel):
    text = (ROOT / "pyproject.toml").read_text()
    for command in COMMANDS:
        assert f'e2eve-{command.replace("_", "-")} = "e2eve.{command}:main"' in text
    assert not any(name.startswith(("tests/", "scripts/")) for name in wheel)


def call(*arguments: str) -> subprocess.CompletedProcess:
    line = [sys.executable, "-m", *arguments]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_answers_without_the_heavy_imports(command):
    """Measured by what is imported, since clocks are noisy."""
    code = (
        f"import sys; sys.argv = ['{command}', '--help']\n"
        f"from e2eve.{command} import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'pytorch_lightning', 'wandb', 'cv2'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-500:]
    assert "Options, with their defaults" in done.stdout


def test_a_typo_ends_in_one_sentence_and_a_non_zero_exit():
    began = time.monotonic()
    done = call("e2eve.train", "traner=cpu")
    assert done.returncode == 2
    assert "traner" in done.stderr
    assert "Traceback" not in done.stderr
    assert time.monotonic() - began < 30


def test_a_value_error_ends_in_one_sentence_and_a_non_zero_exit(tmp_path):
    done = call("e2eve.train", "task=nothing", f"run_dir={tmp_path}", "logger=csv")
    assert done.returncode == 2
    assert 'task is "nothing"' in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_every_module_can_be_imported():
    for module in pkgutil.walk_packages(e2eve.__path__, "e2eve."):
        importlib.import_module(module.name)


def test_continuous_integration_tries_the_oldest_and_the_newest_python():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    versions = re.findall(r"Python :: (3\.\d+)", " ".join(project["classifiers"]))
    assert project["requires-python"] == f">={versions[0]}"
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    matrix = workflow["jobs"]["tests"]["strategy"]["matrix"]["include"]
    assert [entry["python"] for entry in matrix] == versions


def test_a_commit_is_checked_by_what_make_lint_runs():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    (repository,) = config["repos"]
    assert repository["repo"] == "local"  # nothing is downloaded
    assert [hook["entry"] for hook in repository["hooks"]] == ["make lint"]
