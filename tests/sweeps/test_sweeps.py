"""A sweep runs what is not done, in folders of its own, and says at its end what is not."""

import json
import signal
import time

import pytest
import yaml

from e2eve.evaluation.settings import check_numbers
from e2eve.runs import lock_run_dir
from e2eve.sweeps.study import Cell

TWO_BY_TWO = ["tokenizer=shared,separate", "seed=0,1"]


def test_every_cell_runs_once(stub_sweep):
    code, output = stub_sweep.run(*TWO_BY_TWO)
    assert code == 0, output
    names = [f"seed-{s}+tokenizer-{t}" for t in ("separate", "shared") for s in (0, 1)]
    assert stub_sweep.states() == dict.fromkeys(names, "done")
    code, output = stub_sweep.run(*TWO_BY_TWO)
    assert code == 0
    assert output.count("  done  ") == 4
    assert set(stub_sweep.lives().values()) == {1}
    assert "4 of 4 cells are done" in output


def test_a_failed_cell_stops_no_other_and_is_named_with_its_log(stub_sweep):
    code, output = stub_sweep.run("seed=7,8,0")
    assert code == 1
    assert stub_sweep.states() == {"seed-0": "done", "seed-7": "failed", "seed-8": "failed"}
    end = output[output.index("1 of 3 cells are done") :]
    assert "seed-7: failed, ValueError: seed 7 brings no luck" in end
    assert "seed-8: failed, its process ended with exit code -9" in end
    log = stub_sweep.folder / "seed-7" / "train.log"
    assert str(log) in end
    assert "Traceback" in log.read_text()
    assert "Traceback" not in output


def test_a_failed_cell_is_retried_on_request_in_its_folder(stub_sweep):
    stub_sweep.run("seed=7,0")
    (stub_sweep.folder / "healed").touch()
    code, output = stub_sweep.run("seed=7,0")
    assert code == 1
    assert "study.retry_failed=true" in output
    assert stub_sweep.lives() == {"seed-0": 1, "seed-7": 1}
    code, _ = stub_sweep.run("seed=7,0", "study.retry_failed=true")
    assert code == 0
    assert stub_sweep.lives() == {"seed-0": 1, "seed-7": 2}
    code, _ = stub_sweep.run("seed=7,0")
    assert code == 0
    assert stub_sweep.lives() == {"seed-0": 1, "seed-7": 2}


def test_other_steps_make_a_done_cell_go_on(stub_sweep):
    stub_sweep.run("seed=0,1")
    stub_sweep.run("seed=0,1", "trainer.max_steps=99999")
    assert stub_sweep.lives() == {"seed-0": 2, "seed-1": 2}


def test_a_dry_run_touches_nothing(stub_sweep):
    code, output = stub_sweep.run(*TWO_BY_TWO, "study.dry_run=true")
    assert code == 0
    assert output.count("  to run  ") == 4
    assert stub_sweep.states() == {}


def test_sigterm_ends_the_cell_under_way_and_starts_no_other(stub_sweep):
    process = stub_sweep.start("seed=9,0")
    waiting = stub_sweep.folder / "seed-9" / "waiting"
    for _ in range(600):
        if waiting.exists():
            break
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert process.returncode == 143
    assert stub_sweep.states() == {"seed-9": "interrupted"}


def test_several_at_a_time_each_with_its_own_output(stub_sweep):
    code, _output = stub_sweep.run(
        "seed=0,1,7", "hydra/launcher=e2eve_local", "hydra.launcher.n_jobs=3"
    )
    assert code == 1
    assert stub_sweep.states() == {"seed-0": "done", "seed-1": "done", "seed-7": "failed"}
    assert "no luck" in (stub_sweep.folder / "seed-7" / "output.log").read_text()


PHOTOS = ["+experiment=photos_block", "dataset.root=pictures", *TWO_BY_TWO]


def test_tokenizers_that_cells_share_are_trained_once_before_them(stub_sweep):
    tokenizers = [f"runs/photos_{role}_tokenizer" for role in ("source", "driver")]
    code, output = stub_sweep.run(*PHOTOS, "trainer.max_steps=5", "study.tokenizers=['seed=3']")
    assert code == 0, output
    for place in tokenizers:
        assert output.count(f"made first  {place}") == 1
        config = yaml.safe_load((stub_sweep.folder.parent / place / "config.yaml").read_text())
        assert (config["dataset"]["root"], config["seed"]) == ("pictures", 3)
        assert config["trainer"]["max_steps"] > 5  # what is given is for the cells
    assert set(stub_sweep.states().values()) == {"done"}
    _, output = stub_sweep.run(*PHOTOS, "trainer.max_steps=6")
    for place in tokenizers:
        assert output.count(f"exists  {place}") == 1
        assert len((stub_sweep.folder.parent / place / "lives.txt").read_text().splitlines()) == 1


def test_cells_whose_tokenizer_fails_are_not_started(stub_sweep):
    code, output = stub_sweep.run(*PHOTOS, "study.tokenizers=['batch_size=13']")
    assert code == 1
    assert stub_sweep.states() == {}
    assert output.count("not started, runs/photos_source_tokenizer") == 4


def test_what_nobody_makes_is_said_before_anything_runs(stub_sweep):
    code, output = stub_sweep.run("seed=0,1", "tokenizer.source=runs/nobody")
    assert code == 2
    assert "tokenizer.source=runs/nobody, which is no trained network" in output
    assert stub_sweep.states() == {}


def test_an_editor_is_trained_before_its_sampling_is_evaluated(stub_sweep):
    code, output = stub_sweep.run("+sweep=sampling", "study.dry_run=true", "evaluation=standard")
    assert code == 0, output
    assert "made first  runs/toyfaces_block  (+experiment=toyfaces_block" in output
    assert output.count("  to run  sampling.temperature-") == 12


def test_a_search_goes_after_its_objective_and_repeats_itself(stub_sweep):
    pytest.importorskip("optuna")
    search = ["+sweep=search", "study.objective=val/loss", "hydra.sweeper.n_trials=6"]
    search.append("hydra.sweeper.direction=minimize")
    rates = "hydra.sweeper.params={optimizer.base_learning_rate: 'choice(1e-5,3e-5,9e-5)'}"
    code, output = stub_sweep.run(*search, rates)
    assert code == 0, output
    best = (stub_sweep.folder / "optimization_results.yaml").read_text()
    assert "base_learning_rate: 3.0e-05" in best
    lives = stub_sweep.lives()
    assert set(lives.values()) == {1}
    stub_sweep.run(*search, rates)
    assert stub_sweep.lives() == lives


def test_an_objective_that_there_is_not_fails_the_search_by_name(stub_sweep):
    pytest.importorskip("optuna")
    code, output = stub_sweep.run(
        *("+sweep=search", "study.objective=val/los", "hydra.sweeper.n_trials=1"),
        "hydra.sweeper.direction=minimize",
    )
    assert code != 0
    assert 'study.objective is "val/los"' in output


def test_the_record_says_which_cells_there_are(stub_sweep):
    stub_sweep.run("seed=0,1")
    record = json.loads((stub_sweep.folder / "sweep.json").read_text())
    assert list(record["cells"]) == ["seed-0", "seed-1"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["hydra/launcher=e2eve_slurm"], "sbatch, which is not to be found"),
        (
            ["hydra/launcher=e2eve_submitit_local", "trainer.devices=2"],
            "hydra/launcher=e2eve_local",
        ),
        (["study.validation=[]", "evaluation=standard"], "name a folder there"),
        (["hydra/launcher=basic", "trainer.devices=2"], "give hydra/launcher=e2eve_local"),
        (["hydra/launcher=basic", "study.validation=[]", "evaluation=standard"], "e2eve_local"),
    ],
)
def test_what_cannot_run_is_one_sentence(stub_sweep, overrides, message):
    stub_sweep.path = ""
    code, output = stub_sweep.run("seed=0,1", *overrides)
    assert code == 2
    assert message in output
    assert "Traceback" not in output


def test_a_done_cell_that_refuses_other_settings_is_named(stub_sweep):
    stub_sweep.run("seed=0,1")
    code, output = stub_sweep.run("seed=0,1", "batch_size=64")
    assert code == 1
    assert "0 of 2 cells are done" in output
    assert "seed-1: refused, its folder holds a run with other settings" in output
    assert stub_sweep.states() == {"seed-0": "done", "seed-1": "done"}
    assert stub_sweep.run("seed=0,1")[0] == 0


def test_a_process_that_was_refused_says_nothing_of_the_run_under_way(tmp_path):
    cell = Cell("a", tmp_path / "a", ())
    with lock_run_dir(cell.folder):
        cell.run.mark("running")
        cell.note_failure("its process ended with exit code 1")
        assert cell.run.status()["state"] == "running"
    cell.note_failure("its process ended with exit code 1")
    assert cell.run.status()["state"] == "failed"


def test_a_shared_validation_set_of_other_numbers_is_refused(tmp_path):
    built = {"inputs": 20, "distractors": 100, "seed": 0}
    (tmp_path / "manifest.json").write_text(json.dumps(built))
    check_numbers(tmp_path, {"num_inputs": 20, "seed": 0})
    with pytest.raises(ValueError, match=r"built with num_inputs 20 and .*num_inputs is 100: remo"):
        check_numbers(tmp_path, {"seed": 0, "num_inputs": 100})
