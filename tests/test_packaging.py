"""What a wheel holds, and how fast a verb answers."""

import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
VERBS = sorted(path.stem for path in (ROOT / "e2eve").glob("*.py") if '@verb("' in path.read_text())


def test_the_promised_verbs_are_there():
    assert {"train", "evaluate", "edit", "simulate", "validation_set"} <= set(VERBS)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> set[str]:
    """Names of the files in a wheel that is built here and now."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return set(zipfile.ZipFile(path).namelist())


def test_a_wheel_holds_every_configuration_and_packaged_weight(wheel):
    conf = {
        f"e2eve/conf/{path.relative_to(ROOT / 'conf').as_posix()}"
        for path in (ROOT / "conf").rglob("*.yaml")
    }
    assert conf <= wheel
    for folder in ("pretrained", "reporting/templates", "comparison/templates"):
        files = {p for p in (ROOT / "e2eve" / folder).rglob("*") if p.is_file()}
        assert files
        assert {path.relative_to(ROOT).as_posix() for path in files} <= wheel


def test_a_wheel_holds_a_console_script_for_each_verb(wheel):
    text = (ROOT / "pyproject.toml").read_text()
    for verb in VERBS:
        assert f'e2eve-{verb.replace("_", "-")} = "e2eve.{verb}:main"' in text
    assert not any(name.startswith(("tests/", "scripts/")) for name in wheel)


def call(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("verb", VERBS)
def test_help_answers_without_the_heavy_imports(verb):
    """Measured by what is imported, since clocks are noisy."""
    code = (
        f"import sys; sys.argv = ['{verb}', '--help']\n"
        f"from e2eve.{verb} import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'pytorch_lightning', 'wandb', 'cv2'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-500:]
    assert "==" in done.stdout


def test_a_typo_ends_in_one_sentence_and_a_non_zero_exit():
    began = time.monotonic()
    done = call("e2eve.train", "traner=cpu")
    assert done.returncode == 1
    assert "traner" in done.stderr
    assert "Traceback" not in done.stderr
    assert time.monotonic() - began < 30


def test_a_value_error_ends_in_one_sentence_and_a_non_zero_exit(tmp_path):
    done = call("e2eve.train", "task=nothing", f"run_dir={tmp_path}", "logger=csv")
    assert done.returncode == 1
    assert 'task is "nothing"' in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
