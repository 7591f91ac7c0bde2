"""The page on which people say which of two systems' edits is better, without their names."""

import json
import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from PIL import Image

from e2eve.app_page.site import Answer, Site
from e2eve.comparison.runs import Run, read_run
from e2eve.comparison.samples import read_png, saved_inputs, saved_samples, validation_folder
from e2eve.comparison.votes import read_votes, tally
from e2eve.config import read_settings
from e2eve.limits import NonNegative
from e2eve.reporting.grid import outlined
from e2eve.reporting.page import data_uri, script_safe


class ComparedRun(NamedTuple):
    """A run whose edits are compared, and the folder of the inputs they were made of."""

    run: Run
    inputs: Path

    @property
    def name(self) -> str:
        return str(self.run.folder)


class Ballot(NamedTuple):
    """What one vote is about: sample number `sample` of both, `left` being the system's index."""

    input: str
    sample: int
    left: int


@dataclass(frozen=True)
class Vote:
    """What the page sends; `voter` is made up anew each time that the page is opened."""

    pair: NonNegative
    choice: Literal["left", "right", "none"]
    voter: str


def read_systems(folders: Sequence[str]) -> list[ComparedRun]:
    """The two runs of these folders.

    Raises:
        ValueError: when they are not two, have no saved edits, or edits of other inputs.
    """
    if len(folders) != 2:
        raise ValueError(
            f"compare holds {len(folders)} runs: give two, compare=[<run folder>,<run folder>]."
        )
    found = []
    for folder in folders:
        if not Path(folder).is_dir():
            raise ValueError(f"{folder} is no folder: give the folder of a run.")
        run = read_run(Path(folder))
        if run.results is None or not saved_inputs(run.results):
            raise ValueError(
                f"{folder} has no saved edits of validation inputs: python -m e2eve.evaluate "
                f"run={folder} makes them."
            )
        content_hash = run.results.about["validation_hash"]
        inputs = validation_folder(run, content_hash)
        if inputs is None:
            raise ValueError(f"The validation set of {folder} is not at hand: evaluate it again.")
        found.append((ComparedRun(run, inputs), content_hash))
    (one, first), (other, second) = found
    if first != second:
        raise ValueError(
            f"{one.name} and {other.name} were evaluated on different inputs: evaluate both with "
            "one validation_set=…."
        )
    return [one, other]


@dataclass
class BlindSite(Site):
    """Pairs of edits of the same input in random order, on random sides; votes go into a file.

    Args:
        votes: JSON lines are added to it, one a vote.
        seed: of the order, the sides and the samples.
    """

    systems: list[ComparedRun]
    votes: Path
    seed: int

    template: ClassVar[str] = "blind.html.j2"

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        if self.votes.is_dir() or not self.votes.absolute().parent.is_dir():
            raise ValueError(f"votes is {self.votes}: give a file in a folder that there is.")
        self.wins()  # says at once what is wrong with a file that is there

    @cached_property
    def ballots(self) -> list[Ballot]:
        """One for each input that both have saved edits of."""
        results = [system.run.results for system in self.systems]
        ids = sorted(set.intersection(*(set(saved_inputs(one)) for one in results if one)))
        if not ids:
            raise ValueError("The two runs have saved no edits of the same input.")
        count = min(one.about["num_samples"] for one in results if one)
        rng = np.random.default_rng(self.seed)
        order = rng.permutation(ids).tolist()
        return [Ballot(id, int(rng.integers(count)), int(rng.integers(2))) for id in order]

    def content(self) -> dict[str, Any]:
        data = {"pairs": len(self.ballots), "voter": secrets.token_hex(4)}
        return {"title": "Which edit is better?", "data": script_safe(data)}

    def answer(self, method: str, names: list[str], body: Any) -> Answer | None:
        match method, names:
            case "GET", ["pairs", n] if n.isdecimal() and int(n) < len(self.ballots):
                return Answer.of(self.shown(self.ballots[int(n)]))
            case "POST", ["votes"]:
                vote = read_settings(body if isinstance(body, dict) else {}, Vote)
                if vote.pair >= len(self.ballots):
                    raise ValueError(f"There is no pair {vote.pair}.")
                self.write(vote)
                return Answer.of({})
            case "GET", ["wins"]:
                return Answer.of(self.wins())
        return None

    def shown(self, pair: Ballot) -> dict[str, str]:
        """Images of a pair, without a word on what made them."""
        folder, name = self.systems[0].inputs, f"{pair.input}.png"
        region = read_png(folder / "regions" / name)[..., 0] > 127
        images = {
            "source": outlined(read_png(folder / "sources" / name), region),
            "driver": read_png(folder / "drivers" / name),
        }
        for side, index in (("left", pair.left), ("right", 1 - pair.left)):
            results = self.systems[index].run.results
            assert results is not None  # `read_systems` has looked
            images[side] = saved_samples(results, pair.input)[pair.sample]
        return {name: data_uri(Image.fromarray(image)) for name, image in images.items()}

    def write(self, vote: Vote) -> None:
        """Add a vote to the file."""
        pair = self.ballots[vote.pair]
        sides = {"left": pair.left, "right": 1 - pair.left}
        names = [system.name for system in self.systems]
        winner = names[sides[vote.choice]] if vote.choice in sides else None
        found = {
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "voter": vote.voter[:32],
            "validation_hash": self.validation_hash,
            "input": pair.input,
            "sample": pair.sample,
            **{side: names[index] for side, index in sides.items()},
            "choice": vote.choice,
            "winner": winner,
        }
        with self._lock, self.votes.open("a", encoding="utf-8") as file:
            file.write(json.dumps(found, ensure_ascii=False) + "\n")

    @property
    def validation_hash(self) -> str:
        results = self.systems[0].run.results
        assert results is not None
        return results.about["validation_hash"]

    def wins(self) -> list[dict[str, Any]]:
        """For each system its votes and its share of those that prefer one, with an interval.

        Of all votes in the file on these two systems and these inputs.

        Raises:
            ValueError: when the file holds anything but votes.
        """
        names = [system.name for system in self.systems]
        ours = [
            vote
            for vote in read_votes(self.votes)
            if vote["validation_hash"] == self.validation_hash
            and {vote["left"], vote["right"]} == {*names}
        ]
        return tally(ours, names)
