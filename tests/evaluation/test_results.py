"""The reader of evaluations: what was saved comes back, by today's names, whatever the format."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from e2eve.evaluation.evaluator import evaluate, standard_metrics
from e2eve.evaluation.results import current_name, read_results
from e2eve.evaluation.settings import DrawingSettings
from e2eve.metrics.base import EditMetric, EvaluatedBatch, MetricInfo
from tests.factories import tiny_editor

OLDER = Path(__file__).parents[1] / "fixtures" / "older" / "editor_separate"


class Brightness(EditMetric):
    """A metric of somebody else's."""

    info = MetricInfo("brightness", "Brightness", "grey levels", "high", aspect="taste", note="!")

    def measure(self, batch: EvaluatedBatch):
        return batch.edits.mean((2, 3, 4))


@pytest.fixture(scope="module")
def evaluation(validation, module_extractor, module_perceptual):
    settings = DrawingSettings(num_samples=2, batch_size=2, shown=2)
    networks = (module_extractor, module_perceptual)
    metrics = [*standard_metrics(), Brightness()]
    return evaluate(tiny_editor(), validation, *networks, settings=settings, metrics=metrics)


def test_what_is_saved_is_read(evaluation, tmp_path):
    found, read = evaluation.results, read_results(evaluation.save(tmp_path))
    assert (read.systems, read.margins, read.infos) == (found.systems, found.margins, found.infos)
    assert read.about == found.about
    assert read.samples.keys() == found.samples.keys()
    assert read.per_input["00000"] == pytest.approx(found.per_input["00000"], nan_ok=True)


def test_a_metric_of_ones_own_is_stored_with_what_it_is(evaluation, tmp_path):
    read = read_results(evaluation.save(tmp_path))
    assert read.infos[-1] == Brightness.info
    assert read.margins["editor"]["brightness"] > 0
    assert set(read.column("brightness")) == {f"0000{n}" for n in range(5)}


def test_means_are_those_of_inputs_and_samples(evaluation):
    results = evaluation.results
    for key in results.means.keys() & results.per_input["00000"].keys():
        values = results.column(key).values()
        assert sum(values) / len(values) == pytest.approx(results.means[key]), key
    assert results.column("frechet") == {}


def test_an_older_evaluation_is_read_by_todays_names():
    results = read_results(OLDER)
    assert results.about["mismatched_by"] == 1
    assert {"nll_inside", "nll_gap", "recall_1_best_of_n", "outside_ratio"} <= results.means.keys()
    assert "nll_inside" in results.systems["editor_mismatched"]
    infos = {metric.info.key: metric.info for metric in standard_metrics()}
    assert all(info == infos[info.key] for info in results.infos)
    for key in ("nll_inside", "nll_gap", "recall_1", "recall_1_best_of_n", "l1_real"):
        values = [value for value in results.column(key).values()]
        assert sum(values) / len(values) == pytest.approx(results.means[key], rel=1e-5), key
    assert results.samples["00000"][0].keys() >= {"driver_rank", "l1_rec"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("nll/gap", "editor/nll_gap"),
        ("nll/swapped_inside", "editor_mismatched/nll_inside"),
        ("evaluation/nll/right_outside", "evaluation/editor/nll_outside"),
        ("editor_swapped/recall_5_kept", "editor_mismatched/recall_5_best_of_n"),
        ("evaluation/editor/frechet", "evaluation/editor/frechet"),
        ("val/loss", "val/loss"),
    ],
)
def test_old_names_are_understood(old, new):
    assert current_name(old) == new


def test_what_cannot_be_read_is_said(tmp_path):
    shutil.copy(OLDER / "metrics.json", tmp_path)
    text = (tmp_path / "metrics.json").read_text()
    (tmp_path / "metrics.json").write_text(text[: len(text) // 2])
    with pytest.raises(ValueError, match=r"cannot be read .* evaluate the run again"):
        read_results(tmp_path)
    (tmp_path / "metrics.json").write_text(json.dumps({"format": 3}))
    with pytest.raises(ValueError, match="has the format 3, 1 to 2 are read"):
        read_results(tmp_path)


def test_reading_needs_no_pytorch():
    code = "import sys, e2eve.evaluation.results, e2eve.evaluation.settings; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert "torch" not in loaded.stdout.split()
