"""The evaluator: what must score alike does, and no choice of batches changes a number."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from einops import rearrange, repeat
from PIL import Image
from torch import nn

from e2eve.conditioning import region_cells
from e2eve.editor import Editor
from e2eve.evaluation.evaluator import evaluate, networks_for
from e2eve.evaluation.settings import DrawingSettings
from e2eve.evaluation.systems import mismatch_shift, systems_of
from e2eve.features import Preprocessing, build_perceptual
from e2eve.metrics.base import EditMetric, MetricInfo
from e2eve.tokenizers import Tokenizer
from e2eve.transformer import EditTokens, SamplingSettings, TokenNLL
from tests.factories import tiny_editor

CELL, LEVELS = 4, 8


class Mosaic(Tokenizer):
    """The mean colour of each cell, eight levels a channel."""

    def __init__(self) -> None:
        nn.Module.__init__(self)

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        means = torch.nn.functional.avg_pool2d(images, CELL)
        levels = ((means + 1) / 2 * (LEVELS - 1)).round().long()
        red, green, blue = levels.unbind(1)
        return ((red * LEVELS + green) * LEVELS + blue).flatten(1)

    def decode(self, ids: torch.Tensor, *_: object, **__: object) -> torch.Tensor:
        side = round(ids.shape[1] ** 0.5)
        levels = [ids // LEVELS**2, ids // LEVELS % LEVELS, ids % LEVELS]
        values = torch.stack(levels, 1) / (LEVELS - 1) * 2 - 1
        cells = rearrange(values, "b c (h w) -> b c h w", h=side)
        return repeat(cells, "b c h w -> b c (h y) (w x)", y=CELL, x=CELL)


class FakeEditor(Editor):
    """Returns the source itself, or noise; predicts its own driver's mean colours."""

    image_size = 32
    device = torch.device("cpu")

    def __init__(self, noisy: bool = False, driver_size: int = 16) -> None:
        nn.Module.__init__(self)
        self.noisy, self.driver_size = noisy, driver_size
        self.shared, self.source_tokenizer = True, Mosaic()

    def settings(self, given=None):
        return given or SamplingSettings()

    def draw(self, inputs, *, num_samples, seeds, settings, blends):  # type: ignore[override]
        source_ids = self.source_tokenizer.encode(inputs.sources)
        ids = repeat(source_ids, "b t -> b n t", n=num_samples).clone()
        if self.noisy:
            for row, one in zip(ids, seeds, strict=True):
                generator = torch.Generator().manual_seed(one)
                row[:] = torch.randint(LEVELS**3, row.shape, generator=generator)
        return self.decode(ids)

    def decode(self, ids, inputs=None):
        images = self.source_tokenizer.decode(rearrange(ids, "b n t -> (b n) t"))
        return rearrange(images, "(b n) c h w -> b n c h w", b=len(ids))

    def tokenize(self, inputs):
        driver_ids, ids = map(self.driver_tokenizer.encode, (inputs.drivers, inputs.sources))
        return EditTokens(driver_ids, ids, ids, region_cells(inputs.regions, 32 // CELL))

    def nll(self, tokens):
        liked = (tokens.target_ids[:, :, None] == tokens.driver_ids[:, None]).any(-1)
        return TokenNLL(torch.where(liked, 1.0, 2.0), tokens.region_cells)


class LargeEditor(FakeEditor):
    image_size = 64


SETTINGS = DrawingSettings(num_samples=3, batch_size=2, shown=4)


@pytest.fixture
def by_maps(build_validation, perceptual):
    return build_validation(perceptual=perceptual)


@pytest.fixture(scope="module")
def tiny_evaluation(validation, module_extractor, module_perceptual):
    return evaluate(
        tiny_editor(), validation, module_extractor, module_perceptual, settings=SETTINGS
    )


def test_an_editor_that_returns_the_source_scores_like_the_reconstruction(
    validation, extractor, perceptual
):
    evaluation = evaluate(FakeEditor(), validation, extractor, perceptual, settings=SETTINGS)
    systems = evaluation.results.systems
    editor, reconstruction = (
        systems["editor"],
        systems["reconstruction"],
    )
    for name, value in editor.items():
        if name in reconstruction:
            assert value == pytest.approx(reconstruction[name], abs=1e-6), name
    assert editor["diversity"] == editor["diversity_region"] == 0
    assert reconstruction["l1_rec"] == 0
    rows = {row["key"]: row for row in evaluation.rows()}
    assert rows["editor"]["outside_ratio"] == pytest.approx(1)
    assert rows["source"]["outside_ratio"] == rows["source"]["l1_real"] == 0


def test_pastes_keep_the_outside_and_show_the_driver(validation, extractor, perceptual):
    evaluation = evaluate(FakeEditor(), validation, extractor, perceptual, settings=SETTINGS)
    systems = evaluation.results.systems
    assert systems["paste"]["l1_real"] == systems["poisson"]["l1_real"] == 0
    assert systems["paste"]["recall_1"] > systems["source"]["recall_1"]


def test_the_matched_driver_predicts_better_where_the_editor_uses_it(
    validation, extractor, perceptual
):
    found = evaluate(FakeEditor(), validation, extractor, perceptual, settings=SETTINGS)
    systems = found.results.systems
    matched, mismatched = (systems[key]["nll_inside"] for key in ("editor", "editor_mismatched"))
    assert found.results.means["nll_gap"] == pytest.approx(mismatched - matched)
    assert mismatched > matched
    assert "nll_inside" not in systems["paste"]


@pytest.mark.parametrize("make_editor", [lambda: FakeEditor(noisy=True), tiny_editor])
def test_batches_change_nothing(make_editor, validation, extractor, perceptual):
    editor = make_editor()
    one, many = (
        evaluate(
            editor, validation, extractor, perceptual, settings=replace(SETTINGS, batch_size=size)
        )
        for size in (1, 5)
    )
    assert one.results.numbers().keys() == many.results.numbers().keys()
    for name, value in one.results.numbers().items():
        assert value == pytest.approx(many.results.numbers()[name], rel=1e-4, abs=1e-6), name
    assert (one.images.int() - many.images.int()).abs().max() <= 1


def wanting(measure) -> EditMetric:
    info = MetricInfo("mine", "Mine")
    return type("Mine", (EditMetric,), {"info": info, "measure": lambda _, batch: measure(batch)})()


@pytest.mark.parametrize(
    ("measure", "reason"),
    [
        (lambda batch: batch.regions, "AttributeError: 'EvaluatedBatch' object has no attribute"),
        (lambda batch: batch.nll()["matched"].inside, "TypeError: 'NoneType' object is not call"),
        (lambda batch: batch.edits.mean(), "mine gives values of shape"),
        (lambda batch: 0.5, "AttributeError: 'float' object has no attribute 'shape'"),
    ],
)
def test_a_metric_that_fails_does_so_before_anything_is_drawn(
    measure, reason, validation, extractor, monkeypatch
):
    metric = wanting(measure)
    metric.per = "input" if "NoneType" in reason else "sample"
    monkeypatch.setattr(FakeEditor, "draw", None)
    with pytest.raises(ValueError, match=f"^The metric mine cannot measure edits: {reason}"):
        evaluate(FakeEditor(), validation, extractor, None, settings=SETTINGS, metrics=[metric])


def test_every_system_is_measured_on_as_many_pictures(tiny_evaluation, validation):
    systems = systems_of(validation)
    rows = tiny_evaluation.rows()
    assert [row["key"] for row in rows] == [system.key for system in systems]
    assert all("recall_1" in row and "recall_5" not in row for row in rows)  # 4 distractors
    counts = tiny_evaluation.results.table("samples.csv").groupby("system").size().to_dict()
    assert counts == {s.key: 5 * (3 if s.drivers else 1) for s in systems}


def test_the_best_sample_is_the_one_nearest_to_the_driver(tiny_evaluation):
    samples = tiny_evaluation.results.samples.values()
    best = [min(rows, key=lambda row: row["driver_distance"]) for rows in samples]
    found = np.mean([row["driver_rank"] == 1 for row in best])
    assert tiny_evaluation.results.means["recall_1_best_of_n"] == found


def test_nobody_is_misled_with_a_driver_of_its_own(validation):
    shift, inputs = mismatch_shift(validation), validation.inputs
    for n, item in enumerate(inputs):
        assert inputs[n - shift].driver not in (item.source, item.driver)


def test_no_diversity_without_a_distance_or_a_second_sample(validation, extractor, perceptual):
    without = evaluate(FakeEditor(), validation, extractor, None, settings=SETTINGS)
    single = evaluate(
        FakeEditor(), validation, extractor, perceptual, settings=replace(SETTINGS, num_samples=1)
    )
    for evaluation in (without, single):
        assert "diversity" not in evaluation.results.means
        assert "diversity" not in [info.key for info in evaluation.results.infos]
        assert "editor/diversity" not in evaluation.results.numbers()


def test_files(tiny_evaluation, validation, tmp_path):
    folder = tiny_evaluation.save(tmp_path / "evaluation")
    names = {"metrics.json", "samples.png", "samples.csv", "inputs.csv", "samples"}
    assert {path.name for path in folder.iterdir()} == names
    found = json.loads((folder / "metrics.json").read_text())
    assert found["about"]["validation_hash"] == validation.content_hash
    assert found["about"]["extractor"] == "thumbnail"
    assert len(found["systems"]) == len(systems_of(validation))
    rows = list(csv.DictReader((folder / "samples.csv").open()))
    assert len(rows) == 5 * (3 + 3 + 5)
    rows = list(csv.DictReader((folder / "inputs.csv").open()))
    assert [row["system"] for row in rows] == [
        s.key for s in systems_of(validation) for _ in range(5)
    ]


def test_the_samples_of_an_input_are_saved_without_loss_in_place_of_older_ones(
    tiny_evaluation, tmp_path
):
    results = tiny_evaluation.results
    few = replace(tiny_evaluation, results=replace(results, about={**results.about, "saved": 2}))
    tiny_evaluation.save(tmp_path)
    few.save(tmp_path)
    ids = [item.id for item in few.validation.inputs[:2]]
    paths = sorted((tmp_path / "samples" / "inputs").iterdir())
    assert [path.stem for path in paths] == ids
    for path, pictures in zip(paths, few.images.numpy(), strict=False):
        strip = np.asarray(Image.open(path))
        assert np.array_equal(rearrange(strip, "h (n w) c -> n h w c", n=3), pictures)


def test_drivers_are_found_by_the_features_of_the_validation_set(by_maps, extractor, perceptual):
    evaluation = evaluate(FakeEditor(), by_maps, extractor, perceptual, settings=SETTINGS)
    systems = evaluation.results.systems
    assert evaluation.results.about["retrieval"] == "squares_maps"
    assert systems["paste"]["recall_1"] > systems["source"]["recall_1"]


def test_the_validation_set_names_the_network_that_finds_drivers(
    build_validation, extractor, perceptual
):
    other = build_validation(perceptual=build_perceptual("efficientnet_lite0"))
    editor = FakeEditor()
    assert other.manifest["retrieval"] == "efficientnet_lite0_maps"
    for given in (perceptual, None):
        found = networks_for(editor, other, extractor, given)
        assert found.retrieval.name == "efficientnet_lite0_maps"


def test_what_does_not_fit_is_refused(validation, by_maps, extractor, perceptual):
    def run(editor: FakeEditor) -> None:
        evaluate(editor, validation, extractor, perceptual, settings=SETTINGS)

    with pytest.raises(ValueError, match="image_size is 64 and the validation set's is 32"):
        run(LargeEditor())
    with pytest.raises(ValueError, match="driver_size is 8 and the validation set's is 16"):
        run(FakeEditor(driver_size=8))
    with pytest.raises(ValueError, match="no feature extractor named 'squares_maps'"):
        evaluate(FakeEditor(), by_maps, extractor, None, settings=SETTINGS)
    extractor.preprocessing = Preprocessing(8)
    with pytest.raises(ValueError, match=r"prepared as .*'side': None.* as .*'side': 8.* again"):
        run(FakeEditor())
    del extractor.preprocessing
    extractor.scale.fill_(1.5)
    with pytest.raises(ValueError, match="differ from those in the validation set by 50%"):
        run(FakeEditor())
    extractor.name = "another"
    with pytest.raises(ValueError, match='features of "thumbnail" and the extractor is "another"'):
        run(FakeEditor())
