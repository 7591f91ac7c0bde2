"""On a real cluster: the interrupted is resumed where it stopped, the cancelled is reported."""

import json

import pytest

from e2eve.commands import REFUSED
from tests.factories import TINY
from tests.slurm.conftest import SlurmSweep, slurm
from tests.training.wandb_files import read_offline

STEPS = 800
TRAINING = [
    *TINY,
    f"trainer.max_steps={STEPS}",
    "callbacks.last.every_n_steps=100000",
    "trainer.val_check_interval=100000",
    "trainer.log_every_n_steps=20",
    "loader.workers=0",
    "logger=wandb",
]

pytestmark = [pytest.mark.slurm, pytest.mark.usefixtures("cluster")]


@pytest.fixture(scope="module")
def sweep(cluster, tmp_path_factory) -> SlurmSweep:
    """Four cells: one was cancelled, one signalled, one preempted while they trained.

    The command was killed when all of them trained, and started again.
    """
    found = SlurmSweep(
        tmp_path_factory.mktemp("slurm") / "sweep",
        *TRAINING,
        "tokenizer=shared,separate",
        "seed=0,1",
        "tokenizer.source=untrained",
        "driver_tokenizer=untrained",
    )
    found.start()
    jobs = found.until(lambda: len(found.jobs()) == 4 and found.jobs(), "submitting")
    found.until(lambda: all(found.trains(cell) for cell in jobs), "starting the jobs")
    found.kill()
    found.start()
    found.until(lambda: "job under way" in found.output.read_text(), "joining the jobs")
    slurm("scancel", jobs[CANCELLED])
    slurm("scancel", "--signal=USR2", jobs[SIGNALLED])
    found.until(lambda: found.status(SIGNALLED)["state"] == "interrupted", "the signal")
    # Seven of eight processors: one of the two that still run has to give way.
    slurm("srun", "--partition=high", "--ntasks=1", "--cpus-per-task=7", "--mem=100", "sleep", "1")
    found.code()
    return found


CANCELLED, SIGNALLED = "seed-0+tokenizer-shared", "seed-1+tokenizer-shared"
OTHERS = ["seed-0+tokenizer-separate", "seed-1+tokenizer-separate"]


def lives(sweep: SlurmSweep, cell: str) -> int:
    return len(read_offline(sweep.folder / cell))


def test_all_but_the_cancelled_one_are_done(sweep):
    for cell in (SIGNALLED, *OTHERS):
        assert sweep.status(cell)["state"] == "done", sweep.output.read_text()
        assert sweep.status(cell)["step"] == STEPS


def test_the_cancelled_one_is_reported_and_not_awaited(sweep):
    assert sweep.code() == 1
    assert sweep.status(CANCELLED)["state"] == "failed"
    end = sweep.output.read_text().split("3 of 4 cells are done.")[1]
    assert f"{CANCELLED}: failed, job {sweep.jobs()[CANCELLED]} ended without" in end
    assert "CANCELLED" in end


def test_the_second_command_joined_the_jobs_of_the_first(sweep):
    assert sweep.output.read_text().count("  job under way  ") == 4
    assert len({job.split("_")[0] for job in sweep.jobs().values()}) == 1


def test_one_was_preempted_and_the_other_left_alone(sweep):
    assert sorted(lives(sweep, cell) for cell in OTHERS) == [1, 2]


def interrupted(sweep: SlurmSweep) -> list[str]:
    return [SIGNALLED, *(cell for cell in OTHERS if lives(sweep, cell) == 2)]


def test_the_interrupted_are_resumed_at_the_step_where_they_stopped(sweep):
    for cell in interrupted(sweep):
        saved, resumed = sweep.steps_saved_and_resumed(cell)
        assert len(saved) == 1
        assert 0 < saved[0] < STEPS
        assert resumed == saved


def test_the_interrupted_keep_folder_and_overrides(sweep):
    for cell in interrupted(sweep):
        seed, tokenizer = (choice.replace("-", "=") for choice in cell.split("+"))
        given = [seed, tokenizer, f"run_dir='{sweep.folder / cell}'", *TRAINING]
        last = {text.partition("=")[0]: text for text in given}  # of one key given twice
        assert set(last.values()) <= set(sweep.overrides_of(cell))
        restarts = slurm("scontrol", "show", "job", sweep.jobs()[cell])
        assert "Restarts=1" in restarts


def test_the_interrupted_are_one_run_of_w_and_b(sweep):
    for cell in interrupted(sweep):
        first, second = read_offline(sweep.folder / cell)
        assert first.id == second.id
        assert (first.exit_code, second.exit_code) == (0, 0)
        (saved,), _ = sweep.steps_saved_and_resumed(cell)
        assert max(first.steps()) < saved  # steps are counted from 0
        assert min(second.steps()) >= saved - 1
        assert max(first.steps()) < min(second.steps())
        assert {*first.steps(), *second.steps()} >= {*range(19, STEPS, 20)}


def test_started_again_only_the_cancelled_one_runs(sweep):
    before = {cell: lives(sweep, cell) for cell in (SIGNALLED, *OTHERS)}
    sweep.start("study.retry_failed=true")
    assert sweep.code() == 0, sweep.output.read_text()
    assert sweep.status(CANCELLED)["state"] == "done"
    assert {cell: lives(sweep, cell) for cell in before} == before


def test_two_processes_of_one_job_are_interrupted_and_resumed_together(tmp_path):
    evaluated = (
        "evaluation=standard evaluation.enabled=true evaluation.num_inputs=5 "
        "evaluation.num_references=8 evaluation.num_distractors=4 evaluation.num_samples=2 "
        "evaluation.batch_size=2 dataset.val.length=16 dataset.train.length=64 token_cache=64"
    ).split()
    two = SlurmSweep(
        tmp_path / "sweep",
        *TRAINING,
        *evaluated,
        "trainer.max_steps=300",
        "logger=csv",
        "seed=0",
        "tokenizer=shared",
        "tokenizer.source=untrained",
        "trainer.devices=2",
        "trainer.strategy=ddp",
    )
    two.start()
    ((cell, job),) = two.until(two.jobs, "submitting").items()
    two.until(lambda: two.trains(cell), "starting the job")
    slurm("scancel", "--signal=USR2", job)
    assert two.code() == 0, two.output.read_text()
    saved, resumed = two.steps_saved_and_resumed(cell)
    assert len(saved) == 1
    assert resumed == saved
    assert [path.name for path in two.folder.iterdir() if (path / "status.json").exists()] == [cell]
    found = json.loads((two.folder / cell / "metrics.json").read_text())
    assert found["about"]["inputs"] == 5


def test_a_task_for_each_device_is_asked_for_in_one_sentence(tmp_path):
    sweep = SlurmSweep(tmp_path / "sweep", *TRAINING, "seed=0", "tokenizer.source=untrained")
    sweep.start("trainer.devices=2", "hydra.launcher.tasks_per_node=1")
    assert sweep.code() == REFUSED
    assert "give hydra.launcher.tasks_per_node=2" in sweep.output.read_text()
    assert sweep.jobs() == {}
