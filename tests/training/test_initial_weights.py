"""A training that starts from a bundle starts as that bundle, or says why it cannot."""

import pytest
import torch

from e2eve.editor import Editor
from e2eve.tokenizers import Tokenizer
from e2eve.training.run import train
from tests.factories import TINY, UNTRAINED, compose
from tests.first_loss import first_loss, loss_on_the_first_batch

STAY = ["optimizer.base_learning_rate=1e-30"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of an editor at tiny size; more positions than its sequence needs."""
    path = tmp_path_factory.mktemp("trained")
    train(compose(*TINY, *UNTRAINED, "transformer.positions=40", f"run_dir={path}"))
    return path


def test_the_first_loss_is_the_bundle_s(trained, tmp_path):
    overrides = [*TINY, f"run_dir={tmp_path}", f"init_from={trained}"]
    train(compose(*overrides))
    expected = loss_on_the_first_batch(Editor.from_pretrained(trained), compose(*overrides))
    assert first_loss(tmp_path) == pytest.approx(expected, rel=1e-6)


def test_an_editor_brings_its_tokenizers(trained, tmp_path):
    train(
        compose(
            *TINY,
            *STAY,
            "optimizer.weight_decay=0",
            f"run_dir={tmp_path}",
            f"init_from={trained}",
            "tokenizer.source=nowhere",
        )
    )
    before, after = (Editor.from_pretrained(p).state_dict() for p in (trained, tmp_path))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_cached_ids_are_those_of_the_bundle_s_tokenizers(trained, tmp_path):
    settings = [*TINY, "dataset.train.length=8", f"init_from={trained}"]
    for name, cached in (("cached", 8), ("uncached", 0)):
        train(compose(*settings, f"run_dir={tmp_path / name}", f"token_cache={cached}"))
    assert first_loss(tmp_path / "cached") == pytest.approx(
        first_loss(tmp_path / "uncached"), rel=1e-6
    )


def test_a_run_that_goes_on_does_not_start_again(trained, tmp_path):
    settings = [*TINY, f"init_from={trained}", "optimizer.decay_steps=4"]
    for name, stops in (("whole", (4,)), ("broken", (2, 4))):
        for steps in stops:
            train(compose(*settings, f"run_dir={tmp_path / name}", f"trainer.max_steps={steps}"))
    whole, broken = (Editor.from_pretrained(tmp_path / n).state_dict() for n in ("whole", "broken"))
    assert all(torch.equal(whole[name], broken[name]) for name in whole)


def test_a_driver_tokenizer_starts_from_a_source_tokenizer(tmp_path):
    train(compose(*TINY, "task=source_tokenizer", f"run_dir={tmp_path / 'source'}"))
    start = ["task=driver_tokenizer", f"init_from={tmp_path / 'source'}", *STAY]
    train(compose(*TINY, *start, f"run_dir={tmp_path / 'driver'}"))
    source, driver = (Tokenizer.from_pretrained(tmp_path / n) for n in ("source", "driver"))
    assert (source.image_size, driver.image_size) == (32, 16)
    for name, value in source.state_dict().items():
        assert torch.equal(driver.state_dict()[name], value), name


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["image_size=64"], r"image_size is 64 and not 32: set 'image_size=32'"),
        (
            ["transformer.layers=1", "transformer.heads=1"],
            r"layers is 1 and not 2, .*set 'transformer.layers=2 transformer.heads=2'",
        ),
        (["init_from=nowhere"], "nowhere is no bundle"),
        (["task=source_tokenizer"], 'kind "editor" where "tokenizer" is needed'),
    ],
)
def test_a_config_that_does_not_fit_an_editor_is_one_sentence(
    trained, tmp_path, overrides, message
):
    settings = [*TINY, f"init_from={trained}", f"run_dir={tmp_path}"]
    with pytest.raises(ValueError, match=message):
        train(compose(*settings, *overrides))


def test_a_tokenizer_of_another_network_is_one_sentence(tmp_path):
    train(compose(*TINY, "task=source_tokenizer", f"run_dir={tmp_path / 'source'}"))
    other = ["vqgan.network.multipliers=[1,1]", f"init_from={tmp_path / 'source'}"]
    with pytest.raises(ValueError, match=r"multipliers is \(1, 1\) and not \(1, 2\): set 'vqgan"):
        train(compose(*TINY, "task=driver_tokenizer", *other, f"run_dir={tmp_path / 'driver'}"))
