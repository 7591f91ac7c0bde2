"""A second stage trains the decoder, and nothing else."""

import pytest
import pytorch_lightning as pl
import torch

from e2eve.runs import checkpoints_in, read_curves
from e2eve.tokenizers import Tokenizer
from e2eve.training.run import train
from tests.factories import SIDE, TINY, compose, random_images

STAGE = (
    "task=decoder tokenizer_loss=adversarial optimizer=decoder edit_simulation=mixed "
    "tokenizer_loss.discriminator={channels:4,layers:1} tokenizer_loss.discriminator_warmup=2 "
    "dataset.train.length=8 dataset.val.length=4 optimizer.warmup_steps=0 "
    "trainer.max_steps=6 optimizer.decay_steps=6 trainer.val_check_interval=3"
).split()
TINY_STAGE = [each for each in TINY if each != "tokenizer_loss=plain"] + STAGE


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A tokenizer whose codes would be moved in every step."""
    path = tmp_path_factory.mktemp("first")
    settings = ["task=source_tokenizer", "optimizer=tokenizer", "vqgan.quantizer.restart_after=1"]
    train(compose(*TINY, *settings, f"run_dir={path}"))
    return path


def stage(first, path, *overrides: str) -> Tokenizer:
    train(compose(*TINY_STAGE, f"init_from={first}", f"run_dir={path}", *overrides))
    return Tokenizer.from_pretrained(path)


@pytest.mark.parametrize("decoder", ["plain", "source"])
@pytest.mark.parametrize("callbacks", ["standard", "ema"])
def test_only_the_decoder_learns(first, tmp_path, decoder, callbacks):
    before = Tokenizer.from_pretrained(first)
    after = stage(first, tmp_path, f"decoder={decoder}", f"callbacks={callbacks}")
    assert after.sees_source == (decoder == "source")
    old, new = before.state_dict(), after.state_dict()
    for name in old:
        learns = name.startswith("decoder.")
        if learns and name.endswith("key.bias"):  # adds the same to all scores: no gradient
            continue
        assert torch.equal(old[name], new[name]) != learns, name
    images = random_images(4)
    assert torch.equal(before.encode(images), after.encode(images))
    after.check_encodes_as(before)
    curves = read_curves(tmp_path / "metrics.csv")
    assert {"val/psnr", "val/l1_region", "train/discriminator"} <= curves.keys()
    assert "train/codes_restarted" not in curves


class FrozenPartsHaveNoGradient(pl.Callback):
    """And the others have one, once the discriminator has been warmed."""

    seen = 0

    def on_train_batch_end(self, trainer, module, *args) -> None:
        FrozenPartsHaveNoGradient.seen += 1
        for name, parameter in module.tokenizer.named_parameters():
            has = parameter.grad is not None
            assert has == (name.startswith("decoder.") and trainer.global_step > 2), name


def test_frozen_parts_have_no_gradient(first, tmp_path):
    held = f"+callbacks.check._target_={__name__}.FrozenPartsHaveNoGradient"
    stage(first, tmp_path, held)
    assert FrozenPartsHaveNoGradient.seen == 6


def test_while_the_discriminator_is_warmed_the_decoder_stays(first, tmp_path):
    """And the discriminator does not."""
    settings = ["decoder=plain", "trainer.max_steps=2"]
    after = stage(first, tmp_path, *settings)
    before = Tokenizer.from_pretrained(first)
    old, new = before.state_dict(), after.state_dict()
    assert all(torch.equal(old[name], new[name]) for name in old)
    last = torch.load(checkpoints_in(tmp_path / "checkpoints")[-1], weights_only=True)
    assert last["global_step"] == 2
    moments = [state["state"] for state in last["optimizer_states"]]
    assert not moments[0]
    assert any(state["exp_avg"].abs().sum() > 0 for state in moments[1].values())


@pytest.mark.parametrize("step", [1, 3, 4])
def test_it_is_resumed_bit_for_bit(first, tmp_path, step):
    """Within the warm-up, after it, and at the end of an epoch."""
    whole = stage(first, tmp_path / "whole")
    stage(first, tmp_path / "broken", f"trainer.max_steps={step}")
    again = stage(first, tmp_path / "broken")
    for name, value in whole.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_a_decoder_that_sees_the_source_is_trained_on_as_it_is(first, tmp_path):
    one = stage(first, tmp_path / "one")
    same = ["optimizer.base_learning_rate=1e-30"]
    two = stage(tmp_path / "one", tmp_path / "two", *same)
    for name, value in one.state_dict().items():
        assert torch.equal(two.state_dict()[name], value), name
    back = stage(tmp_path / "one", tmp_path / "back", *same, "decoder=plain")
    assert not back.sees_source
    ids = one.encode(random_images(2, SIDE))
    assert torch.equal(back.decode(ids), one.decode(ids))


def test_batches_may_be_accumulated(first, tmp_path):
    stage(first, tmp_path, "trainer.accumulate_grad_batches=2", "trainer.max_steps=3")


def test_a_stage_without_a_first_is_one_sentence(tmp_path):
    with pytest.raises(
        ValueError, match="init_from is null, and task=decoder goes on from a tokenizer: give init"
    ):
        train(compose(*TINY_STAGE, f"run_dir={tmp_path}"))
