"""The page in a headless Chromium: it opens quietly, and everything on it does what it says."""

import pytest

from e2eve.comparison.dashboard_page import DashboardSettings, write_dashboard
from tests.comparison.factories import sweep

FACTORS = {"edit_simulation": ["block", "free_form"], "tokenizer": ["separate", "shared"]}

PLACES = "[...document.querySelectorAll('#results-table tbody tr')].map(row => row.dataset.place)"
CUT = "document.querySelector('#compare').style.getPropertyValue('--at')"


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    top = tmp_path_factory.mktemp("browser")
    folder = sweep(top / "runs", FACTORS, saved=3)
    return write_dashboard(DashboardSettings(str(folder), str(top / "dashboard.html"), "Masks"))


@pytest.fixture
def page(watched, path):
    watched.page.goto(path.as_uri())
    watched.page.wait_for_selector("body[data-ready]")
    return watched.page


def column(page, key: str) -> list[float]:
    cells = page.query_selector_all(f"#results-table td[data-column={key}]")
    return [float(cell.get_attribute("data-value")) for cell in cells]


def drawn(page, name: str):
    page.locator(f"[data-charts={name}]").scroll_into_view_if_needed()
    return page.wait_for_selector(f"[data-charts={name}][data-drawn] .main-svg")


def test_every_chart_is_drawn(page):
    for name in ("bars", "front", "parallel", "curves"):
        assert drawn(page, name).bounding_box()["width"] > 300
    titles = page.eval_on_selector_all(".modebar-btn", "all => all.map(e => e.dataset.title)")
    assert titles and not any("Share" in title for title in titles)  # with a server elsewhere


def test_the_table_sorts_by_a_column_the_best_first_and_then_back(page):
    for key, best_is_high in (("recall_5", True), ("nll_inside", False)):
        header = page.locator(f"#results-table thead [data-column={key}]")
        assert header.get_attribute("aria-sort") == "none"
        header.locator("button").click()
        assert column(page, key) == sorted(column(page, key), reverse=best_is_high)
        header.locator("button").press("Enter")
        assert column(page, key) == sorted(column(page, key), reverse=not best_is_high)
    page.locator("#results-table thead button").first.click()
    assert page.evaluate(PLACES) == ["0", "1", "2", "3"]


def test_columns_can_be_shown_and_hidden(page):
    hidden = page.locator("#results-table thead [data-column=recall_1]")
    assert not hidden.is_visible()
    page.locator(".menu summary").click()
    page.locator("#show-recall_1").check()
    page.locator("#show-recall_5").uncheck()
    assert hidden.is_visible()
    assert not page.locator("#results-table thead [data-column=recall_5]").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("#show-recall_1").is_visible()


def test_picking_an_input_changes_the_images_of_every_configuration(page):
    def seen() -> list[str]:
        return [i.get_attribute("src") for i in page.query_selector_all("#cards img, #given img")]

    first = seen()
    assert len(first) == 4 * 4 + 2 and len(set(first)) > 10
    page.locator("#input-00000").focus()
    page.keyboard.press("ArrowRight")  # the picker answers to the keyboard
    assert page.locator("#input-00001").is_checked()
    second = seen()
    assert not set(first) & set(second)
    page.select_option("#seed", "2")
    third = seen()
    assert third[:2] == second[:2]  # source and driver
    assert sum(a != b for a, b in zip(third, second, strict=True)) > 8
    assert page.locator("#cards .card").count() == 4
    page.evaluate("Promise.all([...document.querySelectorAll('#cards img')].map(i => i.decode()))")


def test_a_click_opens_the_image_from_the_run_folder(page, path):
    with page.context.expect_page() as opened:
        page.locator("#cards a").first.click()
    image = opened.value
    image.wait_for_load_state()
    assert image.url.startswith("file:") and image.url.endswith("samples/inputs/00000.png")
    assert image.evaluate("document.images[0].naturalWidth") == 4 * 64
    image.close()


def test_the_slider_moves_by_mouse_and_by_keys_and_uncovers_the_left_one(page):
    slider = page.locator("#slider")
    slider.scroll_into_view_if_needed()
    box = page.locator("#compare").bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, middle, steps=4)
    page.mouse.up()
    assert float(page.evaluate(CUT).rstrip("%")) == pytest.approx(25, abs=1)
    slider.press("Home")
    assert page.evaluate(CUT) == "0%"
    slider.press("ArrowRight")
    assert page.evaluate(CUT) == "0.5%"


def test_two_configurations_are_chosen_for_the_slider_and_their_numbers_follow(page):
    def image(side: str) -> str:
        return page.locator(f"#{side}").get_attribute("src")

    before = image("over")
    page.select_option("#left", "2")
    assert image("over") != before and image("under") != image("over")
    heads = page.locator("#two-table thead").inner_text()
    assert "free_form, separate" in heads
    number = page.locator("tr[data-place='2'] td[data-column=recall_5]").inner_text().rstrip("*")
    assert number in page.locator("#two-table tbody").inner_text()
    page.select_option("#right", "2")
    assert image("under") == image("over")


def test_a_chart_follows_its_choice(page):
    drawn(page, "bars")
    page.select_option("#bars-metric", "l1_real")
    page.wait_for_selector("[data-charts=bars][data-drawn=l1_real]")
    assert "L1 outside" in page.locator("#plot-bars").inner_text()


def test_a_box_in_the_parallel_coordinates_keeps_the_lines_that_pass(page):
    drawn(page, "parallel")
    area = page.locator("#plot-parallel .draglayer .nsewdrag").first.bounding_box()
    step = area["width"] / 9  # nine axes, from 0.4 before the first to 0.4 after the last
    x, y = area["x"] + 0.4 / 0.8 * 0.8 * step, area["y"]
    page.mouse.move(x - step / 4, y + area["height"] / 2)
    page.mouse.down()
    page.mouse.move(x + step / 4, y + 2, steps=5)
    page.mouse.up()
    page.wait_for_selector("#passing:has-text('of 4 configurations')")
    text = page.locator("#passing").inner_text()
    assert text.startswith("2 of 4 configurations: edit_simulation=block")


def test_at_phone_width_nothing_sticks_out(page):
    page.set_viewport_size({"width": 390, "height": 844})
    for name in ("bars", "front", "parallel", "curves"):
        drawn(page, name)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator("#compare").bounding_box()["width"] <= 390


def test_every_control_has_a_name_and_can_be_reached(page):
    nameless = page.evaluate(
        "[...document.querySelectorAll('button, select, input, a')].filter("
        "e => !(e.innerText.trim() || e.ariaLabel || e.labels?.length || e.querySelector('[alt]')))"
        ".map(e => e.outerHTML.slice(0, 100))"
    )
    assert nameless == []
    assert page.evaluate("[...document.images].every(i => i.hasAttribute('alt'))")


@pytest.mark.slow
def test_sixty_runs_open_in_three_seconds_and_stay_below_25_mb(watched, tmp_path):
    """Seconds of the processor: other work on the machine is not the page's fault."""
    factors = {"edit_simulation": list("abcde"), "tokenizer": list("ab"), "alpha": list("12")}
    folder = sweep(tmp_path / "runs", factors, saved=12, side=128, inputs=100)
    path = write_dashboard(DashboardSettings(str(folder), str(tmp_path / "d.html"), "Sixty"))
    assert path.stat().st_size < 25e6
    session = watched.page.context.new_cdp_session(watched.page)
    session.send("Performance.enable")
    watched.page.goto(path.as_uri())
    watched.page.wait_for_selector("body[data-ready]")
    metrics = session.send("Performance.getMetrics")["metrics"]
    assert watched.page.locator("#results-table tbody tr").count() == 20
    assert watched.page.locator("#cards .card img").count() == 80
    assert 0 < {one["name"]: one["value"] for one in metrics}["ProcessTime"] < 3
