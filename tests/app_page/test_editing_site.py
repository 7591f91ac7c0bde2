"""What is answered to whom, and what becomes of a form."""

import base64
import io
import itertools
import json
import re
import threading
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import numpy as np
import pytest
from PIL import Image

from e2eve.app_page.editing_page import EditingSite, Limits, Mark, marked, png
from e2eve.app_page.site import Site
from e2eve.data.toyfaces import ToyFaces
from e2eve.editor import Editor
from e2eve.geometry import Box
from tests.app_page.test_queue import until
from tests.factories import tiny_editor

LIMITS = Limits(max_megabytes=2, max_megapixels=0.5, max_samples=8, max_seconds=60, max_waiting=4)
START = {"num_samples": 2, "seed": 0, "guidance": 1.0, "temperature": 1.0, "top_p": 0.9}
BOX = Box(10, 8, 50, 40)


def new_site(
    editor: Editor, limits: Limits = LIMITS, host: str = "127.0.0.1", name: str = "tiny"
) -> EditingSite:
    return EditingSite(host, "secret", 3_000_000, editor, name, limits, START)


@pytest.fixture(scope="module")
def editor() -> Editor:
    return tiny_editor()


@pytest.fixture
def site(editor) -> EditingSite:
    return new_site(editor)


def ask(site: Site, method: str, path: str, body: Any = None, **changes: Any) -> tuple[int, bytes]:
    data = b"" if body is None else json.dumps(body).encode()
    request = {
        "REQUEST_METHOD": method,
        "PATH_INFO": f"/{path}",
        "HTTP_HOST": "127.0.0.1:8060",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(data)),
        "wsgi.input": io.BytesIO(data),
        **changes,
    }
    found: list[Any] = []
    parts = site(request, lambda status, headers: found.extend([status, dict(headers)]))
    assert "Access-Control-Allow-Origin" not in found[1]
    assert found[1]["X-Content-Type-Options"] == "nosniff"
    assert found[1]["Cache-Control"] == "no-store"
    return int(found[0][:3]), b"".join(parts)


def sent(image: np.ndarray) -> str:
    return base64.b64encode(png(Image.fromarray(image))).decode()


@pytest.fixture
def form() -> dict[str, Any]:
    faces = ToyFaces("val", 64)
    box = {"tool": "box", "points": [[BOX.left, BOX.top], [BOX.right, BOX.bottom]]}
    return {**START, "source": sent(faces[0]), "driver": sent(faces[1]), "marks": [box]}


def state(site: EditingSite, name: str) -> dict[str, Any]:
    status, body = ask(site, "GET", f"edits/{name}")
    assert status == 200
    return json.loads(body)


def edited(site: EditingSite, form: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The name of an edit, and its state at the end."""
    status, body = ask(site, "POST", "edits", form)
    assert status == 200, body
    name = json.loads(body)["name"]
    until(lambda: state(site, name)["state"] not in ("waiting", "running"))
    return name, state(site, name)


def test_a_form_gives_the_pixels_of_the_python_call(site, editor, form):
    changes = {"num_samples": 3, "seed": 5, "guidance": 1.5, "temperature": 0.8, "top_p": 0.95}
    name, found = edited(site, {**form, **changes, "driver_box": [4, 6, 44, 46]})
    assert found["state"] == "done"
    faces = ToyFaces("val", 64)
    driver = Box(4, 6, 44, 46).crop(faces[1])
    expected = editor.edit(faces[0], driver, BOX, **changes)
    assert [sample["number"] for sample in found["samples"]] == expected.numbers
    for n, image in enumerate(expected.images):
        data = ask(site, "GET", f"edits/{name}/{n}.png")[1]
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), np.asarray(image))
    assert ask(site, "GET", f"edits/{name}/grid.png")[0] == 200


def test_only_who_has_the_name_sees_an_edit_and_nobody_once_it_is_dropped(site, form):
    name, _ = edited(site, form)
    for path in (f"edits/{name}x", f"edits/{name}x/0.png", "edits/", "edits/../edits", "edits"):
        assert ask(site, "GET", path)[0] == HTTPStatus.NOT_FOUND
    for file in ("2.png", "../0.png", "source.png", ""):
        assert ask(site, "GET", f"edits/{name}/{file}")[0] == HTTPStatus.NOT_FOUND
    assert ask(site, "DELETE", f"edits/{name}")[0] == 200
    assert ask(site, "GET", f"edits/{name}/0.png")[0] == HTTPStatus.NOT_FOUND
    assert not site.queue._jobs


def test_nothing_is_written(site, form, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    edited(site, form)
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"HTTP_HOST": "evil.example"}, 403),
        ({"HTTP_HOST": "127.0.0.1.evil.example:8060"}, 403),
        ({"HTTP_ORIGIN": "http://evil.example"}, 403),
        ({"HTTP_ORIGIN": "null"}, 403),
        ({"HTTP_ORIGIN": "http://127.0.0.1:9999"}, 403),
        ({"HTTP_ORIGIN": "http://127.0.0.1:8060"}, 200),
        ({"CONTENT_TYPE": "text/plain"}, 415),
        ({"CONTENT_TYPE": "multipart/form-data"}, 415),
        ({"CONTENT_LENGTH": "3000001"}, 413),
        ({"CONTENT_LENGTH": "-1"}, 413),
        ({"CONTENT_LENGTH": ""}, 400),
        ({"REQUEST_METHOD": "PUT"}, 404),
        ({"wsgi.input": io.BytesIO(b"[" * 100_000), "CONTENT_LENGTH": "100000"}, 400),
    ],
)
def test_requests_of_others_and_odd_ones_are_refused(site, form, changes, status):
    found, body = ask(site, "POST", "edits", form, **changes)
    assert found == status
    assert b"Traceback" not in body and len(body) < 200


def test_beyond_this_machine_all_paths_begin_with_the_secret(editor):
    site = new_site(editor, host="0.0.0.0")
    assert site.path == "secret/"
    for path in ("", "queue", "secre", "secret", "edits", "Secret/", "x/secret/"):
        assert ask(site, "GET", path, HTTP_HOST="192.168.0.7")[0] == 404
    assert ask(site, "GET", "secret/", HTTP_HOST="192.168.0.7")[0] == 200
    assert ask(site, "GET", "secret/queue", HTTP_HOST="192.168.0.7")[0] == 200
    other = {"HTTP_HOST": "192.168.0.7", "HTTP_ORIGIN": "http://evil.example"}
    assert ask(site, "GET", "secret/queue", **other)[0] == 403


NOISE = np.random.default_rng(0).integers(0, 256, (800, 800, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"marks": []}, "No pixel of the source is marked"),
        ({"marks": [{"tool": "box", "points": [[900, 900], [950, 950]]}]}, "No pixel"),
        ({"source": base64.b64encode(b"<svg/>").decode()}, "The source is in none of the formats"),
        ({"driver": "?"}, "The driver was not sent in base 64"),
        ({"driver": sent(NOISE[:50])[:2000]}, "The driver cannot be read"),
        ({"source": sent(NOISE)}, "The source has 0.6 megapixels and"),
        ({"driver_box": [0, 0, 99, 99]}, r"The box .* reaches outside the driver of 64×64"),
        ({"driver_box": [9, 9, 9, 9]}, "right must exceed left"),
        ({"marks": [{"tool": "box", "points": [[1, 1]]}]}, "A box has 1 corners"),
    ],
)  # fmt: skip
def test_an_input_that_cannot_be_edited_is_one_sentence(site, form, changes, sentence):
    _, found = edited(site, {**form, **changes})
    assert found["state"] == "failed"
    assert re.search(sentence, found["message"])
    assert "\n" not in found["message"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"num_samples": 9}, "9 samples are asked for and the limit is 8"),
        ({"num_samples": 0}, "num_samples is 0: give at least 1"),
        ({"seed": -1}, "seed is -1: give at least 0"),
        ({"temperature": float("nan")}, "temperature is nan: give a finite number"),
        ({"path": "/etc/passwd"}, "path is no setting"),
        ({"marks": [{"tool": "knife", "points": []}]}, "knife"),
        ({"marks": [{"tool": "brush", "points": [[1e9, 0]], "radius": 1}]}, "too many strokes"),
        ({"marks": [{"tool": "brush", "points": [[1, 1]] * 30_000}]}, "too many strokes"),
    ],
)  # fmt: skip
def test_a_form_out_of_range_is_refused_at_once(site, form, changes, sentence):
    status, body = ask(site, "POST", "edits", {**form, **changes})
    assert status == 400
    assert sentence in body.decode()


def test_what_is_no_form_is_refused(site):
    bodies: list[Any] = [[], "x", None, 3, {}]
    for body in bodies:
        status, found = ask(site, "POST", "edits", body)
        assert status == 400 and b"Traceback" not in found


@pytest.fixture
def slow(editor, monkeypatch) -> Iterator[threading.Event]:
    """Edits last until this is set."""
    opened, draw = threading.Event(), Editor.edit

    def edit(self: Editor, *images: Any, progress: Any, **options: Any) -> Any:
        while not opened.wait(0.005):
            progress(3)
        return draw(self, *images, progress=progress, **options)

    monkeypatch.setattr(Editor, "edit", edit)
    yield opened
    opened.set()


def test_visitors_wait_for_each_other_and_see_how_long_the_queue_is(site, form, slow):
    names = [json.loads(ask(site, "POST", "edits", form)[1])["name"] for _ in range(3)]
    until(lambda: state(site, names[0])["done"] == 3)
    assert [state(site, name)["ahead"] for name in names] == [0, 1, 2]
    assert json.loads(ask(site, "GET", "queue")[1]) == {"length": 3}
    ask(site, "DELETE", f"edits/{names[0]}")
    until(lambda: state(site, names[1])["state"] == "running")
    slow.set()
    until(lambda: state(site, names[2])["state"] == "done")
    assert json.loads(ask(site, "GET", "queue")[1]) == {"length": 0}


def test_the_settings_that_the_page_lacks_are_the_commands(editor, form):
    site = new_site(editor)
    site.sampling = {"top_k": 1}  # the likeliest token each time, whatever the seed
    first, second = (edited(site, {**form, "seed": seed})[0] for seed in (0, 1))
    images = [ask(site, "GET", f"edits/{name}/0.png")[1] for name in (first, second)]
    assert images[0] == images[1]


def near(points: np.ndarray, width: int, height: int) -> np.ndarray:
    """The slow, obvious way: the distance of each pixel's centre to the line through points."""
    y, x = np.mgrid[:height, :width] + 0.5
    best = np.full((height, width), np.inf)
    for (a, b), (c, d) in itertools.pairwise(points):
        length = max((c - a) ** 2 + (d - b) ** 2, 1e-9)
        along = (((x - a) * (c - a) + (y - b) * (d - b)) / length).clip(0, 1)
        best = np.minimum(best, np.hypot(x - a - along * (c - a), y - b - along * (d - b)))
    return best


def test_a_stroke_marks_what_is_near_its_line_and_the_eraser_unmarks_it():
    rng = np.random.default_rng(0)
    for _ in range(30):
        width, height = (int(n) for n in rng.integers(20, 200, 2))
        points = rng.uniform(-20, 220, (int(rng.integers(1, 6)), 2))
        radius = float(rng.uniform(1, 40))
        distance = near(points if len(points) > 1 else points.repeat(2, 0), width, height)
        everything = Mark("box", [(0, 0), (width, height)])
        line = [(float(x), float(y)) for x, y in points]
        erased = marked([everything, Mark("eraser", line, radius), SPOT], width, height)
        sure, rim = distance < radius - 1.5, abs(distance - radius) <= 1.5
        far = np.hypot(*np.mgrid[:height, :width]) > 5  # from the spot
        assert (erased == (distance > radius))[~rim & far].all()
        if sure.any():
            painted = marked([Mark("brush", line, radius)], width, height)
            assert (painted == (distance < radius))[~rim].all()


SPOT = Mark("box", [(0, 0), (2, 2)])  # so that something stays marked


def test_a_box_marks_its_very_pixels_from_whichever_corner_it_was_dragged():
    for xs, ys in itertools.product([(3.0, 9.0), (9.0, 3.0)], [(4.0, 12.0), (12.0, 4.0)]):
        mask = marked([Mark("box", [(xs[0], ys[0]), (xs[1], ys[1])])], 20, 15)
        assert np.array_equal(mask, Box(3, 4, 9, 12).mask(20, 15))
    mask = marked([Mark("box", [(-5, -5), (4, 99)])], 20, 15)
    assert np.array_equal(mask, Box(0, 0, 4, 15).mask(20, 15))
