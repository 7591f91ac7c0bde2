"""Names of cells: the same for the same choices, different for different ones, easy to type."""

import re

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from e2eve.sweeps.study import LONGEST_NAME, cell_name, quoted, without


def test_a_name_is_what_hydra_calls_the_choices():
    choices = "optimizer.base_learning_rate-5e-05+seed-0+tokenizer-shared"
    assert cell_name(choices) == choices
    assert cell_name("") == "cell"


@pytest.mark.parametrize(
    "value", ["a/b", "'a b'", "[1,2]", "{a: 1}", "'ä-1'", "x" * 200, "null", "-0.5", "'it\\'s'"]
)
def test_a_name_needs_no_quotes(value):
    name = cell_name(f"key-{value}")
    assert re.fullmatch(r"[\w.+-]+", name)
    assert len(name) <= LONGEST_NAME + 9
    override = OverridesParser.create().parse_override(f"run=runs/{name}/bundle")
    assert override.value() == f"runs/{name}/bundle"


def test_values_that_look_alike_get_different_names():
    assert len({cell_name(f"key-{value}") for value in ("a/b", "a_b", "'a b'", "[a,b]")}) == 4


@pytest.mark.parametrize("value", ["plain", "it's, a=b", "with space/and #1", "[1]"])
def test_quoted_values_are_read_as_they_were(value):
    assert OverridesParser.create().parse_override(f"key={quoted(value)}").value() == value


def test_overrides_are_dropped_by_key_and_by_what_lies_below():
    given = ["trainer=gpu", "trainer.max_steps=3", "trainers=1", "+sweep=a", "hydra/launcher=b"]
    assert without(given, ["trainer", "sweep", "hydra/launcher"]) == ["trainers=1"]
    assert without(given, ["trainer.max_steps"]) == [given[0], *given[2:]]
