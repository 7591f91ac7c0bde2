"""Evaluating a trained editor again is a run of its own: no training, other samples."""

import json

import pytest

from e2eve.training.run import train
from tests.factories import TINY, UNTRAINED, compose
from tests.training.test_evaluating import SMALL


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of an editor at tiny size."""
    path = tmp_path_factory.mktemp("trained")
    train(compose(*TINY, *UNTRAINED, f"run_dir={path}"))
    return path


def again(trained, path, *overrides: str) -> dict:
    settings = [*TINY, *SMALL, "task=evaluation", f"init_from={trained}", f"run_dir={path}"]
    report = train(compose(*settings, *overrides))
    assert report == path / "report.html"
    return json.loads((path / "metrics.json").read_text())


def test_the_editor_is_evaluated_and_nothing_is_trained(trained, tmp_path):
    found = again(trained, tmp_path, "sampling.temperature=0.5")
    assert found["about"]["sampling"]["temperature"] == 0.5
    names = {path.name for path in tmp_path.iterdir()}
    assert not names & {"bundle", "checkpoints", "token_cache"}
    assert json.loads((tmp_path / "status.json").read_text())["state"] == "done"


def test_sampling_changes_the_samples_and_not_the_inputs(trained, tmp_path):
    greedy = again(trained, tmp_path / "greedy", "sampling.temperature=0")
    drawn = again(trained, tmp_path / "drawn", "sampling.temperature=1")
    assert greedy["about"]["validation_hash"] == drawn["about"]["validation_hash"]
    diversity = [found["systems"][0]["values"]["diversity"] for found in (greedy, drawn)]
    assert diversity[0] == 0 < diversity[1]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["init_from=null"], "nothing to evaluate: give init_from="),
        (["evaluation.enabled=false"], "evaluation.enabled=false has nothing to do"),
    ],
)
def test_what_cannot_be_evaluated_is_one_sentence(trained, tmp_path, overrides, message):
    with pytest.raises(ValueError, match=message):
        again(trained, tmp_path, *overrides)


def test_an_evaluation_takes_one_process(trained, tmp_path):
    with pytest.raises(
        ValueError, match=r"one process, and trainer\.devices is 2 on 1 nodes: give"
    ):
        again(trained, tmp_path, "trainer.devices=2")
