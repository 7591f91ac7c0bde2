"""Side by side: the same inputs from every run, small, and never another validation set's."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from e2eve.comparison import samples
from e2eve.comparison.runs import find_runs, read_run
from e2eve.comparison.samples import side_by_side
from tests.comparison.factories import Made, write_run


def link(path) -> str:
    return f"link to {path.parent.parent.parent.name}/{path.name}"


def shown(place, side=32, count=3):
    return side_by_side([read_run(run) for run in find_runs([place])], link, side, count)


def decoded(address: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))))


def test_every_run_shows_the_same_inputs_with_its_own_samples(tmp_path):
    for name, skill in (("a", 0.0), ("b", 0.6)):
        write_run(tmp_path / name, Made({"tokenizer": name}, skill=skill, saved=5))
    found = shown(tmp_path)
    assert [item.id for item in found.inputs] == ["00000", "00001", "00002"]
    assert all(item.source and item.driver for item in found.inputs)
    one, other = (strips["00001"] for strips in found.strips.values())
    assert len(one.samples) == 4 and one.link == "link to a/00001.png"
    pixels = [decoded(strip.samples[0][0]).astype(int) for strip in (one, other)]
    assert pixels[0].shape == (32, 32, 3)
    assert np.abs(pixels[0] - pixels[1]).max() > 20


def test_thumbnails_are_the_samples_in_their_order_and_never_enlarged(tmp_path):
    folder = write_run(tmp_path / "a", Made(saved=1, side=48))
    strip = np.asarray(Image.open(folder / "samples" / "inputs" / "00000.png")).astype(int)
    (item,) = shown(tmp_path, side=200).strips[folder].values()
    for n, (address, _) in enumerate(item.samples):
        seen = decoded(address)
        assert seen.shape == (48, 48, 3)
        assert np.abs(seen - strip[:, 48 * n : 48 * (n + 1)]).mean() < 6  # WebP is lossy


def test_runs_without_images_or_with_other_inputs_say_so(tmp_path):
    write_run(tmp_path / "a", Made({"tokenizer": "a"}))
    write_run(tmp_path / "b", Made({"tokenizer": "b"}))
    old = write_run(tmp_path / "old", Made({"tokenizer": "old"}, saved=0))
    other = write_run(tmp_path / "other", Made({"tokenizer": "x"}, validation_hash="cd" * 32))
    found = shown(tmp_path)
    assert found.missing.keys() == {old, other}
    assert "evaluate it again" in found.missing[old]
    assert "other inputs (sha256 cdcdcdcdcdcd…)" in found.missing[other]
    assert len(found.strips) == 2


def test_a_validation_set_that_was_changed_shows_no_source(tmp_path):
    folder = write_run(tmp_path / "a", Made())
    (folder / "validation_set" / "manifest.json").write_text('{"content_hash": "another"}')
    assert [item.source for item in shown(tmp_path).inputs] == [None] * 3


def test_the_validation_set_of_a_sweep_is_found_beside_its_runs(tmp_path):
    made = Made(overrides={"evaluation.validation_set": "elsewhere/common"})
    folder = write_run(tmp_path / "sweep" / "a", made)
    (folder / "validation_set").rename(tmp_path / "sweep" / "common")
    assert all(item.source for item in shown(tmp_path).inputs)


def test_only_old_runs_leave_nothing_to_show_and_nothing_fails(tmp_path):
    write_run(tmp_path / "old", Made(saved=0))
    found = shown(tmp_path)
    assert found.inputs == () and len(found.missing) == 1


def test_inputs_beyond_the_budget_are_left_out_and_counted(tmp_path, monkeypatch):
    write_run(tmp_path / "a", Made(saved=4))
    monkeypatch.setattr(samples, "BUDGET", 1)
    found = shown(tmp_path, count=4)
    assert (len(found.inputs), found.left_out) == (1, 3)


@pytest.mark.parametrize("count", [1, 9])
def test_as_many_inputs_as_asked_for_or_as_there_are(tmp_path, count):
    write_run(tmp_path / "a", Made(saved=4))
    assert len(shown(tmp_path, count=count).inputs) == min(4, count)
