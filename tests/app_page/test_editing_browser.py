"""The page in a headless Chromium, used as a person uses it: mouse, keys, files, downloads."""

import base64
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

from e2eve.app_page.editing_page import EditForm, EditingSite, marked
from e2eve.config import read_settings
from e2eve.data.images import decoded, from_pillow, read_image
from e2eve.data.toyfaces import ToyFaces
from e2eve.editing import Driver
from e2eve.editor import Editor
from e2eve.geometry import Box
from tests.app_page.test_editing_site import START, editor, new_site, slow
from tests.app_page.test_queue import until
from tests.browser import Watched, serving

__all__ = ["editor", "slow"]  # fixtures

WIDTH, HEIGHT = 120, 80  # of the source in pixels


@pytest.fixture
def site(editor) -> EditingSite:
    return new_site(editor)


@pytest.fixture
def address(site) -> Iterator[str]:
    with serving(site) as port:
        yield f"http://127.0.0.1:{port}/"


@pytest.fixture
def files(tmp_path) -> dict[str, Path]:
    """A source that is no square, and an image to crop a driver out of."""
    faces = ToyFaces("val", 120)
    images = {"source": faces[0][20 : 20 + HEIGHT], "driver": faces[1]}
    for name, image in images.items():
        Image.fromarray(image).save(tmp_path / f"{name}.png")
    return {name: tmp_path / f"{name}.png" for name in images}


@pytest.fixture
def page(address: str, watched: Watched) -> Any:  # closed before the server is
    watched.page.set_viewport_size({"width": 1280, "height": 800})
    watched.page.goto(address)
    watched.page.wait_for_selector("body[data-ready]")
    return watched.page


def sent_image(data: str) -> np.ndarray:
    """The image in the bytes of a file in base 64."""
    return decoded(io.BytesIO(base64.b64decode(data)), "It", from_pillow)


def give(page: Any, files: dict[str, Path]) -> None:
    for name, path in files.items():
        page.set_input_files(f"#{name}-file", path)
        page.wait_for_selector(f"#{name} canvas:visible")


def place(page: Any, name: str, x: float, y: float) -> tuple[float, float]:
    """Where a pixel of an image is on the screen."""
    image = {"source": (WIDTH, HEIGHT), "driver": (120, 120)}[name]
    box = page.locator(f"#{name} canvas").bounding_box()
    return box["x"] + x / image[0] * box["width"], box["y"] + y / image[1] * box["height"]


def drag(page: Any, name: str, *points: tuple[float, float]) -> None:
    page.mouse.move(*place(page, name, *points[0]))
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*place(page, name, *point), steps=4)
    page.mouse.up()


def said(page: Any) -> str:
    return page.locator("#status").inner_text()


def edit(page: Any) -> EditForm:
    """What is sent when the button is pressed; the edits have come then."""
    with page.expect_request(lambda request: request.method == "POST") as sent:
        page.click("#edit")
    page.wait_for_selector("#status:text('best first'), #status.wrong")
    assert "best first" in said(page)
    return read_settings(json.loads(sent.value.post_data), EditForm)


def downloaded(page: Any, number: int, tmp_path: Path) -> np.ndarray:
    """The edit that was clicked on and downloaded."""
    page.locator("[name=ranked]").nth(number).check()
    with page.expect_download() as found:
        page.click("#download")
    assert found.value.suggested_filename.endswith(f"_{number + 1:02d}.png")
    found.value.save_as(tmp_path / "edit.png")
    return read_image(tmp_path / "edit.png")


def test_a_dragged_box_and_a_cropped_driver_give_the_python_calls_pixels(
    page, files, editor, tmp_path
):
    give(page, files)
    drag(page, "source", (30, 10), (70, 60))
    drag(page, "driver", (20, 30), (80, 90))
    page.fill("#seed", "7")
    page.fill("#num_samples", "3")
    page.fill("#temperature", "0.9")
    form = edit(page)
    region, driver = Box(30, 10, 70, 60), Box(20, 30, 80, 90)
    (mark,) = form.marks
    found = np.array([*mark.points, form.driver_box[:2], form.driver_box[2:]])  # type: ignore[index]
    assert abs(found - [(30, 10), (70, 60), (20, 30), (80, 90)]).max() <= 1  # a pixel is a step
    region = Box(*(int(x) for point in mark.points for x in point))
    driver = Box(*form.driver_box)  # type: ignore[misc]
    expected = editor.edit(
        files["source"],
        driver.crop(read_image(files["driver"])),
        region,
        num_samples=3,
        seed=7,
        temperature=0.9,
    )
    shown = page.locator("#ranked label").all_inner_texts()
    for n, image in enumerate(expected.images):
        assert f"{abs(expected.scores[n]):.2f}" in shown[n]
        assert np.array_equal(downloaded(page, n, tmp_path), np.asarray(image))


def test_what_is_hidden_of_a_driver_is_not_shown_to_the_editor(page, files, editor, tmp_path):
    give(page, files)
    drag(page, "source", (30, 10), (70, 60))
    page.check("[name=driver-tool][value=hide]")
    drag(page, "driver", (30, 60), (60, 62), (90, 60))
    drag(page, "driver", (10, 10), (40, 10))
    page.click("#crop-clear")
    form = edit(page)
    (stroke,) = form.driver_hidden
    assert stroke.tool == "brush" and stroke.radius == pytest.approx(6)
    hidden = marked(form.driver_hidden, 120, 120)
    assert hidden[60, 35:85].all() and not hidden[:45].any() and not hidden[75:].any()
    region = Box(*(int(x) for point in form.marks[0].points for x in point))
    driver = Driver(files["driver"], ~hidden)
    expected = editor.edit(files["source"], driver, region, **START)
    assert np.array_equal(downloaded(page, 0, tmp_path), np.asarray(expected.images[0]))
    page.click("#crop-clear")
    assert edit(page).driver_hidden == []


def test_painting_erasing_and_undoing_mark_what_the_mouse_went_over(page, files, editor, tmp_path):
    give(page, files)
    drag(page, "source", (5, 5), (25, 25))
    page.click("text=Brush")
    page.locator("#brush").fill("10")  # percent of 80 pixels
    drag(page, "source", (40, 40), (60, 40), (100, 60))
    page.click("text=Eraser")
    drag(page, "source", (60, 20), (60, 70))
    drag(page, "source", (0, 0), (30, 30))
    page.click("#undo")
    form = edit(page)
    assert [mark.tool for mark in form.marks] == ["box", "brush", "eraser"]
    region = marked(form.marks, WIDTH, HEIGHT)
    for x, y, there in [
        (15, 15, 1),
        (45, 40, 1),
        (95, 58, 1),
        (60, 41, 0),
        (45, 50, 0),
        (99, 9, 0),
    ]:
        assert region[y, x] == there, (x, y)
    options = {"num_samples": START["num_samples"], "seed": START["seed"]}
    expected = editor.edit(files["source"], files["driver"], region, **options)
    assert np.array_equal(downloaded(page, 0, tmp_path), np.asarray(expected.images[0]))


def test_what_is_tinted_on_the_page_is_what_is_marked(page, files):
    give(page, files)
    plain = seen(page)
    page.click("text=Brush")
    page.locator("#brush").fill("20")
    drag(page, "source", (30, 30), (90, 55))
    page.mouse.move(5, 5)
    tinted = np.abs(seen(page) - plain).max(-1) > 8
    page.set_input_files("#driver-file", files["driver"])
    region = marked(edit(page).marks, WIDTH, HEIGHT)
    height, width = tinted.shape
    y, x = np.mgrid[:height, :width]
    expected = region[(y * HEIGHT) // height, (x * WIDTH) // width]
    assert (tinted != expected).mean() < 0.02  # but for the rim


def seen(page: Any) -> np.ndarray:
    """Pixels of the source's canvas."""
    address = page.locator("#source canvas").evaluate("canvas => canvas.toDataURL()")
    return sent_image(address.partition(",")[2]).astype(int)


def test_everything_can_be_done_with_the_keyboard(page, files, editor, tmp_path):
    give(page, files)
    for summary in page.locator("summary").all():
        summary.press("Enter")
    for name, value in {"left": 8, "top": 9, "right": 60, "bottom": 50}.items():
        page.fill(f"#box-{name}", str(value))
    page.locator("#box-mark").press("Enter")
    for name, value in {"left": 10, "top": 20, "side": 64}.items():
        page.fill(f"#crop-{name}", str(value))
    page.locator("#crop-mark").press("Enter")
    page.locator("#edit").press("Enter")
    page.wait_for_selector("#status:text('best first')")
    driver = Box(10, 20, 74, 84).crop(read_image(files["driver"]))
    expected = editor.edit(files["source"], driver, Box(8, 9, 60, 50), num_samples=2)
    page.locator("[name=ranked]").first.press("ArrowRight")
    assert page.locator("[name=ranked]").nth(1).is_checked()
    page.locator("#slider").press("Home")
    assert page.locator("#viewer").evaluate("e => e.style.getPropertyValue('--at')") == "0%"
    with page.expect_download() as found:
        page.locator("#download").press("Enter")
    found.value.save_as(tmp_path / "second.png")
    assert np.array_equal(read_image(tmp_path / "second.png"), np.asarray(expected.images[1]))
    page.fill("#box-right", "999")
    page.locator("#box-mark").press("Enter")
    assert said(page) == (
        f"That is no box inside the source of {WIDTH} × {HEIGHT} pixels: right must exceed left, "
        "and bottom top."
    )


def test_a_photo_that_was_taken_sideways_is_marked_as_it_is_seen(page, files, editor, tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # to be turned by a quarter
    Image.open(files["source"]).save(tmp_path / "photo.jpg", exif=exif)
    give(page, {**files, "source": tmp_path / "photo.jpg"})
    page.locator("summary").first.click()
    for name, value in {"left": 8, "top": 9, "right": HEIGHT, "bottom": WIDTH}.items():
        page.fill(f"#box-{name}", str(value))
    page.click("#box-mark")
    edit(page)
    region = Box(8, 9, HEIGHT, WIDTH)
    expected = editor.edit(tmp_path / "photo.jpg", files["driver"], region, num_samples=2)
    assert np.array_equal(downloaded(page, 0, tmp_path), np.asarray(expected.images[0]))


def test_one_goes_on_from_an_edit(page, files, editor, tmp_path):
    give(page, files)
    drag(page, "source", (30, 10), (70, 60))
    edit(page)
    first = downloaded(page, 1, tmp_path)
    page.click("#go-on")
    page.wait_for_selector("#status:text('The edit is the source now')")
    assert page.locator("#undo").is_disabled()  # the marks were for the other image
    page.click("#as-driver")
    page.wait_for_selector("#status:text('Drag over the driver')")
    drag(page, "source", (5, 5), (40, 40))
    form = edit(page)
    for sent in (form.source, form.driver):
        assert np.array_equal(sent_image(sent), first)
    outside = ~marked(form.marks, WIDTH, HEIGHT)
    assert np.array_equal(downloaded(page, 0, tmp_path)[outside], first[outside])


def test_a_file_is_dropped_and_a_driver_is_cropped_out_of_the_source(page, files):
    data = base64.b64encode(files["source"].read_bytes()).decode()
    dropped = page.evaluate_handle(
        """data => {
          const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
          const moved = new DataTransfer();
          moved.items.add(new File([bytes], "dropped.png", { type: "image/png" }));
          return moved;
        }""",
        data,
    )
    page.dispatch_event("#source-panel", "drop", {"dataTransfer": dropped})
    page.wait_for_selector("#source canvas:visible")
    page.click("#driver-from-source")
    page.wait_for_selector("#driver canvas:visible")
    drag(page, "source", (30, 10), (70, 60))
    form = edit(page)
    assert form.source == form.driver == data


def test_an_edit_is_stopped_and_the_next_one_runs(page, files, site, slow):
    give(page, files)
    drag(page, "source", (30, 10), (70, 60))
    page.click("#edit")
    page.wait_for_selector("#status:text('Drawing: 3 of 16 tokens.')")
    assert page.locator("#edit").is_disabled()
    page.click("#stop")
    assert said(page) == "Stopped."
    until(lambda: not site.queue._jobs)
    slow.set()
    edit(page)
    until(lambda: not site.queue._jobs)  # fetched, and forgotten


def test_visitors_see_the_queue_and_their_place_in_it(page, files, address, browser, slow):
    give(page, files)
    drag(page, "source", (30, 10), (70, 60))
    page.click("#edit")
    page.wait_for_selector("#status:text('Drawing')")
    other = browser.new_page()
    other.goto(address)
    other.wait_for_selector("#queue:text('Queue: one edit')")
    assert other.locator("#ranked input").count() == 0
    give(other, files)
    drag(other, "source", (30, 10), (70, 60))
    other.click("#edit")
    other.wait_for_selector("#status:text('One edit is ahead of yours.')")
    slow.set()
    page.wait_for_selector("#status:text('best first')")
    other.wait_for_selector("#status:text('best first')")
    other.close()


def test_who_leaves_the_page_leaves_the_queue(page, files, site, slow):
    give(page, files)
    drag(page, "source", (30, 10), (70, 60))
    page.click("#edit")
    page.wait_for_selector("#status:text('Drawing')")
    page.goto("about:blank")
    until(lambda: not site.queue._jobs)


def test_what_goes_wrong_is_one_sentence_on_the_page(page, files, tmp_path):
    def pressed() -> str:
        page.click("#edit")
        page.wait_for_selector("#status.wrong")
        return said(page)

    assert pressed() == "There is no source yet: choose an image, or try the example."
    page.set_input_files("#source-file", files["source"])
    page.wait_for_selector("#source canvas:visible")
    assert pressed() == "Nothing is marked in the source: drag a box over it, or paint."
    drag(page, "source", (30, 10), (70, 60))
    assert pressed() == "There is no driver yet: choose an image of what should appear."
    (tmp_path / "broken.png").write_bytes(b"no image")
    page.set_input_files("#driver-file", tmp_path / "broken.png")
    page.wait_for_selector("#status:text('The driver cannot be read by this browser')")
    Image.fromarray(np.zeros((900, 900, 3), np.uint8)).save(tmp_path / "large.png")
    page.set_input_files("#driver-file", tmp_path / "large.png")
    page.wait_for_selector("#status:text('The driver has 0.8 megapixels and the limit is 0.5')")
    (tmp_path / "heavy.png").write_bytes(bytes(2_100_000))
    page.set_input_files("#driver-file", tmp_path / "heavy.png")
    page.wait_for_selector("#status:text('The driver has 2.1 MB and the limit is 2')")
    page.set_input_files("#driver-file", files["driver"])
    page.fill("#num_samples", "9")
    assert pressed() == "Edits must be a whole number from 1 to 8."
    page.fill("#num_samples", "2")
    page.fill("#top_p", "")
    assert pressed() == "Top-p must be a number from 0.01 to 1."
    page.fill("#top_p", "0.9")
    page.click("text=Eraser")
    page.locator("#brush").fill("30")
    for y in range(0, 90, 10):
        drag(page, "source", (0, y), (120, y))
    assert pressed() == "No pixel of the source is marked: drag a box over it, or paint."


def test_at_a_phones_width_nothing_sticks_out_and_a_finger_paints(page):
    page.set_viewport_size({"width": 390, "height": 844})
    wide = "document.documentElement.scrollWidth"
    assert page.evaluate(wide) == 390
    page.click("#example")
    page.wait_for_selector("#driver canvas:visible")
    page.click("text=Brush")
    box, finger = page.locator("#source canvas").bounding_box(), page.context.new_cdp_session(page)
    for kind, share in (("touchStart", 0.3), ("touchMove", 0.4), ("touchMove", 0.5)):
        point = {"x": box["x"] + share * box["width"], "y": box["y"] + share * box["height"]}
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
    finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    for summary in page.locator("summary").all():
        summary.click()
    page.fill("#num_samples", "5")
    assert [mark.tool for mark in edit(page).marks] == ["box", "brush"]
    assert page.evaluate(wide) == 390


@pytest.fixture
def trained(editor) -> Editor:
    """The editor of the screenshot: the run or bundle that is named by E2EVE_SCREENSHOT_MODEL."""
    model = os.environ.get("E2EVE_SCREENSHOT_MODEL")
    return Editor.from_pretrained(model) if model else editor


def test_the_example_is_edited_and_fits_a_small_screen(watched, trained, tmp_path):
    """Leaves a screenshot where E2EVE_SCREENSHOT names a file."""
    name = os.environ.get("E2EVE_SCREENSHOT_MODEL", "tiny")
    with serving(new_site(trained, name=name)) as port:
        page = watched.page
        page.set_viewport_size({"width": 1280, "height": 800})
        page.goto(f"http://127.0.0.1:{port}/")
        page.wait_for_selector("body[data-ready]")
        page.click("#example")
        page.wait_for_selector("#driver canvas:visible")
        page.fill("#num_samples", "4")
        page.fill("#guidance", "2")
        edit(page)
        page.wait_for_selector("#queue:text('empty')")
        for name in ("edit", "status", "download", "go-on", "undo", "ranked"):
            box = page.locator(f"#{name}").bounding_box()
            assert box["y"] + box["height"] <= 800 and box["x"] + box["width"] <= 1280, name
        picture = Path(os.environ.get("E2EVE_SCREENSHOT", tmp_path / "page.png"))
        page.screenshot(path=picture, animations="disabled")
        page.goto("about:blank")  # asks the server nothing any more
    assert Image.open(picture).size == (1280, 800)
