"""Run folders: resumed with the same settings, refused with others; commits and their absence."""

import json
import os
import subprocess
import sys
import zipfile

import pytest
from omegaconf import OmegaConf

from e2eve.runs import (
    Curves,
    RunFolder,
    differing,
    git_revision,
    hold,
    lock_run_dir,
    read_curves,
    run_settings,
)


def steps(count: int) -> dict:
    follows = {"decay_steps": "${trainer.max_steps}"}
    config = {"seed": 1, "trainer": {"max_steps": count}, "optimizer": follows}
    return run_settings(OmegaConf.create(config))


def test_a_run_is_resumed_with_the_same_settings_and_more_steps(tmp_path):
    RunFolder(tmp_path / "run").open(steps(5))
    run = RunFolder(tmp_path / "run")
    run.open(steps(9))
    assert run.settings()["optimizer"]["decay_steps"] == 9


def trained(run: RunFolder) -> RunFolder:
    run.curves.write_text("step\n")
    return run


def test_another_run_in_the_same_folder_is_refused_by_name(tmp_path):
    config = {"transformer": {"width": 32}}
    trained(RunFolder(tmp_path).open(config))
    with pytest.raises(ValueError, match=r"other settings \(transformer.width\)"):
        RunFolder(tmp_path).open({"transformer": {"width": 64}})


def test_settings_of_a_run_that_trained_nothing_may_be_mended(tmp_path):
    """What was refused or failed before its first step leaves a folder in nobody's way."""
    RunFolder(tmp_path).open({"transformer": {"width": 33}}).mark("failed")
    run = RunFolder(tmp_path).open({"transformer": {"width": 32}})
    assert run.settings() == {"transformer": {"width": 32}}


@pytest.mark.parametrize("spelt", ["photos/", "./photos", "{}/photos", "../{}/photos", "link"])
def test_a_place_is_the_same_however_it_is_spelt(tmp_path, monkeypatch, spelt):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "link").symlink_to("photos")
    spelt = spelt.format(tmp_path.name if ".." in spelt else tmp_path)
    trained(RunFolder("run").open({"dataset": {"root": "photos"}}))
    assert RunFolder("run").open({"dataset": {"root": spelt}}).settings()["dataset"]["root"]
    with pytest.raises(ValueError, match=r"other settings \(dataset.root\)"):
        RunFolder("run").open({"dataset": {"root": "."}})


def test_images_may_move_while_a_run_waits(tmp_path, caplog):
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    trained(RunFolder(tmp_path / "run").open({"dataset": {"root": str(old)}}))
    old.rename(new)
    caplog.set_level("INFO")
    RunFolder(tmp_path / "run").open({"dataset": {"root": str(new)}})
    assert f"dataset.root was {old}, which is gone: the run goes on with {new}" in caplog.text


def test_a_folder_is_held_until_the_process_ends(tmp_path):
    """And its own process may train there."""
    code = (
        "import sys; from pathlib import Path; from e2eve.runs import hold, lock_run_dir\n"
        "run = Path(sys.argv[1]); hold(run)\n"
        "with lock_run_dir(run): pass\n"
        "print('held', flush=True); sys.stdin.read()"
    )
    started = [sys.executable, "-c", code, str(tmp_path)]
    first = subprocess.Popen(started, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert first.stdout is not None and first.stdout.readline() == b"held\n"
    with pytest.raises(ValueError, match="Another process is training in"):
        hold(tmp_path)
    first.communicate()
    with lock_run_dir(tmp_path):
        pass


def test_status_says_what_was_marked_last(tmp_path):
    run = RunFolder(tmp_path)
    assert run.status()["state"] == "new"
    run.mark("failed", error="out of luck")
    assert run.status()["error"] == "out of luck"


def test_differences_are_named_by_their_leaves():
    before, after = {"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 1, "c": 9}, "e": 4}
    assert differing(before, after) == ["a.c", "d", "e"]


def test_curves_continue_after_an_interruption(tmp_path):
    """What was logged after the last checkpoint is written over."""
    first = Curves(tmp_path / "metrics.csv")
    first.add(1, {"train/loss": 3.0})
    first.add(2, {"train/loss": 2.0})
    first.save()
    second = Curves(tmp_path / "metrics.csv")
    second.add(2, {"train/loss": 1.5, "val/loss": 9.0})
    second.save()
    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    assert lines == ["step,train/loss,val/loss", "1,3.0,", "2,1.5,9.0"]
    assert read_curves(second.path)["train/loss"] == ([1.0, 2.0], [3.0, 1.5])
    assert read_curves(second.path)["val/loss"] == ([2.0], [9.0])


def test_parts_that_a_training_does_not_read_may_change(tmp_path):
    before, after = ({"seed": 1, "transformer": {"width": width}} for width in (32, 64))
    trained(RunFolder(tmp_path).open(before))
    with pytest.raises(ValueError, match=r"transformer\.width"):
        RunFolder(tmp_path).open(after)
    RunFolder(tmp_path).open(after, unrelated=["transformer"])
    assert RunFolder(tmp_path).settings() == after


@pytest.mark.parametrize("name", ["devices", "num_nodes", "accumulate_grad_batches"])
def test_what_decides_the_images_per_step_stays(tmp_path, name):
    trained(RunFolder(tmp_path).open({"trainer": {name: 1, "log_every_n_steps": 1}}))
    with pytest.raises(ValueError, match=rf"other settings \(trainer.{name}\)"):
        RunFolder(tmp_path).open({"trainer": {name: 2, "log_every_n_steps": 2}})


@pytest.fixture
def older(tmp_path) -> RunFolder:
    """A run folder as it was before it said its format."""
    run = RunFolder(tmp_path).open({"seed": 1, "trainer": {"max_steps": 2}})
    run.mark("done", result="bundle")
    run.bundle.mkdir()
    status = run.status()
    del status["format"]
    (run / "status.json").write_text(json.dumps(status))
    return run


def test_a_run_of_another_format_is_read_and_not_resumed(older):
    settings = older.settings()
    assert older.result_of(settings) == older.bundle
    with pytest.raises(ValueError, match=r"another version .*\(format 1, .* writes 2\): finish it"):
        older.open(settings)


def test_a_longer_run_is_not_taken_for_a_shorter_one(tmp_path):
    run = RunFolder(tmp_path)
    run.check_length(5)
    run.checkpoints.mkdir()
    zipfile.ZipFile(run.checkpoints / "step_000009.ckpt", "w").close()
    run.check_length(9)
    run.check_length(-1)
    with pytest.raises(ValueError, match=r"for 9 steps and trainer\.max_steps is 5: give"):
        run.check_length(5)


@pytest.mark.parametrize("older", [True, False])
def test_an_evaluation_of_weights_that_were_trained_further_goes(tmp_path, older):
    run = RunFolder(tmp_path)
    run.checkpoints.mkdir()
    zipfile.ZipFile(run.checkpoints / "step_000009.ckpt", "w").close()
    for path in (run / "metrics.json", run.report):
        path.touch()
    moment = (run.checkpoints / "step_000009.ckpt").stat().st_mtime
    os.utime(run / "metrics.json", (moment, moment - 9 if older else moment + 9))
    run.remove_old_evaluation()
    assert (run / "metrics.json").exists() == run.report.exists() == (not older)


def git(folder, *arguments: str) -> str:
    own = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    command = ["git", "-C", str(folder), *own, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def package(tmp_path):
    """A package in a checkout of its own."""
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "__init__.py").write_text("a = 1\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    return folder


def test_the_commit_and_whether_it_was_changed(package):
    commit = git(package, "rev-parse", "HEAD")
    assert git_revision(package) == commit
    (package / "__init__.py").write_text("a = 2\n")
    assert git_revision(package) == f"{commit}-dirty"


def test_a_package_that_is_installed_in_another_checkout_has_none(package):
    installed = package.parent / "site-packages"
    installed.mkdir()
    (installed / "__init__.py").touch()
    assert git_revision(installed) is None


def test_outside_a_checkout_there_is_none(tmp_path):
    (tmp_path / "__init__.py").touch()
    assert git_revision(tmp_path) is None


def test_a_damaged_status_is_named(tmp_path):
    (tmp_path / "status.json").write_text('{"state": "do')
    with pytest.raises(ValueError, match=r"status\.json is damaged .*: remove that file"):
        RunFolder(tmp_path).status()
