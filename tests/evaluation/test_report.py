"""The report: says what was measured with what, whatever the numbers are, and asks nobody."""

import math
import re
from dataclasses import replace

import pytest

from e2eve.evaluation.evaluation import Evaluation
from e2eve.evaluation.evaluator import evaluate
from e2eve.evaluation.report import driver_matters, findings, write_report
from e2eve.evaluation.settings import DrawingSettings
from e2eve.reporting.page import curve_charts
from e2eve.runs import read_curves
from e2eve.validation_set import validation_page
from tests.factories import tiny_editor

CURVES = """step,train/loss,train/learning_rate,val/loss,evaluation/editor/recall_5
0,6.5,0.1,,
10,6.0,0.2,6.1,0.5
20,5.5,0.3,,
"""


@pytest.fixture(scope="module")
def evaluation(validation, module_extractor, module_perceptual) -> Evaluation:
    settings = DrawingSettings(num_samples=2, batch_size=5, shown=2)
    return evaluate(
        tiny_editor(), validation, module_extractor, module_perceptual, settings=settings
    )


def test_the_report_names_counts_features_and_hash(evaluation, tmp_path):
    (tmp_path / "metrics.csv").write_text(CURVES)
    path = write_report(
        tmp_path / "report.html",
        evaluation,
        title="A <run>",
        curves=tmp_path / "metrics.csv",
        config="key: <value>",
    )
    html = path.read_text(encoding="utf-8")
    words = re.sub(r"<script>.*?</script>", "", html, flags=re.DOTALL)
    for text in ("A &lt;run&gt;", "5 unpaired inputs", evaluation.validation.content_hash[:16]):
        assert text in words
    assert "thumbnail" in words and "is not FID" in words and "key: &lt;value&gt;" in words
    assert "https://" not in words


def test_a_report_needs_no_training(evaluation, tmp_path):
    path = write_report(
        tmp_path / "report.html", evaluation, title="t", curves=tmp_path / "missing.csv"
    )
    assert ">Training<" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("gap", "width", "verdict"),
    [
        (1.1, 0.3, "The driver matters"),
        (-1.1, 0.3, "The matched driver misleads"),
        (0.5, 0.9, "No difference shown"),
        (0.5, math.nan, "No difference shown"),
    ],
)
def test_verdicts_follow_the_interval(evaluation, gap, width, verdict):
    results = evaluation.results
    systems = {**results.systems, "editor": {**results.means, "nll_gap": gap}}
    found = replace(results, systems=systems, margins={"editor": {"nll_gap": width}})
    assert driver_matters(found).note.startswith(verdict)


def test_every_finding_has_a_number_a_name_and_a_note(evaluation):
    assert all(all(finding) for finding in findings(evaluation.results))


def test_curves_leave_out_empty_cells_and_group_by_metric(tmp_path):
    (tmp_path / "metrics.csv").write_text(CURVES)
    curves = read_curves(tmp_path / "metrics.csv")
    assert curves["val/loss"] == ([10.0], [6.1])
    charts = curve_charts(curves)
    assert [chart.layout.title.text for chart in charts] == ["Loss", "Recall 5", "Learning rate"]
    assert [line.name for line in charts[0].data] == ["train", "val"]


def test_a_validation_set_has_a_page(validation):
    html = validation_page(validation, most=3).html()
    assert "The first 3 of 5 inputs" in html and validation.content_hash in html
