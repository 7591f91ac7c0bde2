"""The page: one file that says what it compares, with nothing read into anybody's text."""

import json
import re

import pytest

from e2eve.comparison import plots
from e2eve.comparison.comparison import compare
from e2eve.comparison.dashboard_page import DashboardSettings, write_dashboard
from tests.comparison.factories import EXTRACTOR, HASH, Made, sweep, write_run

NASTY = "</script><script>alert(1)</script> & \"quoted\" 'text' {{ 7*7 }}"


def html_of(place, out, title: str = "t", votes: str | None = None) -> str:
    settings = DashboardSettings(str(place), str(out), title, votes=votes)
    return write_dashboard(settings).read_text(encoding="utf-8")


def words(html: str) -> str:
    return re.sub(r"<(script|style).*?</\1>", "", html, flags=re.DOTALL)


def script(html: str, name: str):
    element = rf'<script type="application/json" id="{name}">(.*?)</script>'
    found = re.search(element, html, re.DOTALL)
    assert found
    return json.loads(found[1])


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> tuple[str, object]:
    top = tmp_path_factory.mktemp("page")
    factors = {"edit_simulation": ["block", "brush"], "tokenizer": ["a", "b"]}
    folder = sweep(top / "runs" / "s", factors)
    write_run(folder / "bad", Made({"edit_simulation": "x"}, state="failed", error="OSError: disk"))
    return html_of(folder, top / "out" / "d.html", title="A & B"), top / "out"


def test_the_tables_lie_beside_the_page_and_inside_it(page):
    html, out = page
    assert {path.name for path in out.iterdir()} == {"d.html", "d.csv", "d_runs.csv", "d.tex"}
    assert re.findall(r'download="([^"]+)"', html) == ["d.csv", "d_runs.csv", "d.tex"]


def test_counts_hash_features_test_and_failures_are_named(page):
    text = words(page[0])
    for expected in (
        "<title>A &amp; B</title>",
        HASH,
        EXTRACTOR,
        "5 configurations, 13 runs",
        "1 failed",
    ):
        assert expected in text
    assert "t-tests over the same seeds" in text
    assert "OSError: disk" in text and "edit_simulation=block" in text


def test_full_images_are_where_the_page_says(page):
    html, out = page
    data = script(html, "data")
    links = {
        strip["link"]
        for one in data["configurations"]
        for run in one["runs"]
        for strip in run["strips"].values()
    }
    assert len(links) == 12 * 4
    assert all((out / link).is_file() for link in links)


def test_every_choice_of_a_chart_has_its_numbers(page):
    figures = script(page[0], "figures")
    options = dict.fromkeys(re.findall(r'<option value="(recall_\w+|frechet\w*)"', page[0]))
    assert set(options) <= figures["numbers"].keys()
    numbers = figures["numbers"]["recall_20"]
    assert [len(numbers[name]) for name in ("mean", "deviation", "text")] == [5] * 3
    assert numbers["mean"][-1] is None  # the failed run
    assert {"val/loss", "train/loss"} == figures["series"].keys() == figures["titles"].keys()
    assert "frechet_region recall_5" in figures["fronts"]
    lines = figures["parallel"]["data"]
    assert len(lines) == 4


def test_charts_are_whole_without_the_script_that_replaces_their_numbers(tmp_path):
    comparison = compare([sweep(tmp_path, {"tokenizer": ["a", "b", "c"]}, seeds=(0, 1))])
    metrics = {metric.key: metric for metric in comparison.metrics}
    recall, frechet = metrics["recall_5"], metrics["frechet_region"]
    numbers = plots.metric_numbers(comparison, recall)
    bars = plots.bar_chart(comparison, recall)
    assert [bar.y[0] for bar in bars.data] == numbers["mean"]
    assert [bar.error_y.array[0] for bar in bars.data] == numbers["deviation"]
    assert [bar.x[0] for bar in bars.data] == ["a", "b", "c"]
    line, *points, paste = plots.front_chart(comparison, frechet, recall).data
    assert [point.y[0] for point in points] == numbers["mean"]
    assert [numbers["mean"][n] for n in comparison.front(frechet, recall)] == [*line.y]
    assert (paste.name, paste.y[0]) == ("paste", 1.0)
    curves = plots.curve_series(comparison)
    drawn = plots.curve_chart(comparison, curves)
    assert {run.meta: [*run.y] for run in drawn.data} == {
        run: values for run, (_, values) in curves["val/loss"].items()
    }
    parallel = plots.parallel_chart(comparison, [recall, frechet])
    assert parallel
    lines = parallel.data
    assert [line.y[0] for line in lines] == [1, 0.5, 0]  # the choices, the first at the top
    assert [max(line.y[n] for line in lines) for n in (1, 2)] == [1, 1]
    assert all(min(line.y) >= 0 and max(line.y) <= 1 for line in lines)


def test_nothing_is_read_into_texts_of_runs(tmp_path):
    for n, name in enumerate((NASTY, "plain")):
        overrides = {"name": NASTY} if n else {}
        made = Made({"tokenizer": name}, overrides=overrides, inputs=4, saved=1)
        write_run(tmp_path / "s" / f"{n}", made)
    failed = Made({"tokenizer": "z"}, state="failed", error=NASTY)
    write_run(tmp_path / "s" / "<b>&", failed)
    html = html_of(tmp_path / "s", tmp_path / "d.html", title=NASTY)
    assert "<script>alert" not in html
    assert "{{ 7*7 }}" in html and "alert(1)" in html
    assert NASTY in script(html, "data")["configurations"][0]["label"]


def test_nothing_outside_is_asked_for(page):
    html = words(page[0])
    assert "default-src 'none'" in html
    assert not re.search(r"""(?:src|href)=["'](?!#|data:|[^"':]*["'])""", html)
    assert not re.search(r"<script[^>]*\ssrc=|<link|@import", page[0].partition("plotly.js v")[0])


def test_votes_have_a_section_of_their_own(tmp_path):
    write_run(tmp_path / "s" / "0", Made())
    votes = tmp_path / "votes.jsonl"
    row = {"left": "runs/a", "right": "runs/b", "winner": "runs/b", "validation_hash": "x"}
    votes.write_text(json.dumps(row) + "\n")
    html = html_of(tmp_path / "s", tmp_path / "d.html", votes=str(votes))
    assert '<h2 id="votes">What people preferred</h2>' in html
    assert "<td>runs/b</td>" in html
    assert "21% to 100%" in html
    assert 'id="votes"' not in html_of(tmp_path / "s", tmp_path / "e.html")
    with pytest.raises(ValueError, match=r"votes is .*none.jsonl, which is no file"):
        html_of(tmp_path / "s", tmp_path / "f.html", votes=str(tmp_path / "none.jsonl"))


def test_a_sweep_that_has_only_begun_has_a_page(tmp_path):
    write_run(tmp_path / "s" / "0", Made(state="running"))
    html = html_of(tmp_path / "s", tmp_path / "d.html")
    assert "No run has results yet." in html and "430 of 1000" in html
    figures = script(html, "figures")
    assert figures["series"].keys() == {"train/loss", "val/loss"}
    assert [figures[name] for name in ("bars", "front", "parallel")] == [None] * 3


def test_old_runs_have_a_page_that_says_what_is_missing(tmp_path):
    folder = write_run(tmp_path / "s" / "0", Made(saved=0))
    for name in ("samples.csv", "inputs.csv", "metrics.csv"):
        (folder / name).unlink()
    html = html_of(tmp_path / "s", tmp_path / "d.html")
    assert "No run has images of single inputs: no samples/inputs/ in its folder" in html
