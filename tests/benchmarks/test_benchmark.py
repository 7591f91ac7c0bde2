"""`python -m e2eve.benchmark`: every part runs, and says what its roofline is made of."""

import functools
import itertools
import json

import pytest
import torch

from e2eve.benchmark import benchmark
from e2eve.benchmarks import parts
from e2eve.benchmarks.setting import PARTS, PRESETS, Setting, on_meta, operations_of
from e2eve.benchmarks.timing import CLOCKS, Variant, timings
from tests.factories import compose

CPU = torch.device("cpu")
OWN = sorted(set(PARTS) - {"passes", "products", "drafts"})  # which scripts/gpt_parts.py adds


@pytest.fixture(autouse=True)
def _few_images(monkeypatch):
    monkeypatch.setattr(parts, "REFERENCES", 12)
    monkeypatch.setattr(parts, "DISTRACTORS", 8)


def run(*overrides: str) -> list[dict]:
    settings = ["preset=tiny", "device=cpu", "rounds=1", "workers=0", *overrides]
    return benchmark(compose(*settings, config_name="benchmark"))


@pytest.mark.parametrize("part", OWN)
def test_a_part_is_timed_beside_its_roofline(part):
    (found,) = run(f"parts=[{part}]", "batch=2")
    assert (found["part"], found["batch"]) == (part, 2)
    assert found["seconds"] > 0
    assert found["speedup"] is None, "without references there is no baseline"
    assert found["above_roofline"] == pytest.approx(found["seconds"] / found["roofline"]["seconds"])
    assert found["roofline"]["arithmetic"]


def test_the_parts_of_the_default_are_there():
    assert set(compose(config_name="benchmark").parts) == set(OWN)


def test_another_transformer_takes_the_place_of_the_presets():
    sizes = [
        run("parts=sample", f"transformer={name}", "variants=[]") for name in ("tiny", "small")
    ]
    (tiny,), (small,) = sizes
    assert small["roofline"]["seconds"] > tiny["roofline"]["seconds"]
    assert [one["name"] for one in small["variants"]] == ["e2eve"]


def test_any_family_of_token_models_can_be_timed(monkeypatch):
    monkeypatch.setattr(parts, "GPT", type("Another", (), {}))
    (found,) = run("parts=sample")
    assert [one["name"] for one in found["variants"]] == ["e2eve", "preserve=tokens"]
    assert found["roofline"] is None


@pytest.mark.parametrize("transformer", ["masked_small", "small_region"])
def test_token_models_that_read_the_region_are_timed_beside_their_work(transformer):
    overrides = (f"transformer={transformer}", "transformer.layers=1", "transformer.width=32")
    step, drawn = run("parts=[train_step,sample]", *overrides)
    assert step["above_roofline"] > 0
    assert {one["name"] for one in drawn["variants"]} >= {"e2eve", "preserve=tokens"}


def test_batches_get_a_line_each_and_the_lines_are_kept(tmp_path):
    out = tmp_path / "new" / "lines.jsonl"
    found = run("parts=[mask,encode]", "batch=[1,3]", f"out={out}")
    assert [(line["part"], line["batch"]) for line in found] == [
        ("mask", 1), ("mask", 3), ("encode", 1), ("encode", 3)
    ]  # fmt: skip
    assert [json.loads(line) for line in out.read_text().splitlines()] == found


@pytest.mark.parametrize("names", ["bfloat16", "[bfloat16]"])
def test_only_the_variants_that_are_named_are_timed(names):
    (found,) = run("parts=sample", f"variants={names}")
    assert [one["name"] for one in found["variants"]] == ["e2eve", "bfloat16"]


def test_what_was_measured_before_a_part_failed_is_printed(capsys, monkeypatch):
    def fail(setting):
        raise ValueError("no")

    monkeypatch.setitem(PARTS, "decode", fail)
    with pytest.raises(ValueError, match="no"):
        run("parts=[encode,decode]")
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["part"] == "encode"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["parts=[sampel]"], 'parts is "sampel".*did you mean "sample"'),
        (["preset=huge"], 'preset is "huge"'),
        (["precision=fp8"], 'precision is "fp8"'),
        (["batch=0"], "batch is 0: give at least 1"),
        (["rounds=0"], "rounds is 0"),
        (["threads=0"], "threads is 0: give at least 1"),
        (["batch=[1,two]"], 'batch is "two": give a whole number'),
        (["parts=[encode]", "variants=[exat]"], 'variants is "exat"'),
        (["+way=plain"], "way is no setting"),
    ],
)
def test_what_is_wrong_is_one_sentence(overrides, message):
    with pytest.raises(ValueError, match=message):
        run(*overrides)


def test_the_published_tokenizer_works_as_much_as_is_known(monkeypatch):
    monkeypatch.setitem(PRESETS, "base", (256, 64, "base", "tiny"))
    network = on_meta(Setting("base").network.source_tokenizer)
    image = torch.zeros(1, 3, 256, 256, device="meta")
    ids = torch.zeros(1, 256, dtype=torch.long, device="meta")
    encoding = operations_of(lambda: network.latent(image))
    assert encoding == pytest.approx(138e9, rel=0.03)
    assert operations_of(lambda: network.decode(ids)) == pytest.approx(253e9, rel=0.03)
    assert operations_of(lambda: network.latent(image), winograd=True) < encoding / 2


def test_training_is_counted_at_every_preset():
    for preset in ("tiny", "small"):
        learning, encoding = parts.training_work(Setting(preset))
        assert operations_of(learning) > operations_of(encoding) > 0


class Clock:
    """Time that passes only while something waits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.waits = 0.0, list[str]()
        monkeypatch.setitem(CLOCKS, "test", lambda: self.now)

    def wait(self, name: str, seconds: float) -> None:
        self.waits.append(name)
        self.now += seconds


def test_shares_are_scaled_up_and_variants_take_turns(monkeypatch):
    clock = Clock(monkeypatch)
    both = [Variant(name, functools.partial(clock.wait, name, 0.25), share=0.5) for name in "ab"]
    found = timings(both, rounds=2, device=CPU, clock="test")
    assert [name for name, _ in itertools.groupby(clock.waits)] == ["a", "b", "a", "b"]
    assert [one["seconds"] for one in found] == [0.5, 0.5]


def test_quick_variants_are_called_often_enough_to_be_timed(monkeypatch):
    clock = Clock(monkeypatch)
    quick = Variant("quick", functools.partial(clock.wait, "quick", 0.001))
    (found,) = timings([quick], rounds=1, device=CPU, clock="test")
    assert len(clock.waits) > 100
    assert found["seconds"] == pytest.approx(0.001)


def test_pytorch_keeps_its_number_of_threads(monkeypatch):
    threads = []
    torch.set_num_threads(2)
    variant = Variant("e2eve", lambda: threads.append(torch.get_num_threads()))
    timings([variant], rounds=1, device=CPU)
    assert set(threads) == {2}
    assert torch.get_num_threads() == 2
