"""The page: one file that says what it compares, with nothing read into anybody's text."""

import json
import re

import plotly.graph_objects as go
import pytest

from e2eve.comparison.comparison import compare
from e2eve.comparison.page import PageSettings, write_dashboard
from tests.comparison.factories import EXTRACTOR, HASH, Made, sweep, write_run

NASTY = "</script><script>alert(1)</script> & \"quoted\" 'text' {{ 7*7 }}"


def html_of(place, out, **settings) -> str:
    path = write_dashboard(out, compare([place]), PageSettings(**({"title": "t"} | settings)))
    return path.read_text(encoding="utf-8")


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
    for expected in ("<title>A &amp; B</title>", HASH, EXTRACTOR, "5 cells, 13 runs", "1 failed"):
        assert expected in text
    assert "t-tests over the same seeds" in text
    assert "OSError: disk" in text and "edit_simulation=block" in text


def test_full_pictures_are_where_the_page_says(page):
    html, out = page
    data = script(html, "data")
    links = {
        strip["link"]
        for cell in data["cells"]
        for run in cell["runs"]
        for strip in run["strips"].values()
    }
    assert len(links) == 12 * 4
    assert all((out / link).is_file() for link in links)


def test_every_chart_has_its_figures(page):
    figures = script(page[0], "figures")
    options = dict.fromkeys(re.findall(r'<option value="(recall_\w+|frechet\w*)"', page[0]))
    assert set(options) <= figures["bars"].keys()
    assert {"val/loss", "train/loss"} == figures["curves"].keys()
    assert "frechet_region recall_5" in figures["front"]
    lines = figures["parallel"]["all"]["data"]
    assert len(lines) == 4 and all(min(line["y"]) >= 0 and max(line["y"]) <= 1 for line in lines)


def test_plotly_knows_every_word_of_the_charts(page):
    """Its script takes plain dictionaries and passes over what it does not know."""
    figures = script(page[0], "figures")
    template = figures.pop("template")
    checked = [
        go.Figure(data=chart["data"], layout={**chart["layout"], "template": template})
        for charts in figures.values()
        for chart in (next(iter(charts.values())), list(charts.values())[-1])
    ]
    assert len(checked) == 8 and all(figure.data for figure in checked)


def test_nothing_is_read_into_texts_of_runs(tmp_path):
    for n, name in enumerate((NASTY, "plain")):
        overrides = {"name": NASTY} if n else {}
        made = Made({"tokenizer": name}, overrides=overrides, inputs=4, pictured=1)
        write_run(tmp_path / "s" / f"{n}", made)
    failed = Made({"tokenizer": "z"}, state="failed", error=NASTY)
    write_run(tmp_path / "s" / "<b>&", failed)
    html = html_of(tmp_path / "s", tmp_path / "d.html", title=NASTY)
    assert "<script>alert" not in html
    assert "{{ 7*7 }}" in html and "alert(1)" in html
    assert NASTY in script(html, "data")["cells"][0]["label"]


def test_nothing_outside_is_asked_for(page):
    html = words(page[0])
    assert "default-src 'none'" in html
    assert not re.search(r"""(?:src|href)=["'](?!#|data:|[^"':]*["'])""", html)
    assert not re.search(r"<script[^>]*\ssrc=|<link|@import", page[0].partition("plotly.js v")[0])


def test_a_sweep_that_has_only_begun_has_a_page(tmp_path):
    write_run(tmp_path / "s" / "0", Made(state="running"))
    html = html_of(tmp_path / "s", tmp_path / "d.html")
    assert "No run has results yet." in html and "430 of 1000" in html
    assert script(html, "figures")["curves"].keys() == {"train/loss", "val/loss"}


def test_old_runs_have_a_page_that_says_what_is_missing(tmp_path):
    folder = write_run(tmp_path / "s" / "0", Made(pictured=0))
    for name in ("samples.csv", "inputs.csv", "metrics.csv"):
        (folder / name).unlink()
    html = html_of(tmp_path / "s", tmp_path / "d.html")
    assert "No run has pictures of single inputs: no samples/inputs/ in its folder" in html


@pytest.mark.parametrize("changes", [{"thumbnail": 4}, {"inputs": 0}])
def test_sizes_that_make_no_page_are_refused(changes):
    (name,) = changes
    with pytest.raises(ValueError, match=f"{name} is .*, set it between"):
        PageSettings("t", **changes)
