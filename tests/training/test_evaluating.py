"""A run is evaluated at its end and as it goes on, by the same means."""

import json

import pytest

from e2eve.training.run import train
from tests.factories import TINY, UNTRAINED, compose

SMALL = (
    "evaluation=standard evaluation.enabled=true evaluation.num_inputs=4 "
    "evaluation.num_references=8 evaluation.num_distractors=4 evaluation.num_samples=2 "
    "evaluation.every_n_epochs=1 "
    "dataset.train.length=4 dataset.val.length=16 trainer.max_steps=4"
).split()


def test_a_run_ends_with_its_report_and_shows_samples_on_the_way(tmp_path):
    report = train(compose(*TINY, *UNTRAINED, *SMALL, f"run_dir={tmp_path}"))
    assert report == tmp_path / "report.html"
    assert sorted(p.name for p in (tmp_path / "samples").glob("*.png")) == [
        "step_000002.png",
        "step_000004.png",
    ]
    header = (tmp_path / "metrics.csv").read_text().splitlines()[0]
    assert "evaluation/editor/recall_1" in header
    found = json.loads((tmp_path / "metrics.json").read_text())
    manifest = json.loads((tmp_path / "validation_set" / "manifest.json").read_text())
    assert found["about"]["validation_hash"] == manifest["content_hash"]


def test_a_finished_run_is_left_alone_and_evaluates_the_same_again(tmp_path):
    config = compose(*TINY, *UNTRAINED, *SMALL, f"run_dir={tmp_path}")
    report = train(config)
    written = report.stat().st_mtime_ns
    first = json.loads((tmp_path / "metrics.json").read_text())
    assert train(config) == report
    assert report.stat().st_mtime_ns == written
    (tmp_path / "status.json").unlink()
    train(config)
    assert report.stat().st_mtime_ns > written
    again = json.loads((tmp_path / "metrics.json").read_text())
    assert first["systems"] == again["systems"]


def test_too_few_images_are_refused_before_the_training(tmp_path, monkeypatch):
    settings = [*SMALL, "dataset.val.length=3"]
    monkeypatch.setattr("e2eve.training.tasks.build_editor", None)  # nor are networks loaded
    with pytest.raises(ValueError, match="num_inputs is 4 and the data set has 3 images"):
        train(compose(*TINY, *UNTRAINED, *settings, f"run_dir={tmp_path}"))
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("sampling.top_p=1.5", "top_p is 1.5"),
        ("evaluation.num_samples=0", "num_samples is 0"),
    ],
)
def test_sampling_out_of_range_is_refused_before_the_training(tmp_path, setting, message):
    with pytest.raises(ValueError, match=message):
        train(compose(*TINY, *UNTRAINED, *SMALL, setting, f"run_dir={tmp_path}"))
    assert not (tmp_path / "checkpoints").exists()


def test_a_validation_set_for_another_size_is_refused_before_the_training(tmp_path):
    train(compose(*TINY, *UNTRAINED, *SMALL, f"run_dir={tmp_path / 'a'}"))
    other = [f"evaluation.validation_set={tmp_path / 'a/validation_set'}", "driver_size=8"]
    with pytest.raises(ValueError, match="driver_size is 8 and the validation set's is 16"):
        train(compose(*TINY, *UNTRAINED, *SMALL, *other, f"run_dir={tmp_path / 'b'}"))
    assert not (tmp_path / "b/checkpoints").exists()


def test_other_counts_than_those_of_the_run_s_validation_set_are_refused(tmp_path):
    train(compose(*TINY, *UNTRAINED, *SMALL, f"run_dir={tmp_path}"))
    with pytest.raises(ValueError, match=r"num_inputs 4 and evaluation\.num_inputs is 5: remove"):
        train(compose(*TINY, *UNTRAINED, *SMALL, "evaluation.num_inputs=5", f"run_dir={tmp_path}"))
