"""The card says what the run's own files say."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

from e2eve.editor import Editor
from e2eve.evaluation.model_card import write_model_card
from e2eve.evaluation.results import read_results
from e2eve.runs import RunFolder

OLDER = Path(__file__).parents[1] / "fixtures/older/editor_shared"


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    shutil.copytree(OLDER, tmp_path / "run")
    return RunFolder(tmp_path / "run")


def card(run: RunFolder) -> str:
    return write_model_card(run, Editor.from_pretrained(run.path), "faces").read_text()


def test_it_holds_the_numbers_of_the_evaluation(run):
    results = read_results(run.path)
    written = card(run)
    assert (run.bundle / "README.md").read_text() == written
    editor = next(line for line in written.splitlines() if line.startswith("| Editor |"))
    for info in results.infos:
        if info.shown and info.key in results.means:
            assert format(results.means[info.key], info.spec) in editor
            assert f"| {info.label}" in written
    assert f"On {results.about['inputs']} inputs" in written


def test_it_shows_samples_and_the_command_without_a_machines_paths(run):
    (run / ".hydra").mkdir(exist_ok=True)
    (run / ".hydra/overrides.yaml").write_text("- steps=7\n- dataset.root=/home/me/photos\n")
    Image.new("RGB", (8, 8)).save(run / "samples.png")
    written = card(run)
    assert "![Edits](samples.png)" in written
    assert (run.bundle / "samples.png").read_bytes() == (run / "samples.png").read_bytes()
    assert "python -m e2eve.train steps=7`" in written
    assert "/home" not in written


def test_without_an_evaluation_it_claims_nothing(run):
    (run / "metrics.json").unlink()
    written = card(run)
    assert "Nothing has been measured." in written
    assert "![Edits]" not in written
