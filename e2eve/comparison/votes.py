"""What people preferred: votes on pairs of edits, as the blind page keeps them, added up."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from statsmodels.stats.proportion import proportion_confint

Votes = Sequence[Mapping[str, Any]]


def read_votes(path: Path) -> list[dict[str, Any]]:
    """The votes in a file, one JSON object a line; none where there is no file.

    Raises:
        ValueError: when it holds anything else.
    """
    if not path.exists():
        return []
    try:
        votes = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for vote in votes:
            _ = {vote["left"], vote["right"], vote["validation_hash"], vote["winner"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} holds something else than votes: give another votes=<file>."
        ) from error
    return votes


def tally(votes: Votes, names: Sequence[str]) -> list[dict[str, Any]]:
    """For each name its votes and its share of those that prefer one; last those without a winner.

    A share has the ends of its 95 % interval (Wilson 1927); None without votes.
    """
    winners = [vote["winner"] for vote in votes if vote["winner"] is not None]
    found = []
    for name in names:
        share, count = None, winners.count(name)
        if winners:
            low, high = proportion_confint(count, len(winners), method="wilson")
            share = {"mean": count / len(winners), "low": float(low), "high": float(high)}
        found.append({"name": name, "votes": count, "share": share})
    return [*found, {"name": None, "votes": len(votes) - len(winners), "share": None}]


def preferences(votes: Votes) -> pd.DataFrame:
    """A row for each two runs that were compared on the same inputs; no rows without votes."""
    pairs = defaultdict(list)
    for vote in votes:
        pairs[vote["validation_hash"], *sorted((vote["left"], vote["right"]))].append(vote)
    rows = []
    for (_, *names), of_pair in pairs.items():
        one, other, neither = tally(of_pair, names)
        ahead, behind = sorted((one, other), key=lambda row: row["votes"], reverse=True)
        share = ahead["share"]
        rows.append(
            {
                "Preferred": ahead["name"],
                "over": behind["name"],
                "in": share and f"{share['mean']:.0%}",
                "95 % interval": share and f"{share['low']:.0%} to {share['high']:.0%}",
                "votes": f"{ahead['votes']} to {behind['votes']}",
                "no difference": neither["votes"],
            }
        )
    return pd.DataFrame(rows).fillna("")
