"""Several processes find what one finds: nothing counted twice, nothing lost."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from e2eve.evaluation.evaluator import own_batches
from e2eve.evaluation.results import read_results
from tests.evaluation.two_processes import evaluated

ROOT = Path(__file__).parents[2]
CASES = [(5, 2), (5, 5), (4, 1), (2, 3)]  # inputs, batch size


@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
@pytest.mark.parametrize(("count", "size"), [(1, 4), (5, 2), (7, 7), (100, 25)])
def test_shares_of_batches_hold_each_input_once(count, size, ranks):
    shares = [own_batches(count, size, rank, ranks) for rank in range(ranks)]
    assert all(shares)  # states that are gathered need the same shape everywhere
    batches = [batch for share in shares[:count] for batch in share]
    assert sorted(row for batch in batches for row in batch) == list(range(count))
    assert max(map(len, batches)) <= size


def test_nobody_is_idle_while_there_are_inputs():
    first = [own_batches(100, 25, rank, 8)[0] for rank in range(8)]
    assert len(set(first)) == 8
    two = [batch for rank in range(2) for batch in own_batches(100, 25, rank, 2)]
    assert set(two) == set(own_batches(100, 25))


@pytest.fixture(scope="module", params=[2, 3])
def together(request, tmp_path_factory) -> Path:
    """The cases evaluated by several processes: a folder `rank_case` for each evaluation."""
    folder = tmp_path_factory.mktemp("together")
    command = [sys.executable, "-m", "tests.evaluation.two_processes", str(folder)]
    processes = []
    for rank in range(request.param):
        ranks = {"RANK": str(rank), "WORLD_SIZE": str(request.param), "OMP_NUM_THREADS": "1"}
        processes.append(
            subprocess.Popen([*command, json.dumps(CASES)], cwd=ROOT, env={**os.environ, **ranks})
        )
    assert [process.wait(timeout=600) for process in processes] == [0] * request.param
    return folder


@pytest.mark.slow
def test_every_process_has_all_results(together):
    for number in range(len(CASES)):
        first, *others = (read_results(folder) for folder in sorted(together.glob(f"?_{number}")))
        assert others
        assert all(other.systems == first.systems for other in others)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(CASES)))
def test_every_metric_is_that_of_one_process(together, number, tmp_path):
    alone = evaluated(*CASES[number])
    alone.save(tmp_path)
    ours, theirs = (read_results(f).numbers() for f in (tmp_path, together / f"0_{number}"))
    assert "editor/frechet_region" in ours
    assert "editor/nll_gap" in ours
    assert theirs == pytest.approx(ours, rel=1e-5, abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(CASES)))
def test_rows_and_pictures_are_in_the_order_of_inputs(together, number, tmp_path):
    alone = evaluated(*CASES[number])
    alone.save(tmp_path)
    for name in ("samples.csv", "inputs.csv"):
        ours, theirs = (
            list(csv.DictReader((folder / name).open()))
            for folder in (tmp_path, together / f"0_{number}")
        )
        assert [row["input"] for row in ours] == [row["input"] for row in theirs]
    pictures = [path.name for path in (tmp_path / "samples" / "inputs").iterdir()]
    for picture in pictures:
        ours, theirs = (
            folder / "samples" / "inputs" / picture
            for folder in (tmp_path, together / f"0_{number}")
        )
        assert ours.read_bytes() == theirs.read_bytes()
