"""A signal saves the training at its very step; what goes on later ends with the same weights."""

import json
import multiprocessing
import os
import signal
import subprocess
import time

import pytest
import pytorch_lightning as pl
import torch
from safetensors.torch import load_file
from torch.utils.data import Dataset

from e2eve.editor import Editor
from e2eve.runs import RunFolder, checkpoints_in, is_locked, lock_run_dir, read_curves
from e2eve.tokenizers import Tokenizer
from e2eve.training import resuming, tasks
from e2eve.training.data_module import Loader
from e2eve.training.modules import EditorModule
from e2eve.training.run import train
from e2eve.training.signals import (
    Listener,
    SignalAction,
    actions_of_signals,
    leave_with_main_process,
)
from e2eve.transformer import EditTokens
from tests.factories import TINY, UNTRAINED, compose

SIX = (
    "trainer.max_steps=6 optimizer.decay_steps=6 dataset.train.length=8 "
    "callbacks.last.every_n_steps=1000 trainer.val_check_interval=4"
).split()


class Signalled(pl.Callback):
    """Sends this process a signal in the middle of a batch, counted from 0."""

    def __init__(self, number: int, batch: int) -> None:
        self.number, self.batch = number, batch

    def on_train_batch_start(self, trainer, module, examples, index: int) -> None:
        if trainer.fit_loop.epoch_loop.total_batch_idx == self.batch:
            os.kill(os.getpid(), self.number)


@pytest.fixture
def signalled(monkeypatch):
    """Makes editors' trainings receive a signal during a step, counted from 0."""

    def arrange(number: int, step: int) -> None:
        monkeypatch.setattr(tasks.EditorTask, "callbacks", lambda self: [Signalled(number, step)])

    return arrange


def config(path):
    return compose(*TINY, *UNTRAINED, *SIX, f"run_dir={path}")


def weights(path) -> dict[str, torch.Tensor]:
    return Editor.from_pretrained(path).state_dict()


def status(path) -> dict:
    return json.loads((path / "status.json").read_text())


def saved_step(path) -> int:
    last = RunFolder(path).last_checkpoint
    assert last is not None
    return torch.load(last, weights_only=True)["global_step"]


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory):
    """A run that nothing interrupted."""
    path = tmp_path_factory.mktemp("whole") / "run"
    train(config(path))
    return path


@pytest.mark.parametrize(
    ("number", "step"),
    [(signal.SIGTERM, step) for step in range(1, 6)] + [(signal.SIGINT, 2), (signal.SIGHUP, 2)],
)
def test_a_signal_at_any_step_changes_neither_weights_nor_curves(
    whole_run, tmp_path, signalled, monkeypatch, number, step
):
    """Within an epoch of four batches, at its end, before a validation."""
    signalled(number, step - 1)
    with pytest.raises(SystemExit) as ending:
        train(config(tmp_path))
    assert ending.value.code == 128 + number
    assert status(tmp_path)["reason"] == signal.Signals(number).name
    assert saved_step(tmp_path) == step
    monkeypatch.undo()
    train(config(tmp_path))
    whole, broken = weights(whole_run), weights(tmp_path)
    assert all(torch.equal(whole[name], broken[name]) for name in whole)
    assert (tmp_path / "metrics.csv").read_text() == (whole_run / "metrics.csv").read_text()


class SignalledAfterTheLastStep(pl.Callback):
    def on_train_epoch_end(self, trainer, module) -> None:
        if trainer.global_step == 6:
            os.kill(os.getpid(), signal.SIGTERM)


def test_a_signal_after_the_last_step_ends_the_run_and_loses_nothing(
    whole_run, tmp_path, monkeypatch
):
    """While an epoch is evaluated, say: nobody waits for the rest of the run."""
    callbacks = lambda self: [SignalledAfterTheLastStep()]  # noqa: E731
    monkeypatch.setattr(tasks.EditorTask, "callbacks", callbacks)
    with pytest.raises(SystemExit) as ending:
        train(config(tmp_path))
    assert ending.value.code == 143 and saved_step(tmp_path) == 6
    assert not (tmp_path / "bundle").exists()
    monkeypatch.undo()
    train(config(tmp_path))
    whole, broken = weights(whole_run), weights(tmp_path)
    assert all(torch.equal(whole[name], broken[name]) for name in whole)
    assert (tmp_path / "metrics.csv").read_text() == (whole_run / "metrics.csv").read_text()


def test_what_a_killed_process_left_of_a_checkpoint_goes_with_the_next(tmp_path):
    torn = tmp_path / "checkpoints/.step_000004.ckpt.partial"
    torn.parent.mkdir()
    torn.write_bytes(b"half")
    train(config(tmp_path))
    assert not torn.exists() and saved_step(tmp_path) == 6


def test_edits_that_were_encoded_before_a_signal_are_not_encoded_again(tmp_path, monkeypatch):
    cached = "token_cache=160 loader.cache_limit=null dataset.train.length=160 steps=1".split()
    train(compose(*TINY, *UNTRAINED, *cached, f"run_dir={tmp_path / 'whole'}"))
    broken = compose(*TINY, *UNTRAINED, *cached, f"run_dir={tmp_path / 'broken'}")
    tokenize, calls = Editor.tokenize, []

    def counted(self, edits):
        calls.append(len(edits.drivers))
        if sum(calls) == 128 and len(calls) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return tokenize(self, edits)

    monkeypatch.setattr(Editor, "tokenize", counted)
    with pytest.raises(SystemExit):
        train(broken)
    assert calls == [64, 64]
    calls.clear()
    train(broken)
    name = "token_cache/train.safetensors"
    assert sum(calls[:2]) == 96  # of 160, 64 were there: the signal came within the second batch
    whole, broken_one = (load_file(tmp_path / run / name) for run in ("whole", "broken"))
    assert all(torch.equal(whole[part], broken_one[part]) for part in EditTokens._fields)
    assert not list((tmp_path / "broken").glob("token_cache/*begun*"))


def test_a_second_interrupt_ends_at_once():
    heard = Listener({signal.SIGINT: SignalAction.STOP})
    heard.training = True
    heard.handle(signal.SIGINT, None)
    with pytest.raises(SystemExit) as ending:
        heard.handle(signal.SIGINT, None)
    assert ending.value.code == 130


def test_before_steps_a_signal_ends_the_process_at_once_but_a_rank_that_waits_for_the_first():
    before = []
    for first in (True, False):
        heard = Listener({1: SignalAction.STOP, 2: SignalAction.REQUEUE}, first_rank=first)
        heard.before = {2: lambda number, frame: before.append(number)}
        heard.handle(2, None)
        assert heard.wanted == SignalAction.REQUEUE
    assert before == [2]
    with pytest.raises(SystemExit):
        Listener({1: SignalAction.STOP}).handle(1, None)


def test_under_slurm_sigterm_saves_and_goes_on(tmp_path, signalled, monkeypatch):
    monkeypatch.setattr("e2eve.training.signals.under_slurm", lambda: True)
    signalled(signal.SIGTERM, 2)
    train(config(tmp_path))
    assert status(tmp_path)["state"] == "done"


def test_submitit_requeues_after_the_checkpoint(tmp_path, signalled, monkeypatch):
    """Its own handler is called when everything is saved, and not before."""
    seen = []

    def requeue(number, frame):
        seen.append((saved_step(tmp_path), status(tmp_path)["state"]))
        raise SystemExit(-1)

    monkeypatch.setenv("SUBMITIT_EXECUTOR", "local")
    before = signal.signal(signal.SIGUSR2, requeue)
    try:
        signalled(signal.SIGUSR2, 3)
        with pytest.raises(SystemExit) as ending:
            train(config(tmp_path))
        assert signal.getsignal(signal.SIGUSR2) is requeue
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert ending.value.code == -1
    assert seen == [(4, "interrupted")]
    assert status(tmp_path)["reason"] == "requeued"


def test_once_requeued_the_signal_that_ends_the_job_changes_nothing(
    tmp_path, signalled, monkeypatch
):
    """SLURM sends it as soon as the job is in line again, while Lightning still tidies up."""

    def requeue(number, frame):
        raise SystemExit(-1)

    def tidying_up(module):
        os.kill(os.getpid(), signal.SIGTERM)
        return module

    monkeypatch.setenv("SUBMITIT_EXECUTOR", "local")
    monkeypatch.setattr(EditorModule, "cpu", tidying_up)
    before = signal.signal(signal.SIGUSR2, requeue)
    try:
        signalled(signal.SIGUSR2, 3)
        with pytest.raises(SystemExit) as ending:
            train(config(tmp_path))
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert ending.value.code == -1
    assert status(tmp_path)["reason"] == "requeued"


def test_a_requeue_that_is_refused_is_a_failure_with_its_traceback(
    tmp_path, signalled, monkeypatch
):
    def refuse(number, frame):
        raise RuntimeError("timed-out too many times")

    monkeypatch.setenv("SUBMITIT_EXECUTOR", "local")
    before = signal.signal(signal.SIGUSR2, refuse)
    try:
        signalled(signal.SIGUSR2, 1)
        with pytest.raises(RuntimeError):
            train(config(tmp_path))
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert status(tmp_path)["state"] == "failed"
    assert "in refuse" in (tmp_path / "train.log").read_text()


def test_handlers_are_those_from_before_when_a_training_is_over(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    train(config(tmp_path))
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_requeue_outweighs_an_end_and_an_end_a_checkpoint(monkeypatch):
    assert SignalAction.NOTHING < SignalAction.SAVE < SignalAction.STOP < SignalAction.REQUEUE
    monkeypatch.delenv("SUBMITIT_EXECUTOR", raising=False)
    ending = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    assert actions_of_signals() == dict.fromkeys(ending, SignalAction.STOP)


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 torn"])
def test_a_torn_checkpoint_gives_way_to_the_one_before_it(tmp_path, damage, caplog):
    every = "callbacks.last.every_n_steps=2"
    train(compose(*TINY, *UNTRAINED, *SIX, every, f"run_dir={tmp_path / 'whole'}"))
    broken = compose(*TINY, *UNTRAINED, *SIX, every, f"run_dir={tmp_path / 'broken'}")
    train(broken)
    run = RunFolder(tmp_path / "broken")
    kept = checkpoints_in(run.checkpoints)
    assert [path.name for path in kept] == ["step_000004.ckpt", "step_000006.ckpt"]
    kept[-1].write_bytes(damage)
    run.mark("interrupted")
    train(broken)
    assert "step_000006.ckpt is incomplete" in caplog.text
    assert saved_step(tmp_path / "broken") == 6
    whole, resumed = weights(tmp_path / "whole"), weights(tmp_path / "broken")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    for path in checkpoints_in(run.checkpoints):
        path.write_bytes(damage)
    run.mark("interrupted")
    with pytest.raises(ValueError, match=r"No checkpoint in .* is complete: remove that folder"):
        train(broken)


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(tmp_path, monkeypatch):
    """As on a full disk."""

    def full(checkpoint, file):
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    train(config(tmp_path))
    before = RunFolder(tmp_path).last_checkpoint
    monkeypatch.setattr(resuming.torch, "save", full)
    with pytest.raises(OSError, match="No space left"):
        train(compose(*TINY, *UNTRAINED, *SIX, "trainer.max_steps=8", f"run_dir={tmp_path}"))
    assert RunFolder(tmp_path).last_checkpoint == before
    assert status(tmp_path)["state"] == "failed"


def test_a_run_folder_that_was_moved_goes_on_from_its_last_step(tmp_path):
    train(config(tmp_path / "whole"))
    train(compose(*TINY, *UNTRAINED, *SIX, "trainer.max_steps=3", f"run_dir={tmp_path / 'here'}"))
    (tmp_path / "here").rename(tmp_path / "there")
    train(config(tmp_path / "there"))
    kept = sorted(path.name for path in (tmp_path / "there/checkpoints").iterdir())
    assert kept == ["best.ckpt", "step_000003.ckpt", "step_000006.ckpt"]
    whole, moved = weights(tmp_path / "whole"), weights(tmp_path / "there")
    assert all(torch.equal(whole[name], moved[name]) for name in whole)


def test_one_training_at_a_time_in_a_folder(tmp_path):
    assert not is_locked(tmp_path)
    with lock_run_dir(tmp_path):
        assert is_locked(tmp_path)
        with pytest.raises(ValueError, match="Another process is training in"):
            train(config(tmp_path))
    assert not is_locked(tmp_path)


RESTARTING = (
    "task=driver_tokenizer optimizer=tokenizer vqgan.quantizer.restart_after=1 "
    "edit_simulation/transformations=all dataset.train.length=8 dataset.val.length=4 "
    "trainer.max_steps=9 optimizer.decay_steps=9 trainer.val_check_interval=3 seed=3"
).split()


def tokenizer_run(path, *overrides: str) -> dict[str, torch.Tensor]:
    """Weights after training in that folder."""
    train(compose(*TINY, *RESTARTING, f"run_dir={path}", *overrides))
    return Tokenizer.from_pretrained(path).state_dict()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> dict[str, torch.Tensor]:
    """Idle codes are moved in every step; four batches are an epoch."""
    path = tmp_path_factory.mktemp("uninterrupted")
    weights = tokenizer_run(path)
    assert read_curves(path / "metrics.csv")["train/codes_restarted"][1][-1] > 0
    return weights


@pytest.mark.parametrize(
    ("step", "workers"),
    [
        (2, 0),  # within an epoch
        (3, 0),  # before a validation
        (4, 0),  # at the end of an epoch
        (5, 1),
    ],
)
def test_a_tokenizer_that_moves_idle_codes_is_resumed_bit_for_bit(
    uninterrupted, tmp_path, step, workers
):
    """The count of idle codes, their random places and the augmentations are as uninterrupted."""
    loaded = f"loader.workers={workers}"
    tokenizer_run(tmp_path, f"trainer.max_steps={step}", loaded)
    resumed = tokenizer_run(tmp_path, loaded)
    assert all(torch.equal(resumed[name], uninterrupted[name]) for name in uninterrupted)


def test_usage_of_codes_is_resumed(uninterrupted, tmp_path):
    """Curves are those of a run that was not interrupted."""
    tokenizer_run(tmp_path / "whole")
    for steps in (5, 9):
        tokenizer_run(tmp_path / "broken", f"trainer.max_steps={steps}")
    whole, broken = (read_curves(tmp_path / name / "metrics.csv") for name in ("whole", "broken"))
    assert whole == broken


@pytest.mark.parametrize("task", ["editor", "source_tokenizer"])
def test_a_signal_within_accumulated_batches_waits_for_the_step(tmp_path, task):
    """Gradients of half a step are in no checkpoint."""
    settings = [*SIX, "trainer.accumulate_grad_batches=2", f"task={task}", "trainer.max_steps=4"]
    callback = "+callbacks.signal={_target_: tests.training.test_resuming.Signalled, number: 15}"

    def run(path, *overrides: str) -> dict[str, torch.Tensor]:
        train(compose(*TINY, *UNTRAINED, *settings, f"run_dir={path}", *overrides))
        opened = Editor if task == "editor" else Tokenizer
        return opened.from_pretrained(path).state_dict()

    whole = run(tmp_path / "whole")
    with pytest.raises(SystemExit):
        run(tmp_path / "broken", callback, "+callbacks.signal.batch=2")
    assert saved_step(tmp_path / "broken") == 2
    resumed = run(tmp_path / "broken")
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)


def test_a_run_starts_from_a_checkpoint_of_another(tmp_path):
    """With its step, its optimiser and its place in the data."""
    train(compose(*TINY, *UNTRAINED, *SIX, f"run_dir={tmp_path / 'whole'}"))
    first = [*SIX, "trainer.max_steps=3", f"run_dir={tmp_path / 'first'}"]
    train(compose(*TINY, *UNTRAINED, *first))
    start = f"ckpt_path={tmp_path / 'first/checkpoints/step_000003.ckpt'}"
    train(compose(*TINY, *UNTRAINED, *SIX, start, f"run_dir={tmp_path / 'second'}"))
    whole, second = weights(tmp_path / "whole"), weights(tmp_path / "second")
    assert all(torch.equal(whole[name], second[name]) for name in whole)


class Numbers(Dataset):
    """Says in which process each item was read."""

    def __len__(self) -> int:
        return 1000

    def __getitem__(self, index: int) -> int:
        time.sleep(0.01)
        return os.getpid()


@pytest.mark.parametrize("method", ["fork", "forkserver"])  # Python's default before 3.14 and since
def test_loaders_outlive_signals_of_others_and_end_with_the_main_process(method, monkeypatch):
    monkeypatch.setattr(multiprocessing.context._default_context, "_actual_context", None)
    multiprocessing.set_start_method(method)
    batches = iter(Loader(Numbers(), num_workers=1, worker_init_fn=leave_with_main_process))
    worker = int(next(batches))
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2):
        subprocess.run(["kill", f"-{int(number)}", str(worker)], check=True)  # another process
    assert [int(next(batches)) for _ in range(20)] == [worker] * 20
    os.kill(worker, signal.SIGTERM)
    with pytest.raises(RuntimeError, match="exited unexpectedly"):
        for _ in batches:
            pass
