"""Two runs' edits compared blindly: what is shown, what is counted, by HTTP and in a browser."""

import base64
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from e2eve.app import AppSettings, blind_site
from e2eve.app_page.blind_page import BlindSite, read_systems
from e2eve.config import read_settings
from tests.app_page.test_editing_site import ask
from tests.browser import serving
from tests.comparison.factories import Made, write_run
from tests.factories import compose

SAVED = 5


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    for name, skill in (("able", 0.6), ("poor", 0.0)):
        write_run(Path("runs", name), Made({"tokenizer": name}, skill=skill, saved=SAVED))
    return ["runs/able", "runs/poor"]


def new_site(runs: list[str], **changes: Any) -> BlindSite:
    given = [f"{name}={value}" for name, value in changes.items()]
    chosen = compose(f"compare=[{','.join(runs)}]", *given, config_name="app")
    return blind_site(read_settings(chosen, AppSettings))


@pytest.fixture
def site(runs) -> BlindSite:
    return new_site(runs)


def vote(site: BlindSite, pair: int, choice: str, voter: str = "me") -> int:
    return ask(site, "POST", "votes", {"pair": pair, "choice": choice, "voter": voter})[0]


def wins(site: BlindSite) -> list[dict[str, Any]]:
    return json.loads(ask(site, "GET", "wins")[1])


def strip(run: str, id: str, sample: int) -> bytes:
    """The pixels of a saved sample, read apart from the page's code."""
    images = np.asarray(Image.open(f"{run}/samples/inputs/{id}.png"))
    return np.split(images, 4, axis=1)[sample].tobytes()


def test_every_input_is_shown_once_and_both_sides_are_what_the_runs_have_saved(site, runs):
    assert sorted(ballot.input for ballot in site.ballots) == [f"{n:05d}" for n in range(SAVED)]
    for ballot in site.ballots:
        left, right = runs if ballot.left == 0 else reversed(runs)
        shown = {name: pixels(uri).tobytes() for name, uri in site.shown(ballot).items()}
        assert shown["left"] == strip(left, ballot.input, ballot.sample)
        assert shown["right"] == strip(right, ballot.input, ballot.sample)


def test_edits_are_shown_put_back_into_the_source_where_they_are_saved_so(site, runs):
    ballot = site.ballots[0]
    with Image.open(f"{runs[0]}/samples/inputs/{ballot.input}.png") as drawn:
        put_back = Image.eval(drawn, lambda level: 255 - level)
    Path(runs[0], "samples/shown").mkdir()
    put_back.save(f"{runs[0]}/samples/shown/{ballot.input}.png")
    shown = {name: pixels(uri) for name, uri in site.shown(ballot).items()}
    ours, theirs = ("left", "right") if ballot.left == 0 else ("right", "left")
    expected = np.split(np.asarray(put_back), 4, axis=1)[ballot.sample]
    assert np.array_equal(shown[ours], expected)
    assert shown[theirs].tobytes() == strip(runs[1], ballot.input, ballot.sample)


def pixels(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


def test_nothing_that_is_sent_before_the_end_names_a_run(site):
    bodies = [ask(site, "GET", path)[1] for path in ("", *(f"pairs/{n}" for n in range(SAVED)))]
    for body in bodies:
        assert b"runs/" not in body and b"poor" not in body


def test_sides_and_order_are_random_and_the_seed_decides(runs):
    sites = [new_site(runs, seed=seed) for seed in range(40)]
    lefts = [ballot.left for site in sites for ballot in site.ballots]
    assert 0.3 < np.mean(lefts) < 0.7
    assert len({tuple(ballot.input for ballot in site.ballots) for site in sites}) > 20
    assert new_site(runs, seed=3).ballots == sites[3].ballots


def test_votes_count_for_the_run_behind_the_side_and_a_new_start_goes_on_counting(site, runs):
    able = [("left", "right")[ballot.left] for ballot in site.ballots]
    for n, side in enumerate(able[:3]):
        assert vote(site, n, side) == 200
    other = {"left": "right", "right": "left"}[able[3]]
    assert vote(site, 3, other) == 200
    assert vote(site, 4, "none") == 200
    for again in (site, new_site(runs, seed=9), new_site(runs[::-1])):
        found = {row["name"]: row for row in wins(again)}
        assert {name: row["votes"] for name, row in found.items()} == {
            "runs/able": 3, "runs/poor": 1, None: 1
        }  # fmt: skip
        share = found["runs/able"]["share"]
        assert share["mean"] == 0.75
        # Wilson's interval for 3 of 4, by its formula in another form.
        z, n, p = 1.959964, 4, 0.75
        roots = np.roots([1 + z**2 / n, -(2 * p + z**2 / n), p**2])
        assert np.allclose(sorted(roots), [share["low"], share["high"]])
    lines = [json.loads(line) for line in Path("votes.jsonl").read_text().splitlines()]
    assert [line["winner"] for line in lines] == ["runs/able"] * 3 + ["runs/poor", None]
    assert {line["voter"] for line in lines} == {"me"}
    assert all({line["left"], line["right"]} == {*runs} for line in lines)


def test_votes_on_other_runs_do_not_count(site, runs):
    vote(site, 0, "left")
    shutil.copytree("runs/poor", "runs/third")
    third = new_site(["runs/able", "runs/third"])
    assert [row["votes"] for row in wins(third)] == [0, 0, 0]
    assert wins(third)[0]["share"] is None


def test_a_vote_that_is_none_is_refused_and_not_written(site):
    assert vote(site, SAVED, "left") == 400
    assert vote(site, 0, "both") == 400
    assert vote(site, -1, "left") == 400
    assert ask(site, "GET", f"pairs/{SAVED}")[0] == ask(site, "GET", "pairs/x")[0] == 404
    assert ask(site, "POST", "votes", {}, HTTP_ORIGIN="http://evil.example")[0] == 403
    assert not Path("votes.jsonl").exists()


def test_what_cannot_be_compared_is_one_sentence(runs):
    write_run(Path("runs/other"), Made(validation_hash="cd" * 32, saved=2))
    write_run(Path("runs/running"), Made(state="running"))
    write_run(Path("runs/bare"), Made(saved=0))
    shutil.copytree("runs/able", "runs/moved")
    shutil.rmtree("runs/moved/validation_set")
    for names, sentence in (
        (["able"], "compare holds 1 runs: give two"),
        (["able", "nowhere"], "runs/nowhere is no folder"),
        (["able", "other"], "were evaluated on different inputs"),
        (["able", "running"], "runs/running has no saved edits of validation inputs"),
        (["bare", "able"], "runs/bare has no saved edits"),
        (["moved", "able"], "The validation set of runs/moved is not at hand"),
    ):
        with pytest.raises(ValueError, match=sentence):
            read_systems([f"runs/{name}" for name in names])
    for place, sentence in (("runs", "votes is runs: give a file"), ("x/y", "give a file in a")):
        with pytest.raises(ValueError, match=sentence):
            new_site(runs, votes=place)
    Path("votes.jsonl").write_text("my notes\n")
    with pytest.raises(ValueError, match=r"votes\.jsonl holds something else than votes"):
        new_site(runs)
    assert Path("votes.jsonl").read_text() == "my notes\n"


def test_one_votes_by_keys_and_buttons_and_reads_the_result(site, watched):
    with serving(site) as port:
        page = watched.page
        page.set_viewport_size({"width": 1280, "height": 800})
        page.goto(f"http://127.0.0.1:{port}/")
        chosen = []
        for n, act in enumerate(("ArrowLeft", "ArrowRight", "ArrowDown", None, "ArrowLeft")):
            page.wait_for_selector(f"body[data-ready='{n}']")
            assert page.locator("#count").inner_text() == f"{n + 1} of {SAVED}"
            assert page.evaluate("document.documentElement.scrollHeight") <= 800
            if act:
                page.keyboard.press(act)
            else:
                page.locator("[data-choice=right]").click()
            chosen.append({"ArrowLeft": "left", "ArrowDown": "none"}.get(act or "", "right"))
        page.wait_for_selector("#wins:visible")
        assert "runs/able" in page.locator("#wins tbody").inner_text()
        assert not page.locator("#pair").is_visible()
    lines = [json.loads(line) for line in Path("votes.jsonl").read_text().splitlines()]
    assert [line["choice"] for line in lines] == chosen


def test_at_a_phones_width_nothing_sticks_out(site, watched):
    with serving(site) as port:
        page = watched.page
        page.set_viewport_size({"width": 390, "height": 844})
        page.goto(f"http://127.0.0.1:{port}/")
        page.wait_for_selector("body[data-ready]")
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        page.click("#end")
        page.wait_for_selector("#wins:visible")
        assert page.evaluate("document.documentElement.scrollWidth") == 390
