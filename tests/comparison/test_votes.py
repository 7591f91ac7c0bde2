"""Votes added up: shares with their intervals, for each pair of runs and set of inputs."""

import json
from pathlib import Path
from typing import Any

import pytest

from e2eve.comparison.dashboard_page import DashboardSettings
from e2eve.comparison.votes import preferences, read_votes, tally


def vote(left: str, right: str, winner: str | None, inputs: str = "x") -> dict[str, Any]:
    return {"left": left, "right": right, "winner": winner, "validation_hash": inputs}


VOTES = [vote("a", "b", "a"), vote("b", "a", "a"), vote("a", "b", "b"), vote("a", "b", None)]


def test_sides_do_not_matter_and_votes_without_a_winner_count_apart():
    a, b, neither = tally(VOTES, ["a", "b"])
    assert (a["votes"], b["votes"], neither["votes"]) == (2, 1, 1)
    assert a["share"]["mean"] == 2 / 3
    assert a["share"]["low"] < 2 / 3 < a["share"]["high"]
    assert a["share"]["low"] == pytest.approx(1 - b["share"]["high"])
    assert tally([], ["a"])[0] == {"name": "a", "votes": 0, "share": None}


def test_pairs_and_inputs_are_told_apart_and_the_preferred_one_is_named_first():
    table = preferences([*VOTES, vote("b", "c", "c"), vote("a", "b", "b", "y")])
    rows = table[["Preferred", "over", "in", "votes", "no difference"]].values.tolist()
    assert rows == [
        ["a", "b", "67%", "2 to 1", 1],
        ["c", "b", "100%", "1 to 0", 0],
        ["b", "a", "100%", "1 to 0", 0],
    ]
    assert preferences([]).empty


def test_what_holds_no_votes_is_refused(tmp_path: Path):
    path = tmp_path / "votes.jsonl"
    assert read_votes(path) == []
    path.write_text("".join(json.dumps(one) + "\n" for one in VOTES))
    assert read_votes(path) == VOTES
    assert DashboardSettings("runs", votes=str(path)).read_votes() == VOTES
    for text in ("no votes", '{"left": 1}', "[]"):
        path.write_text(text)
        with pytest.raises(ValueError, match="holds something else than votes"):
            read_votes(path)
    with pytest.raises(ValueError, match="votes is nowhere, which is no file: give one of e2eve"):
        DashboardSettings("runs", votes="nowhere").read_votes()
