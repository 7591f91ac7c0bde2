"""The present code opens, evaluates and compares what revision 0d80726 wrote, and draws the same
edits with it; see tests/fixtures/README.md.
"""

import csv
import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from e2eve import Box, Editor, Tokenizer
from e2eve.comparison.dashboard_page import write_dashboard
from e2eve.dashboard import settings_of
from e2eve.data.images import read_image, to_tensor
from e2eve.evaluate import evaluate
from e2eve.evaluation.results import read_results
from e2eve.evaluation.validation import ValidationSet
from e2eve.reporting.progress import silent
from e2eve.training.run import train
from tests.factories import TINY, compose

OLDER = Path(__file__).parent / "fixtures" / "older"
EDITORS = ("editor_separate", "editor_shared")
BOX = Box(8, 8, 24, 24)
PARTS = ("source", "driver")
VALUES = json.loads((OLDER / "values.json").read_text())
HASH = "c1c1a386599f05d03bf23cf1262c643239c2fa1d3fc54febb1c4c6b3fc86a56a"


@pytest.fixture
def older(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the files in the working directory, to which their paths are relative."""
    shutil.copytree(OLDER, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def images(kind: str) -> torch.Tensor:
    """The `sources` or `drivers` of the validation set."""
    files = sorted((OLDER / "validation_set" / kind).iterdir())
    return to_tensor(np.stack([read_image(path) for path in files]))


def compared(*runs: str) -> Path:
    """The dashboard's page of these runs."""
    overrides = (f"runs=[{','.join(runs)}]", "out=page.html")
    return write_dashboard(settings_of(compose(*overrides, config_name="dashboard")), silent)


@pytest.mark.parametrize("run", EDITORS)
def test_an_older_editor_reads_computes_and_samples_the_same_ids(run):
    editor, recorded = Editor.from_pretrained(OLDER / run), VALUES["editors"][run]
    sources, region = images("sources"), torch.from_numpy(BOX.mask(32, 32))
    with torch.no_grad():
        targets = editor.source_tokenizer.encode(sources)
        masked = editor.source_tokenizer.encode(sources.masked_fill(region, -1.0))
        drivers = editor.driver_tokenizer.encode(images("drivers"))
        logits = editor.logits(drivers, masked, targets)[:, ::5, ::7]
    assert targets.tolist() == recorded["targets"]
    assert masked.tolist() == recorded["masked"]
    assert drivers.tolist() == recorded["drivers"]
    torch.testing.assert_close(logits, torch.tensor(recorded["logits"]), atol=1e-4, rtol=1e-4)
    assert editor.sample(drivers, masked, num_samples=2, seed=3).tolist() == recorded["samples"]


@pytest.mark.parametrize("run", EDITORS)
@pytest.mark.parametrize(
    ("kind", "options"), [("plain", {}), ("kept", {"guidance": 2.0, "preserve": "tokens"})]
)
def test_an_older_editor_paints_the_same_edits(run, kind, options, monkeypatch):
    monkeypatch.setattr("e2eve.editor.RANKED_BY", "efficientnet_lite0_maps")  # as it was
    source, driver = (OLDER / "validation_set" / f"{part}s/00000.png" for part in PARTS)
    editor = Editor.from_pretrained(OLDER / run)
    edits = editor.edit(source, driver, BOX, num_samples=2, seed=1, **options)
    recorded = VALUES["edits"][f"{run}_{kind}"]
    assert edits.numbers == recorded["numbers"]
    assert edits.scores == pytest.approx(recorded["scores"], rel=1e-4)
    pixels = np.stack([np.asarray(image) for image in edits.images]).astype(int)
    with np.load(OLDER / "pixels.npz") as expected:
        assert np.abs(pixels - expected[f"{run}_{kind}"]).max() <= 1


@pytest.mark.parametrize("run", EDITORS)
def test_an_older_editor_is_measured_the_same_on_an_older_validation_set(older, run):
    options = ["validation_set=validation_set", "num_samples=2", "out=out"]
    options += ["perceptual=efficientnet_lite0"]
    evaluate(compose(f"run={run}", *options, config_name="evaluate"))
    Path("recorded").mkdir()
    Path("recorded/metrics.json").write_text(json.dumps(VALUES["metrics"][run]))
    expected, found = (read_results(folder) for folder in ("recorded", "out"))
    compared = {name: found.numbers()[name] for name in expected.numbers()}
    assert compared == pytest.approx(expected.numbers(), rel=1e-4, abs=1e-4)
    assert {info.key for info in expected.infos} <= {info.key for info in found.infos}


def test_an_older_runs_own_validation_set_is_found(older):
    report = evaluate(compose("run=editor_separate", "num_samples=1", config_name="evaluate"))
    assert report == Path("editor_separate/evaluation/editor_separate/report.html")


def test_an_older_validation_set_has_the_hash_that_it_had():
    assert ValidationSet.load(OLDER / "validation_set").content_hash == HASH


def test_older_runs_stand_on_the_dashboard_beside_each_other(older):
    page = compared("editor_separate", "editor_shared").read_text()
    for run in EDITORS:
        assert run in page
        assert f"{read_results(older / run).means['l1_real']:.3f}" in page


def test_an_unfinished_older_run_does_not_hinder_the_dashboard(older):
    assert compared("editor_interrupted", "editor_shared").exists()


def test_older_tokenizers_reconstruct_what_they_were_given():
    tokenizer = Tokenizer.from_pretrained(OLDER / "source_tokenizer")
    with torch.no_grad():
        ids = tokenizer.encode(images("sources"))
    assert ids.tolist() == VALUES["editors"]["editor_shared"]["targets"]


def test_training_on_older_tokenizers_gives_the_losses_that_it_gave(older):
    parts = "tokenizer=separate tokenizer.source=source_tokenizer tokenizer.driver=driver_tokenizer"
    train(compose(*TINY, *parts.split(), "run_dir=training"))
    with Path("training/metrics.csv").open() as file:
        losses = [float(row["train/loss"]) for row in csv.DictReader(file) if row["train/loss"]]
    assert losses == pytest.approx(VALUES["losses"], rel=1e-5)


@pytest.mark.parametrize("run", ["editor_interrupted", "editor_shared"])
def test_an_older_run_is_not_resumed_and_left_as_it_is(older, run, caplog):
    before = {path: path.read_bytes() for path in Path(run).rglob("*") if path.is_file()}
    caplog.set_level(logging.WARNING)
    settings = ["trainer.max_steps=1000", "tokenizer.source=source_tokenizer"]
    with pytest.raises(ValueError, match="a run of another version of e2eve") as refusal:
        train(compose(*TINY, *settings, f"run_dir={run}", f"name={run}"))
    assert str(refusal.value).count("\n") == 0
    after = {path: path.read_bytes() for path in Path(run).rglob("*") if path.is_file()}
    assert {path: after[path] for path in before} == before
