"""Tables: every number as it was measured, and text that CSV and LaTeX readers take."""

import csv
import io
import math
import re

import pytest

from e2eve.comparison.comparison import (
    Comparison,
    compare,
    configurations_csv,
    escaped,
    latex,
    runs_csv,
    with_deviation,
    written_p,
)
from tests.comparison.factories import Made, sweep, write_run


@pytest.fixture(scope="module")
def comparison(tmp_path_factory) -> Comparison:
    factors = {"edit_simulation": ["a_b", "free&form"]}
    folder = sweep(tmp_path_factory.mktemp("tables") / "s", factors)
    write_run(folder / "later", Made({"edit_simulation": "later"}, state="running"))
    return compare([folder])


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_configurations_as_csv_hold_means_deviations_and_p(comparison):
    table = rows(configurations_csv(comparison))
    assert [row["edit_simulation"] for row in table] == ["a_b", "free&form", "later"]
    found = comparison.of("recall_5")
    for place, (row, one) in enumerate(zip(table, comparison.configurations, strict=True)):
        assert row["n"] == str(len(one.finished))
        if one.finished:
            assert float(row["recall_5"]) == pytest.approx(found["mean"][place])
            assert float(row["recall_5_sd"]) == pytest.approx(found["deviation"][place])
    best = [row["nll_gap_p_to_best"] == "" for row in table]
    assert best == [False, True, True]  # the best itself, and the one without results
    assert table[2]["recall_5"] == "" and table[2]["ranked"] == "False"


def test_runs_as_csv_give_back_the_configurations(comparison):
    table = rows(runs_csv(comparison))
    assert len(table) == 6 and {row["seed"] for row in table} == {"0", "1", "2"}
    mean = sum(float(row["l1_real"]) for row in table[:3]) / 3
    assert mean == pytest.approx(comparison.of("l1_real")["mean"][0])


def test_latex_has_as_many_columns_in_every_row_and_marks_the_best(comparison):
    text = latex(comparison, comparison.metrics)
    columns = re.search(r"begin{tabular}{(\w+)}", text)
    lines = [line for line in text.splitlines() if line.endswith("\\\\")]
    assert columns and len(lines) == 4
    assert {line.replace("\\&", "").count("&") + 1 for line in lines} == {len(columns[1])}
    assert "a\\_b" in text and "free\\&form" in text
    ranked = [metric for metric in comparison.metrics if metric.best]
    assert text.count("\\textbf{") == len(ranked)


@pytest.mark.parametrize(
    ("mean", "deviation", "spec", "expected"),
    [
        (2183.4, 12.3, ".4g", "2183 ± 12"),
        (3.73094, 0.01234, ".4g", "3.731 ± 0.012"),
        (0.0312, 0.0021, ".4g", "0.03120 ± 0.00210"),
        (0.3214, 0.0142, ".1%", "32.1 ± 1.4%"),
        (0.3214, math.nan, ".1%", "32.1%"),
        (-0.01, 0.02, ".3f", "-0.010 ± 0.020"),
        (-0.0001, 0.002, ".3f", "0.000 ± 0.002"),
        (0.0, 0.0, ".4g", "0.000 ± 0.000"),
        (math.nan, math.nan, ".3f", "–"),
    ],
)
def test_mean_and_deviation_share_their_decimals(mean, deviation, spec, expected):
    assert with_deviation(mean, deviation, spec) == expected


def test_latex_reads_nothing_into_text():
    assert escaped("50% of a_b {x} #1 & $") == "50\\% of a\\_b \\{x\\} \\#1 \\& \\$"
    assert escaped("\\~^") == "\\textbackslash{}\\textasciitilde{}\\textasciicircum{}"


def test_p_is_written_without_a_row_of_zeros():
    assert (written_p(0.0421), written_p(0.0000001)) == ("= 0.042", "< 0.001")
