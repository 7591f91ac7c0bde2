"""Whatever a setting is given, it means something or is refused by one sentence before any work."""

import random
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest

from e2eve.training.trainer import LIMITS
from scripts.config_values import (
    Case,
    Verdict,
    cases,
    composed,
    fault_of,
    inside,
    sweeps,
    tried,
)

SCRIPT = Path(__file__).parents[1] / "scripts/config_values.py"
NEEDS_NO_MODEL = ("train editor", "train tokenizer", "validation_set", "simulate", "benchmark")


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """The commands; their model is not made."""
    return sweeps(tmp_path_factory.mktemp("models") / "model")


def verdict(known, case: Case, really: bool = False) -> Verdict:
    sweep = known[case.command]
    return tried(case, sweep, composed(sweep), really)


def sample(known, commands, count: int, seed: int) -> Iterator[Case]:
    some = {name: known[name] for name in commands}
    return iter(random.Random(seed).sample(cases(some), count))


def test_a_setting_means_something_or_is_refused_by_a_sentence(known):
    """A sample of what `python scripts/config_values.py` tries."""
    found = {case: verdict(known, case) for case in sample(known, NEEDS_NO_MODEL, 16, seed=1)}
    assert {case: one.said for case, one in found.items() if one.kind == "wrong"} == {}
    assert {one.kind for one in found.values()} == {"accepted", "refused"}


@pytest.mark.slow
def test_so_is_every_setting_of_every_command():
    """In a process of its own, where no types are checked as in tests."""
    line = [sys.executable, str(SCRIPT), "--share", "0.04", "--real", "0", "--seed", "2"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count(" 0 wrong") == 11


@pytest.mark.parametrize(
    ("key", "name", "sentence"),
    [
        ("trainer.max_steps", "-1", "trainer.max_steps is -1: give at least 1, or -1 with trainer"),
        ("transformer.layers", "0", "transformer.layers is 0: give at least 1."),
        ("name", "null", "name is null: give text."),
        ("optimizer.base_learning_rate", "nan", "optimizer.base_learning_rate is nan: give a"),
        ("edit_simulation.region.min_side", "-1", "edit_simulation.region.min_side is -1: give"),
        ("trainer.devices", "0", "trainer.devices is 0: give auto, a number from 1 on."),
        ("init_from", "word", "init_from: word is no bundle"),
        ("callbacks.best.monitor", "word", 'callbacks.best.monitor is "word", the choices are'),
        ("trainer.max_time", "1.5", 'trainer.max_time is "1.5": give days:hours:minutes:seconds'),
        ("trainer.devices", "huge", "trainer.devices is 1000000000000: give at most 1024."),
        ("trainer.strategy", "word", 'trainer.strategy is "word", the choices are auto, ddp, '),
        ("ckpt_path", "1.5", "ckpt_path is 1.5, and there is no such file: give a checkpoint"),
        ("seed", "huge", "seed is 1000000000000: give at most 4294967295."),
    ],
)
def test_what_means_nothing_is_refused(known, key, name, sentence):
    found = verdict(known, Case("train editor", key, name))
    assert found.kind == "refused" and found.said.startswith(sentence), found


@pytest.mark.parametrize(
    ("key", "name"),
    [("name", "huge"), ("steps", "1e30"), ("tags", "list"), ("trainer.enable_progress_bar", "0")],
)
def test_what_means_something_is_done_in_full(known, key, name):
    found = verdict(known, Case("train editor", key, name), really=True)
    assert found.kind == ("refused" if name == "1e30" else "accepted"), found


@pytest.mark.parametrize(
    ("key", "name"),
    [("num_nodes", "-1"), ("accelerator", "word"), ("gradient_clip_algorithm", "word")],
)
def test_the_trial_sees_what_is_not_looked_at(known, key, name):
    """Without a limit of ours Lightning's own words reach the person."""
    others = {one: limit for one, limit in LIMITS.items() if one != key}
    case = Case("train editor", f"trainer.{key}", name)
    assert verdict(known, case).kind == "refused"
    with patch("e2eve.training.trainer.LIMITS", others):
        assert verdict(known, case).kind == "wrong"


@pytest.mark.parametrize(
    ("sentence", "fault"),
    [
        ("seed is -1: give at least 0.", None),
        ("It is -1: give at least 0.", "no key"),
        ("seed is wrong: give at least 0.", "no value"),
        ("seed is -1.", "no remedy"),
        ("seed is -1:\ngive 0.", "no sentence"),
        ("seed is -1: 'NoneType' object is not iterable, give 0.", "a library's words"),
    ],
)
def test_a_sentence_names_key_value_and_remedy(sentence, fault):
    case = Case("train editor", "seed", "-1")
    assert fault_of(sentence, ValueError(sentence), case, {"seed"}) == fault


def test_the_trial_leaves_nothing_behind(known, tmp_path):
    with inside(tmp_path):
        verdict(known, Case("train editor", "run_dir", "word"), really=True)
    assert not [path for path in tmp_path.iterdir() if not re.match(r"\.", path.name)]
