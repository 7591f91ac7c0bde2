"""Names of cells: the same for the same choices, different for different ones, easy to type."""

import re

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from e2eve.sweeps.study import LONGEST_NAME, cell_name, quoted, short, without

FIXED = ["experiment", "dataset.root"]
CHOICES = ["tokenizer=shared", "optimizer.base_learning_rate=5e-05", "seed=0"]


def test_a_name_says_what_was_chosen_and_nothing_else():
    given = [*CHOICES, "+experiment=toyfaces_block", "dataset.root=/far/away"]
    assert cell_name(given, FIXED) == "tokenizer-shared+base_learning_rate-5e-05+seed-0"


def test_a_name_does_not_depend_on_where_what_is_fixed_is_written():
    assert cell_name(["dataset.root=a", *CHOICES], FIXED) == cell_name(CHOICES, FIXED)


@pytest.mark.parametrize(
    "value", ["a/b", "'a b'", "[1,2]", "{a: 1}", "'ä=1'", "x" * 200, "null", "-0.5", "'it\\'s'"]
)
def test_a_name_needs_no_quotes(value):
    name = cell_name([f"key={value}"])
    assert re.fullmatch(r"[\w.+-]+", name)
    assert len(name) <= LONGEST_NAME + 9
    override = OverridesParser.create().parse_override(f"run=runs/{name}/bundle")
    assert override.value() == f"runs/{name}/bundle"


def test_values_that_look_alike_get_different_names():
    names = {cell_name([f"key={value}"]) for value in ("a/b", "a_b", "'a b'", "[a,b]")}
    assert len(names) == 4


def test_labels_are_as_short_as_they_can_tell():
    keys = ["a.rate", "b.rate", "transformer.width"]
    assert short(keys) == {"a.rate": "a.rate", "b.rate": "b.rate", "transformer.width": "width"}


@pytest.mark.parametrize("value", ["plain", "it's, a=b", "with space/and #1", "[1]"])
def test_quoted_values_are_read_as_they_were(value):
    assert OverridesParser.create().parse_override(f"key={quoted(value)}").value() == value


def test_overrides_are_dropped_by_key_and_by_what_lies_below():
    given = ["trainer=gpu", "trainer.max_steps=3", "trainers=1", "+sweep=a", "hydra/launcher=b"]
    assert without(given, ["trainer", "sweep", "hydra/launcher"]) == ["trainers=1"]
    assert without(given, ["trainer.max_steps"]) == [given[0], *given[2:]]
