"""Pages: one file, everything escaped, no outside address, the chart script once."""

import base64
import io
import json
import re

import numpy as np
import plotly.graph_objects as go
import pytest
from PIL import Image

from e2eve.reporting.page import (
    MISSING,
    Column,
    Highlight,
    Page,
    Row,
    figure_dict,
    line_chart,
    page_template,
    rendered,
    script_safe,
    table_entries,
    written,
)

NASTY = "<script>alert(1)</script> & \"quoted\" 'text'"
OUTSIDE = re.compile(
    r"""(?:src|href|action)\s*=\s*["']?(?!["'#]|data:)|url\(|@import|<link|<iframe"""
)


def noise() -> Image.Image:
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 256, (5, 7, 3), dtype=np.uint8))


def full_page(text: str) -> Page:
    page = Page(text, text).section(text).text(text).note(f"- {text}\n- {text}")
    page.highlights([Highlight(text, text, text)])
    page.table([{"a": text, text: 1.0}], ["a", Column(text, text, note=text)], text)
    return page.image(noise(), text).details(text, text)


def test_every_string_is_escaped():
    html = full_page(NASTY).html()
    assert "alert(1)" in html
    assert "<script>alert" not in html
    assert '"quoted"' not in html


def test_a_page_without_charts_has_no_address_outside_and_no_chart_script():
    html = full_page("words").html()
    assert not OUTSIDE.search(html)
    assert "http://" not in html and "https://" not in html
    assert "Plotly" not in html
    assert "default-src 'none'" in html


def test_the_chart_script_is_inlined_once():
    figure = line_chart({"train": ([0, 1], [2.0, 1.0])}, "Loss", "step", "nats")
    page = Page("t").chart(figure).chart(figure)
    html = page.html()
    assert html.count("Plotly.react(") == html.count("showSendToCloud: false") == 1
    assert len(re.findall(r"plotly\.js v\d", html)) == 1
    assert len(re.findall('id="chart-[12]"', html)) == 2
    assert not re.search(r"<script[^>]*\ssrc=", html)


def test_figures_survive_the_way_into_the_page():
    figure = go.Figure(go.Bar(x=["</script>", "b&b"], y=[1, 2]))
    text = script_safe(figure_dict(figure))
    assert not set("<>&") & set(text)
    data = json.loads(text)
    assert data["data"][0]["x"] == ["</script>", "b&b"]
    colours = data["layout"]["template"]["layout"]["colorway"]
    assert colours == list(page_template().layout.colorway)


def test_images_are_embedded_without_loss():
    html = Page("t").image(noise(), "caption").html()
    (encoded,) = re.findall(r'src="data:image/png;base64,([^"]+)"', html)
    decoded = Image.open(io.BytesIO(base64.b64decode(encoded)))
    assert np.array_equal(np.asarray(decoded), np.asarray(noise()))


def test_a_page_is_written_as_one_file_in_a_new_folder(tmp_path):
    path = full_page("words").write(tmp_path / "new" / "page.html")
    assert [f.name for f in path.parent.iterdir()] == ["page.html"]
    assert path.read_text(encoding="utf-8") == full_page("words").html()


def test_sections_are_listed_at_the_top():
    html = Page("t").section("One").section("Two").html()
    assert re.findall(r'<a href="#(section-\d)">(\w+)', html) == [
        ("section-1", "One"),
        ("section-2", "Two"),
    ]


def test_markup():
    assert rendered("a **b** `c` [d](e)") == ("<p>a <strong>b</strong> <code>c</code> [d](e)</p>\n")
    assert rendered("one\ntwo\n\n- x\n- <y>") == (
        "<p>one\ntwo</p>\n<ul>\n<li>x</li>\n<li>&lt;y&gt;</li>\n</ul>\n"
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, MISSING),
        (float("nan"), MISSING),
        (12345, "12 345"),
        (0.12345, "0.123"),
        (True, "yes"),
    ],
)
def test_values_are_written_for_people(value, expected):
    assert written(value, ".3f") == expected


def test_ranks_follow_the_direction_share_ties_and_skip_the_unranked():
    rows: list[Row] = [
        {"x": 1.0},
        {"x": 3.0},
        {"x": 2.0},
        {"x": 1.0},
        {"x": 0.0, "unranked": True},
        {"x": None},
    ]
    low = [row[0].rank for row in table_entries(rows, [Column("x", "x", best="low")])]
    high = [row[0].rank for row in table_entries(rows, [Column("x", "x", best="high")])]
    none = [row[0].rank for row in table_entries(rows, [Column("x", "x")])]
    assert low == [1, 0, 2, 1, 0, 0]
    assert high == [0, 1, 2, 0, 0, 0]
    assert none == [0] * 6
