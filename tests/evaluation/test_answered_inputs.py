"""Validation sets of toy faces whose right edits are known."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from e2eve.conditioning import region_cells
from e2eve.data.toyfaces import ToyFaces, answers
from e2eve.evaluation.answered_inputs import build_answered_set
from e2eve.evaluation.evaluator import evaluate
from e2eve.evaluation.report import write_report
from e2eve.evaluation.results import read_results
from e2eve.evaluation.settings import DrawingSettings
from e2eve.evaluation.systems import mismatch_shift
from e2eve.evaluation.validation import ValidationSet
from e2eve.tokenizers import Tokenizer
from e2eve.transformer import EditTokens, TokenNLL
from e2eve.validation_set import build, validation_page
from tests.evaluation.conftest import SIMULATION, Noise, Thumbnail
from tests.evaluation.test_evaluator import FakeEditor
from tests.factories import compose

SIZES = {"num_inputs": 8, "num_references": 6, "num_distractors": 4}
NUMBERS = ("answer_match_changed", "answer_match_kept", "nearer_than_poisson", "nearer_than_source")


def answered_set(**options) -> ValidationSet:
    options = {"images": ToyFaces("val", 64, length=200), **SIZES, **options}
    simulation = replace(SIMULATION, image_size=64, driver_size=32)
    return build_answered_set(simulation=simulation, extractor=Thumbnail(), **options)


@pytest.fixture(scope="module")
def answered() -> ValidationSet:
    """Built without the search for pixels that are not determined, which takes long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answers, "_alternatives", lambda edit: ())
        return answered_set()


class Pixels(Tokenizer):
    """Loses nothing: the id of a pixel is its colour."""

    def __init__(self) -> None:
        nn.Module.__init__(self)

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        red, green, blue = ((images + 1) * 127.5).round().long().flatten(2).unbind(1)
        return (red * 256 + green) * 256 + blue

    def decode(self, ids: torch.Tensor, sources=None, regions=None) -> torch.Tensor:
        side = round(ids.shape[1] ** 0.5)
        levels = torch.stack([ids // 256**2, ids // 256 % 256, ids % 256], 1)
        return levels.unflatten(2, (side, side)) / 127.5 - 1


class Exact(FakeEditor):
    """Returns the source itself, to the bit."""

    image_size = 64

    def __init__(self) -> None:
        super().__init__(driver_size=32)
        self.source_tokenizer = Pixels()

    def nll(self, tokens):
        return TokenNLL(torch.ones(tokens.target_ids.shape), tokens.region_cells)

    def tokenize(self, inputs):
        ids = self.source_tokenizer.encode(inputs.sources)
        return EditTokens(ids, ids, ids, region_cells(inputs.regions, 64))


@pytest.fixture(scope="module")
def evaluation(answered):
    settings = DrawingSettings(num_samples=2, batch_size=3)
    return evaluate(Exact(), answered, Thumbnail(), None, settings=settings)


def test_the_answer_differs_from_the_source_inside_the_region_only(answered):
    differs = (answered.sources != answered.answers.images).any(-1)
    assert not differs[~answered.regions].any()
    assert (answered.answers.changed <= differs).all()
    assert not (answered.answers.changed & answered.answers.kept).any()
    assert ((answered.answers.changed | answered.answers.kept) <= answered.regions).all()


def test_groups_take_turns_and_half_of_each_keeps_its_skin(answered):
    assert [item.groups["edit"] for item in answered.inputs[:4]] == [
        "eyes", "mouth", "hat", "clothes",
    ]  # fmt: skip
    assert len({tuple(item.groups.values()) for item in answered.inputs}) == 8


def test_no_face_is_used_twice(answered):
    names = [name for item in answered.inputs for name in (item.source, item.driver)]
    assert len({*names, *answered.reference_names}) == 2 * 8 + 6
    assert not {*answered.distractor_names} & {*names}


def test_a_set_with_answers_is_opened_as_it_was_saved(answered, tmp_path):
    opened = ValidationSet.load(answered.save(tmp_path / "set"))
    assert opened.inputs == answered.inputs
    assert opened.content_hash == answered.content_hash
    assert opened.answers is not None
    for one, other in zip(opened.answers, answered.answers, strict=True):
        assert np.array_equal(one, other)


def test_a_set_without_answers_says_nothing_of_them(validation, tmp_path):
    folder = validation.save(tmp_path / "set")
    assert not (folder / "answers").exists()
    first = json.loads((folder / "inputs.jsonl").read_text().splitlines()[0])
    assert {*first} == {
        "id", "source", "driver", "region_box", "driver_box", "paired_driver_box",
    }  # fmt: skip
    assert ValidationSet.load(folder).answers is None


def test_refusals_are_counted(answered):
    refused = answered.manifest["refused"]
    assert {*refused} == {"eyes", "mouth", "hat", "clothes"}
    assert refused["hat"]["the driver shows no hat"] > 0


def test_the_page_of_a_set_shows_answers(answered):
    html = validation_page(answered).html()
    assert "pixels outside change" in html or "against the rules of faces" in html


def test_mismatched_drivers_are_of_the_same_group(answered):
    renamed = (replace(item, driver=f"{item.driver} again") for item in answered.inputs)
    many = replace(answered, inputs=(*answered.inputs, *renamed))
    shift = mismatch_shift(many)
    for n, item in enumerate(many.inputs):
        assert many.inputs[n - shift].groups == item.groups


def test_the_source_never_comes_nearer_than_itself_and_keeps_what_is_kept(evaluation):
    source = evaluation.results.systems["source"]
    assert source["nearer_than_source"] == 0
    assert source["answer_match_kept"] > 0.99
    assert source["answer_match_changed"] < 0.3


def test_the_tokenized_blend_is_no_nearer_than_itself(evaluation):
    assert evaluation.results.systems["poisson_tokenized"]["nearer_than_poisson"] == 0


def test_an_answer_that_no_tokenizer_blurs_is_right(evaluation):
    """The tokenizer of this editor changes nothing."""
    ceiling = evaluation.results.systems["answer_tokenized"]
    assert ceiling["answer_match_changed"] == ceiling["answer_match_kept"] == 1
    assert ceiling["nearer_than_poisson"] == ceiling["nearer_than_source"] == 1
    assert ceiling["answer_l1_changed"] == pytest.approx(0, abs=1e-6)


def test_files_and_report_have_each_group_with_its_interval(evaluation, tmp_path):
    evaluation.save(tmp_path)
    table = read_results(tmp_path).table("groups.csv")
    assert {"eyes", "mouth", "hat", "clothes", "its own", "the source's", "all"} == {*table.kind}
    assert {*NUMBERS} < {*table.metric}
    assert (table.low <= table["mean"]).all() and (table["mean"] <= table.high).all()
    html = write_report(tmp_path / "report.html", evaluation, title="Answers").read_text()
    assert "Is it the right edit?" in html and "edit: hat" in html


def test_reports_leave_out_what_has_no_answers(validation, tmp_path):
    settings = DrawingSettings(num_samples=2)
    tiny_evaluation = evaluate(FakeEditor(), validation, Thumbnail(), None, settings=settings)
    tiny_evaluation.save(tmp_path)
    assert not (tmp_path / "groups.csv").exists()
    found = read_results(tmp_path)
    assert not {*NUMBERS} & {info.key for info in found.infos}
    html = write_report(tmp_path / "report.html", tiny_evaluation, title="None").read_text()
    assert "right edit" not in html


def test_images_without_attributes_are_refused():
    with pytest.raises(ValueError, match="data set is Noise: take dataset=toyfaces"):
        answered_set(images=Noise())


def test_too_few_faces_are_refused_with_both_numbers():
    with pytest.raises(ValueError, match="num_inputs"):
        answered_set(images=ToyFaces("val", 64, length=10), num_references=4)


def test_regions_beside_attributes_are_refused(tmp_path):
    options = ["kind=attributes", "regions=masks", f"out={tmp_path / 'set'}", "retrieval=extractor"]
    with pytest.raises(ValueError, match="regions is masks"):
        build(compose(*options, config_name="validation_set"))
