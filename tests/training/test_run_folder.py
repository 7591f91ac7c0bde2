"""Laws of run folders."""

import os

import pytest
from omegaconf import DictConfig, OmegaConf

from e2eve.training.metrics_log import MetricsLog
from e2eve.training.run_folder import RunFolder, differing


def steps(count: int) -> DictConfig:
    follows = {"decay_steps": "${trainer.max_steps}"}
    return OmegaConf.create({"seed": 1, "trainer": {"max_steps": count}, "optimizer": follows})


def test_a_run_goes_on_with_the_same_settings_and_more_steps(tmp_path):
    RunFolder(tmp_path / "run").open(steps(5))
    run = RunFolder(tmp_path / "run")
    run.open(steps(9))
    assert OmegaConf.load(run / "config.yaml").optimizer.decay_steps == 9


def test_another_run_in_the_same_folder_is_refused_by_name(tmp_path):
    config = {"transformer": {"width": 32}}
    RunFolder(tmp_path).open(OmegaConf.create(config))
    with pytest.raises(ValueError, match=r"other settings \(transformer.width\)"):
        RunFolder(tmp_path).open(OmegaConf.create({"transformer": {"width": 64}}))


def test_status_says_what_was_marked_last(tmp_path):
    run = RunFolder(tmp_path)
    assert run.status()["state"] == "new"
    run.mark("failed", error="out of luck")
    assert run.status()["error"] == "out of luck"


def test_differences_are_named_by_their_leaves():
    before, after = {"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 1, "c": 9}, "e": 4}
    assert differing(before, after) == ["a.c", "d", "e"]


def test_metrics_go_on_after_an_interruption(tmp_path):
    first = MetricsLog(tmp_path / "metrics.csv")
    first.log_metrics({"train/loss": 3.0, "epoch": 0}, 1)
    first.log_metrics({"train/loss": 2.0}, 2)
    first.save()
    second = MetricsLog(tmp_path / "metrics.csv")
    second.log_metrics({"train/loss": 1.5, "val/loss": 9.0}, 2)
    second.save()
    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    assert lines == ["step,train/loss,val/loss", "1,3.0,", "2,1.5,9.0"]


def test_parts_that_a_training_does_not_read_may_change(tmp_path):
    before, after = ({"seed": 1, "transformer": {"width": width}} for width in (32, 64))
    RunFolder(tmp_path).open(OmegaConf.create(before))
    with pytest.raises(ValueError, match=r"transformer\.width"):
        RunFolder(tmp_path).open(OmegaConf.create(after))
    RunFolder(tmp_path).open(OmegaConf.create(after), unrelated=["transformer"])
    assert OmegaConf.load(tmp_path / "config.yaml").transformer.width == 64


def test_the_number_of_processes_stays(tmp_path):
    def devices(count: int) -> DictConfig:
        return OmegaConf.create({"trainer": {"devices": count, "threads": count}})

    RunFolder(tmp_path).open(devices(1))
    with pytest.raises(ValueError, match=r"other settings \(trainer.devices\)"):
        RunFolder(tmp_path).open(devices(2))


def test_a_longer_training_is_not_taken_for_a_shorter_one(tmp_path):
    run = RunFolder(tmp_path)
    run.check_length(5)
    run.checkpoints.mkdir()
    (run.checkpoints / "step_000009.ckpt").touch()
    (run.checkpoints / "last.ckpt").symlink_to("step_000009.ckpt")
    run.check_length(9)
    with pytest.raises(ValueError, match=r"for 9 steps and trainer\.max_steps is 5: give"):
        run.check_length(5)


@pytest.mark.parametrize("older", [True, False])
def test_an_evaluation_of_weights_that_were_trained_further_goes(tmp_path, older):
    run = RunFolder(tmp_path)
    run.checkpoints.mkdir()
    for path in (run / "metrics.json", run.report, run.checkpoints / "step_000009.ckpt"):
        path.touch()
    moment = (run.checkpoints / "step_000009.ckpt").stat().st_mtime
    os.utime(run / "metrics.json", (moment, moment - 9 if older else moment + 9))
    run.remove_old_evaluation()
    assert (run / "metrics.json").exists() == run.report.exists() == (not older)
