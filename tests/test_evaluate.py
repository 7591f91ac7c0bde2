"""The verbs validation_set and evaluate, from configuration to the files they leave."""

import json

import cv2
import pytest
from omegaconf import DictConfig

from e2eve.evaluate import evaluate
from e2eve.evaluation.results import read_results
from e2eve.evaluation.validation import ValidationSet
from e2eve.geometry import Box
from e2eve.reporting.grid import mask_image
from e2eve.validation_set import build
from tests.factories import compose, that_sees, tiny_editor

SMALL = [
    "image_size=32",
    "driver_size=16",
    "dataset.val.length=8",
    "device=cpu",
    "evaluation.num_inputs=3",
    "evaluation.num_references=4",
    "evaluation.num_distractors=3",
]


def validation_config(*overrides: str) -> DictConfig:
    return compose(*SMALL, *overrides, config_name="validation_set")


def evaluation_config(*overrides: str) -> DictConfig:
    return compose("device=cpu", "num_samples=2", "shown=2", *overrides, config_name="evaluate")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("sets") / "small"
    assert build(validation_config(f"out={out}")) == out / "index.html"
    return out


def test_a_validation_set_is_built_with_its_page(folder):
    validation = ValidationSet.load(folder)
    assert (len(validation), validation.name) == (3, "small")
    assert validation.manifest["extractor"] == "efficientnet_lite2"
    html = (folder / "index.html").read_text(encoding="utf-8")
    assert validation.content_hash in html


def test_nothing_is_built_into_a_folder_in_use(folder):
    with pytest.raises(ValueError, match="is not empty"):
        build(validation_config(f"out={folder}"))


def test_masks_of_a_folder_become_the_regions(tmp_path):
    mask = Box(4, 8, 36, 40).mask(64, 64)
    (tmp_path / "masks").mkdir()
    cv2.imwrite(str(tmp_path / "masks" / "one.png"), mask_image(mask))
    build(validation_config(f"out={tmp_path}/set", f"regions={tmp_path}/masks"))
    validation = ValidationSet.load(tmp_path / "set")
    assert set(validation.region_boxes) == {Box(2, 4, 18, 20)}
    assert validation.manifest["given_masks"] == 1


def test_too_few_images_are_said_before_networks_are_loaded(tmp_path, monkeypatch):
    monkeypatch.setattr("e2eve.features.build_extractor", None)
    with pytest.raises(ValueError, match=r"^evaluation\.num_inputs is 9 and the data set has 8"):
        build(validation_config(f"out={tmp_path}/set", "evaluation.num_inputs=9"))


def test_what_is_no_group_of_settings_is_no_metric(tmp_path):
    with pytest.raises(ValueError, match=r'metrics\.mine is "a\.B": give a group of settings'):
        evaluate(evaluation_config(f"run={tmp_path}", "+metrics.mine=a.B"))


def test_experiments_have_validation_sets():
    chosen = compose("+experiment=toyfaces_free_form", config_name="validation_set")
    assert chosen.out.startswith("validation_sets/")


def test_a_bundle_is_evaluated(folder, tmp_path):
    bundle = tiny_editor().save_pretrained(tmp_path / "run" / "bundle").parent
    (bundle / "metrics.csv").write_text("step,train/loss\n1,2.5\n2,2.0\n")
    (bundle / "config.yaml").write_text("name: a run\n")
    page = evaluate(evaluation_config(f"run={bundle}", f"validation_set={folder}"))
    assert page == bundle / "evaluation" / "small" / "report.html"
    found = json.loads((page.parent / "metrics.json").read_text())
    assert found["about"]["validation_hash"] == ValidationSet.load(folder).content_hash
    html = page.read_text(encoding="utf-8")
    assert "name: a run" in html and ">Training<" in html


def test_another_decoder_paints_what_is_evaluated(folder, tmp_path):
    """Whatever goes through the tokenizer; the editor's NLL is its own."""
    editor = tiny_editor()
    editor.save_pretrained(tmp_path / "run")
    that_sees(editor.source_tokenizer).save_pretrained(tmp_path / "decoder")
    call = [f"run={tmp_path}/run", f"validation_set={folder}", "num_samples=1"]
    for name, other in (("plain", "null"), ("seeing", tmp_path / "decoder")):
        evaluate(evaluation_config(*call, f"decoder={other}", f"out={tmp_path / name}"))
    plain, seeing = (read_results(tmp_path / name).systems for name in ("plain", "seeing"))
    for system in ("editor", "reconstruction", "paste_tokenized"):
        assert plain[system]["l1_real"] != seeing[system]["l1_real"]
    assert plain["editor"]["nll_inside"] == seeing["editor"]["nll_inside"]
    assert plain["source"]["seam"] == seeing["source"]["seam"] < plain["paste"]["seam"]


def test_an_evaluation_replaces_earlier_ones_and_nothing_else(folder, tmp_path):
    bundle, out = tiny_editor().save_pretrained(tmp_path / "bundle"), tmp_path / "out"
    call = (f"run={bundle}", f"validation_set={folder}", f"out={out}")
    out.mkdir()
    (out / "samples.png").write_bytes(b"mine")
    with pytest.raises(ValueError, match=r"samples\.png is there and not of an earlier call"):
        evaluate(evaluation_config(*call))
    assert (out / "samples.png").read_bytes() == b"mine"
    (out / "samples.png").unlink()
    evaluate(evaluation_config(*call))
    mine = out / "samples" / "inputs" / "mine.png"
    mine.write_bytes(b"mine")
    evaluate(evaluation_config(*call, "saved=1"))
    assert {path.name for path in mine.parent.iterdir()} == {"00000.png", "mine.png"}
    (out / "status.json").write_text("{}")
    with pytest.raises(ValueError, match=r"out is the folder of a run: give out="):
        evaluate(evaluation_config(*call))


def test_a_run_without_validation_set_says_what_to_give(tmp_path):
    with pytest.raises(ValueError, match=r"run: nowhere is no bundle"):
        evaluate(evaluation_config("run=nowhere"))
    with pytest.raises(ValueError, match=r"no validation_set folder: give validation_set="):
        evaluate(evaluation_config(f"run={tmp_path}"))
    with pytest.raises(ValueError, match="absent does not exist: give a folder"):
        evaluate(evaluation_config(f"run={tmp_path}", "validation_set=absent"))
    with pytest.raises(ValueError, match="run is missing"):
        evaluate(evaluation_config())
