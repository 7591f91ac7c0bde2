"""The group `trainer` is Lightning's, all of it; callbacks, loggers, debugging have groups too."""

import inspect
import json

import pytest
import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf

from e2eve.editor import Editor
from e2eve.naming import RENAMED
from e2eve.runs import RunFolder, read_curves
from e2eve.training.run import train
from tests.factories import TINY, UNTRAINED, compose

TOKENIZER = (
    "task=source_tokenizer optimizer=tokenizer dataset.train.length=8 dataset.val.length=4 "
    "tokenizer_loss.adversarial_weight=0.8 tokenizer_loss.adversarial_start=0 "
    "tokenizer_loss.discriminator={channels:4,layers:1} "
    "optimizer.warmup_steps=0 optimizer.decay_steps=null"
).split()
EDITOR = ["dataset.train.length=8", "optimizer.warmup_steps=0", "optimizer.decay_steps=null"]


def run(path, *overrides: str) -> RunFolder:
    train(compose(*TINY, *UNTRAINED, f"run_dir={path}", *overrides))
    return RunFolder(path)


def curve(run: RunFolder, name: str) -> list[float]:
    return read_curves(run.curves)[name][1]


def test_the_group_holds_all_of_lightnings_names_and_no_other():
    names = set(inspect.signature(pl.Trainer).parameters) - {"callbacks", "logger"}
    ours = set(compose("trainer=cpu").trainer)
    assert ours <= names
    assert names - ours <= {  # not those of loops that are never run, nor those of one session
        *("limit_test_batches", "limit_predict_batches", "barebones"),
        *("enable_autolog_hparams", "model_registry"),
    }


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("+trainer.gradient_clip=1", r"trainer\.gradient_clip is no setting: did you mean trainer"),
        ("+trainer.workers=3", r"trainer\.workers is called loader\.workers now"),
        ("+trainer.validate_every=3", r"trainer\.validate_every is called validate_every now"),
        ("+trainer.ema_decay=0.9", r"a callback now: give callbacks=ema callbacks\.ema\.decay"),
        ("+trainer.callbacks=[]", r"a group of its own: give \+callbacks\.<name>\._target_="),
        ("+evaluation.temperature=1", r"evaluation\.temperature is called sampling\.temperature"),
        ("trainer.max_steps=ten", r'trainer\.max_steps is "ten": give a whole number'),
        ("trainer.gradient_clip_algorithm=nrm", r'gradient_clip_algorithm is "nrm", the choices'),
        ("evaluation.num_inputs=-1", r"evaluation\.num_inputs is -1: give at least 1"),
        ("export=worst", r'export is "worst", the choices are best, last'),
        ("vqgan.network.channels=wide", r'vqgan\.network\.channels is "wide": give a whole number'),
        ("+vqgan.quantizer.comitment=1", r"did you mean vqgan\.quantizer\.commitment"),
        ("callbacks.progress.seconds=x", r'callbacks\.progress\.seconds is "x": give a number'),
        ("+callbacks.mine._target_=nobody.Mine", r"callbacks\.mine\._target_ is .nobody\.Mine"),
    ],
)
def test_a_wrong_setting_is_one_sentence(tmp_path, override, sentence):
    with pytest.raises(ValueError, match=sentence):
        run(tmp_path, "evaluation=standard", override)


def test_every_old_name_has_a_new_one_that_is_there():
    config = compose("logger=wandb", "trainer=cpu")
    for new in RENAMED.values():
        if " " not in new:
            missing = OmegaConf.select(config, new, default=missing_value)
            assert missing is not missing_value, new


missing_value = object()


@pytest.mark.parametrize("task", [TOKENIZER, EDITOR], ids=["tokenizer", "editor"])
def test_the_learning_rate_follows_the_images_of_an_optimiser_step(tmp_path, task):
    alone = run(tmp_path / "a", *task, "batch_size=2", "trainer.max_steps=2")
    settings = ["trainer.accumulate_grad_batches=2", "trainer.max_steps=2"]
    accumulated = run(tmp_path / "b", *task, "batch_size=1", *settings)
    rates = [curve(one, "train/learning_rate")[0] for one in (alone, accumulated)]
    assert rates[0] == rates[1] > 0


def test_a_tokenizer_that_accumulates_trains_as_with_larger_batches(tmp_path):
    """The mean gradient is the same, up to the order of summation."""
    settings = [*TOKENIZER, "trainer.max_steps=1", "tokenizer_loss.discriminator=null"]
    large = run(tmp_path / "a", *settings, "batch_size=4", "loader.batch_limit=null")
    small = run(tmp_path / "b", *settings, "trainer.accumulate_grad_batches=2")
    states = [
        torch.load(one.checkpoints / "step_000001.ckpt", weights_only=True)["optimizer_states"][0]
        for one in (large, small)
    ]
    for key, state in states[0]["state"].items():
        torch.testing.assert_close(state["exp_avg"], states[1]["state"][key]["exp_avg"])


@pytest.mark.parametrize("algorithm", ["norm", "value"])
@pytest.mark.parametrize("task", [TOKENIZER, EDITOR], ids=["tokenizer", "editor"])
def test_gradients_are_clipped(tmp_path, task, algorithm):
    """To nothing: what is left moves no weight but by its decay."""
    clip = ["trainer.gradient_clip_val=0", f"trainer.gradient_clip_algorithm={algorithm}"]
    held = "+callbacks.check._target_=tests.training.test_trainer.GradientsVanish"
    run(tmp_path, *task, held, *(c.replace("=0", "=1e-30") for c in clip), "trainer.max_steps=2")


@pytest.mark.parametrize("task", [EDITOR, TOKENIZER], ids=["editor", "tokenizer"])
def test_gradients_are_clipped_in_mixed_precision_too(tmp_path, task):
    run(tmp_path, *task, "trainer.gradient_clip_val=1.0", "trainer.precision=bf16-mixed")
    assert RunFolder(tmp_path).status()["state"] == "done"


class GradientsVanish(pl.Callback):
    """What the optimisers have stepped with is nearly nothing."""

    def on_train_batch_end(self, trainer, module, *args) -> None:
        for optimizer in trainer.optimizers:
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        assert parameter.grad.abs().max() < 1e-20


def test_one_batch_is_enough_to_try_everything(tmp_path):
    done = run(tmp_path, "debug=one_batch")
    assert done.status()["step"] == 1
    assert not done.last_checkpoint


@pytest.mark.parametrize("cached", [0, 8])
def test_the_same_batch_is_learnt_again_and_again(tmp_path, cached):
    settings = [*EDITOR, f"token_cache={cached}", "trainer.max_steps=60", "batch_size=2"]
    done = run(tmp_path, "debug=overfit", *settings, "optimizer.base_learning_rate=2e-3")
    losses = curve(done, "train/loss")
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize(
    "override",
    [
        "trainer.deterministic=true",
        "trainer.limit_val_batches=0",
        "trainer.max_epochs=1",
        "trainer.accelerator=auto",
        "debug=anomaly",
        "callbacks=ema",
        "callbacks.best=null",
        "trainer.enable_checkpointing=false",
    ],
)
@pytest.mark.parametrize("task", [TOKENIZER, EDITOR], ids=["tokenizer", "editor"])
def test_arguments_of_the_trainer_work(tmp_path, task, override):
    done = run(tmp_path, *task, override)
    torch.use_deterministic_algorithms(False)
    assert done.status() | {"state": "done", "step": 2} == done.status()


def test_an_epoch_may_be_limited_and_is_resumed(tmp_path):
    settings = [*EDITOR, "trainer.limit_train_batches=3", "token_cache=0"]
    run(tmp_path / "whole", *settings, "trainer.max_steps=5")
    for steps in (4, 5):
        run(tmp_path / "broken", *settings, f"trainer.max_steps={steps}")
    states = [Editor.from_pretrained(tmp_path / n).state_dict() for n in ("whole", "broken")]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_a_profile_is_written(tmp_path):
    run(tmp_path, "debug=profiler", "trainer.max_steps=2")
    assert any(tmp_path.glob("*profile*"))


def test_a_callback_of_ones_own_is_called(tmp_path):
    mine = "+callbacks.mine={_target_: tests.training.test_trainer.Writes, path: "
    run(tmp_path / "run", f"{mine}{tmp_path / 'seen'}}}")
    assert (tmp_path / "seen").read_text() == "2"


class Writes(pl.Callback):
    """Writes the last step into a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def on_train_end(self, trainer, module) -> None:
        with open(self.path, "w") as file:
            file.write(str(trainer.global_step))


def test_the_bundle_may_be_the_best_of_a_run(tmp_path):
    """Here by the highest loss, which the first step has."""
    settings = [*EDITOR, "trainer.val_check_interval=1", "callbacks.best.mode=max"]
    first = run(tmp_path / "first", *settings, "trainer.max_steps=1")
    best = run(tmp_path / "best", *settings, "trainer.max_steps=4", "export=best")
    assert curve(best, "val/loss")[0] == max(curve(best, "val/loss"))
    states = [Editor.from_pretrained(one.path).state_dict() for one in (first, best)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_tensorboard_gets_curves_and_images(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run(tmp_path, *TOKENIZER, "logger=tensorboard")
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload().Tags()
    assert "train/loss" in events["scalars"]
    assert "samples" in events["images"]
    assert (tmp_path / "metrics.csv").is_file()


def test_a_run_in_the_format_before_is_not_resumed(tmp_path):
    done = run(tmp_path)
    status = done.status()
    del status["format"]
    (tmp_path / "status.json").write_text(json.dumps(status))
    with pytest.raises(ValueError, match="holds a run of another version of e2eve"):
        run(tmp_path, "trainer.max_steps=5")
