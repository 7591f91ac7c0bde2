"""`python -m e2eve.benchmark`: every part runs, is compared, and says what the floor is made of."""

import functools
import json

import pytest
import torch

from e2eve.benchmark import benchmark
from e2eve.benchmarks.floors import tokenizer_work
from e2eve.benchmarks.registry import PARTS
from e2eve.benchmarks.setting import PRESETS, Setting
from e2eve.benchmarks.timing import CLOCKS, Case, timings
from tests.factories import compose

CPU = torch.device("cpu")
PLAIN = set(PARTS) - {"loader", "passes", "validation"}


def run(*overrides: str) -> list[dict]:
    settings = ["preset=tiny", "device=cpu", "rounds=1", "workers=0", *overrides]
    return [json.loads(line) for line in benchmark(compose(*settings, config_name="benchmark"))]


@pytest.mark.parametrize("part", sorted(set(PARTS) - {"sample", "drafts"}))
def test_a_part_is_timed_beside_its_plain_way_and_its_floor(part):
    (found,) = run(f"parts=[{part}]", "batch=2")
    assert (found["part"], found["batch"]) == (part, 2)
    assert found["seconds"] > 0
    assert (found["speedup"] is not None) == (part in PLAIN)
    assert found["above_floor"] == pytest.approx(found["seconds"] / found["floor"]["seconds"])
    assert found["floor"]["arithmetic"]


def test_sampling_is_timed_beside_other_ways():
    pytest.importorskip("transformers")
    (found,) = run("parts=[sample]")
    ways = [way["name"] for way in found["ways"]]
    assert ways[0] == "uncached loop"
    assert any("GPT-2" in name for name in ways)
    assert found["speedup"] == pytest.approx(found["ways"][0]["seconds"] / found["seconds"])


def test_batches_get_a_line_each_and_the_lines_are_kept(tmp_path):
    out = tmp_path / "new" / "lines.jsonl"
    found = run("parts=[mask,encode]", "batch=[1,3]", f"out={out}")
    assert [(line["part"], line["batch"]) for line in found] == [
        ("mask", 1), ("mask", 3), ("encode", 1), ("encode", 3)
    ]  # fmt: skip
    assert [json.loads(line) for line in out.read_text().splitlines()] == found


def test_one_part_and_one_way_need_no_brackets():
    (found,) = run("parts=encode", "ways=exact convolutions")
    assert [way["name"] for way in found["ways"]] == ["ours", "exact convolutions"]


def test_only_the_ways_that_are_named_are_timed():
    (found,) = run("parts=[encode]", "ways=['exact convolutions']")
    assert [way["name"] for way in found["ways"]] == ["ours", "exact convolutions"]
    assert found["speedup"] is None


def test_what_was_measured_before_a_part_failed_is_printed(capsys):
    with pytest.raises(ValueError, match="needs a trained editor"):
        run("parts=[encode,drafts]")
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["part"] == "encode"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["parts=[sampel]"], 'A part is "sampel".*did you mean "sample"'),
        (["preset=huge"], 'preset is "huge"'),
        (["precision=fp8"], 'precision is "fp8"'),
        (["batch=0"], "batch is 0: give 1 or more"),
        (["rounds=0"], "rounds is 0"),
        (["threads=0"], "threads is 0: give 1 or more"),
        (["batch=[1,two]"], "batch is two: give 1 or more"),
        (["parts=[mask]", "ways=[plane]"], 'A way of mask is "plane".*did you mean "plain"'),
        (["parts=[drafts]"], "needs a trained editor: give editor="),
    ],
)
def test_what_is_wrong_is_one_sentence(overrides, message):
    with pytest.raises(ValueError, match=message):
        run(*overrides)


def test_the_published_tokenizer_works_as_much_as_is_known():
    tokenizer = Setting(PRESETS["large"]).editor.source_tokenizer
    encoding, decoding = tokenizer_work(tokenizer, 256)
    assert encoding.all == pytest.approx(138e9, rel=0.03)
    assert decoding.all == pytest.approx(253e9, rel=0.03)
    assert encoding.least() < encoding.all / 2


class Clock:
    """Goes on only while something waits for it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.waits = 0.0, list[str]()
        monkeypatch.setitem(CLOCKS, "test", lambda: self.now)

    def wait(self, name: str, seconds: float) -> None:
        self.waits.append(name)
        self.now += seconds


def test_shares_are_scaled_up_and_ways_take_turns(monkeypatch):
    clock = Clock(monkeypatch)
    ways = [Case(name, functools.partial(clock.wait, name, 0.25), share=0.5) for name in "ab"]
    found = timings(ways, rounds=2, device=CPU, clock="test")
    assert clock.waits == ["a", "b"] * 3
    assert [timing.seconds for timing in found] == [0.5, 0.5]


def test_quick_ways_are_called_often_enough_to_be_timed(monkeypatch):
    clock = Clock(monkeypatch)
    quick = Case("quick", functools.partial(clock.wait, "quick", 0.001))
    (found,) = timings([quick], rounds=1, device=CPU, clock="test")
    assert len(clock.waits) > 100
    assert found.seconds == pytest.approx(0.001)
