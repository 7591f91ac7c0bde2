"""Laws of a training: it fits together, it resumes exactly, it says what is wrong."""

import csv
import json
import platform
import re
import resource
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from e2eve.config import read_settings
from e2eve.editing.trained_on import TrainedOn
from e2eve.editor import Editor
from e2eve.geometry import Box
from e2eve.runs import RunFolder, lock_run_dir
from e2eve.tokenizers import Tokenizer
from e2eve.training.callbacks import FreeMemory, StopNotFinite
from e2eve.training.modules import EditorModule
from e2eve.training.optimizers import OptimizerSettings
from e2eve.training.run import changed_tokenizers, train
from e2eve.training.settings import TrainSettings
from e2eve.training.tasks import EditorTask
from e2eve.transformer import EditTokens, GPTConfig
from tests.factories import TINY, UNTRAINED, compose, tiny_tokenizer


def run(path, *overrides: str):
    config = compose(*TINY, *UNTRAINED, f"run_dir={path}", *overrides)
    train(config)
    return config


def weights(path) -> dict[str, torch.Tensor]:
    return Editor.from_pretrained(path).state_dict()


SIX = ["trainer.max_steps=6", "optimizer.decay_steps=6", "dataset.train.length=8"]


KINDS = {
    "masked": ["transformer=masked_small", "transformer.width=32", "transformer.layers=1"],
    "region": ["transformer=small_region", "transformer.width=32", "transformer.layers=1"],
}


@pytest.mark.parametrize("kind", KINDS)
def test_hidden_cells_and_dropped_drivers_are_resumed_exactly(tmp_path, kind):
    """Broken off after a validation, in the second epoch of four batches."""
    settings = [*SIX, *KINDS[kind], "transformer.driver_dropout=0.5", "seed=3"]
    run(tmp_path / "whole", *settings)
    run(tmp_path / "broken", *settings, "trainer.max_steps=5")
    run(tmp_path / "broken", *settings)
    whole, broken = weights(tmp_path / "whole"), weights(tmp_path / "broken")
    assert all(torch.equal(whole[name], broken[name]) for name in whole)


def test_a_dropped_driver_is_an_empty_one(tmp_path):
    settings = read_settings(
        compose(*TINY, *UNTRAINED, "+transformer.driver_dropout=0.5", f"run_dir={tmp_path}"),
        TrainSettings,
    )
    module = EditorTask(settings, RunFolder(tmp_path)).module
    assert isinstance(module, EditorModule)
    ids = torch.randint(32, (200, 4))
    tokens = EditTokens(ids, ids, ids, ids > 0)
    found = module.with_some_drivers_dropped(tokens).driver_ids
    empty = (found == module.editor.empty_driver()).all(1)
    assert 70 < empty.sum() < 130
    assert torch.equal(found[~empty], ids[~empty])


@pytest.mark.parametrize("kind", KINDS)
def test_other_kinds_of_token_models_train_and_edit(tmp_path, kind):
    run(tmp_path, *KINDS[kind])
    editor = Editor.from_pretrained(tmp_path)
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    edits = editor.edit(image, image, Box(10, 8, 30, 28), num_samples=2, guidance=2.0)
    for edit in edits.images:
        outside = ~Box(10, 8, 30, 28).mask(50, 40)
        assert np.array_equal(np.asarray(edit)[outside], image[outside])


@pytest.mark.parametrize("cached", [0, 8])
def test_an_interrupted_training_ends_with_the_same_weights(tmp_path, cached):
    """Broken off in the second epoch of four batches, then taken up again."""
    settings = [*SIX, f"token_cache={cached}"]
    run(tmp_path / "whole", *settings)
    run(tmp_path / "broken", *settings, "trainer.max_steps=5")
    run(tmp_path / "broken", *settings)
    whole, broken = weights(tmp_path / "whole"), weights(tmp_path / "broken")
    assert whole.keys() == broken.keys()
    assert all(torch.equal(whole[name], broken[name]) for name in whole)


def test_ids_encoded_once_train_and_validate_as_those_of_every_step(tmp_path):
    """One epoch, in which both ways see the same simulated edits."""
    curves = []
    for cached in (0, 8):
        path = tmp_path / str(cached)
        run(
            path,
            *SIX,
            "trainer.max_steps=4",
            "trainer.log_every_n_steps=1",
            f"token_cache={cached}",
        )
        with (path / "metrics.csv").open() as file:
            curves.append([row for row in csv.DictReader(file) if row["val/loss"]])
    assert len(curves[0]) == len(curves[1]) == 2
    for encoded, read in zip(*curves, strict=True):
        for name in ("val/loss", "val/nll_inside", "val/nll_outside"):
            assert float(read[name]) == pytest.approx(float(encoded[name]), rel=1e-5)


@pytest.mark.parametrize("cached", [0, 8])
def test_all_validation_examples_may_be_looked_at(tmp_path, cached):
    run(tmp_path, "dataset.val.length=3", "loader.val_length=null", f"token_cache={cached}")


def test_a_bundle_knows_the_validation_examples_that_were_looked_at(tmp_path, monkeypatch):
    measured, counts = TrainedOn.measured, []

    def counted(editor, edits):
        counts.append(len(edits.targets))
        return measured(editor, edits)

    monkeypatch.setattr(TrainedOn, "measured", counted)
    run(tmp_path, "dataset.val.length=9", "loader.val_length=3")
    assert counts == [3]


def memory() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="others keep no gaps, or cannot tell")
def test_gaps_between_what_is_kept_are_returned_after_a_validation():
    pieces = [torch.ones(25_000) for _ in range(2000)]  # 200 MB, none large enough to be apart
    del pieces[:-1]
    before = memory()
    FreeMemory().on_validation_end(None, None)
    assert memory() < before - 100e6
    assert len(pieces) == 1


def test_averages_of_weights_are_what_a_finished_run_exports_again(tmp_path):
    settings = [*SIX, "callbacks=ema", "callbacks.ema.decay=0.5"]
    run(tmp_path, *settings)
    averages = weights(tmp_path)
    run(tmp_path, *settings, "trainer.log_every_n_steps=2")  # other settings: it is opened again
    again = weights(tmp_path)
    assert all(torch.equal(averages[name], again[name]) for name in averages)
    checkpoint = RunFolder(tmp_path).last_checkpoint
    assert checkpoint is not None
    last = torch.load(checkpoint, weights_only=True)
    name = "editor.transformer.head.weight"
    assert torch.equal(last["state_dict"][name], averages["transformer.head.weight"])
    assert not torch.equal(last["current_model_state"][name], averages["transformer.head.weight"])


def test_the_weights_depend_on_the_seed(tmp_path):
    run(tmp_path / "a")
    run(tmp_path / "b", "seed=1")
    a, b = weights(tmp_path / "a"), weights(tmp_path / "b")
    assert not torch.equal(a["transformer.head.weight"], b["transformer.head.weight"])


def test_a_run_folder_holds_what_it_should(tmp_path):
    run(tmp_path / "run")
    for name in (
        "config.yaml",
        "metrics.csv",
        "checkpoints/step_000002.ckpt",
        "bundle/config.yaml",
    ):
        assert (tmp_path / "run" / name).is_file(), name
    status = json.loads((tmp_path / "run" / "status.json").read_text())
    assert status["state"] == "done"


@pytest.mark.parametrize("role", ["source", "driver"])
def test_a_tokenizer_that_was_trained_opens_in_an_editor_s_training(tmp_path, role):
    task = [f"task={role}_tokenizer", "optimizer=tokenizer"]
    train(compose(*TINY, *task, f"run_dir={tmp_path / 'tokenizer'}"))
    trained = Tokenizer.from_pretrained(tmp_path / "tokenizer")
    run(tmp_path / "editor", f"tokenizer.{role}={tmp_path / 'tokenizer'}")
    editor = Editor.from_pretrained(tmp_path / "editor")
    opened = editor.source_tokenizer if role == "source" else editor.driver_tokenizer
    for name, value in trained.state_dict().items():
        assert torch.equal(opened.state_dict()[name], value)


def test_adversarial_training_resumes_exactly_too(tmp_path):
    settings = ["task=source_tokenizer", "optimizer=tokenizer", "vqgan.quantizer.restart_after=0"]
    settings += ["tokenizer_loss.discriminator={channels: 4, layers: 1}", *SIX]
    settings += ["tokenizer_loss.adversarial_weight=0.8", "tokenizer_loss.adversarial_start=1"]
    train(compose(*TINY, f"run_dir={tmp_path / 'whole'}", *settings))
    broken = [f"run_dir={tmp_path / 'broken'}", *settings]
    train(compose(*TINY, *broken, "trainer.max_steps=3"))
    train(compose(*TINY, *broken))
    whole, again = (Tokenizer.from_pretrained(tmp_path / name) for name in ("whole", "broken"))
    for name, value in whole.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_shared_tokenizers_are_one(tmp_path):
    shared = ["tokenizer=shared", "tokenizer.source=untrained", f"run_dir={tmp_path}"]
    train(compose(*TINY, *shared))
    editor = Editor.from_pretrained(tmp_path)
    assert editor.driver_tokenizer is editor.source_tokenizer
    assert not (tmp_path / "bundle" / "driver_tokenizer.safetensors").exists()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["tokenizer.allow_untrained=false"], "tokenizer.source is untrained"),
        (["transformer.codebook_size=16"], "source tokenizer has 32 codes .* reads 16"),
        (["transformer.positions=10"], "need 36 positions and transformer.positions is 10"),
        (["image_size=36"], "image_size 36 is no multiple of 8"),
        (["transformer.heads=3"], "width 32 cannot be shared by 3 heads"),
        (
            ["batch_size=9", "loader.batch_limit=null", "dataset.train.length=8"],
            "8 images, fewer than one batch of 9",
        ),
        (["tokenizer.source=nowhere"], "nowhere is no bundle"),
        (
            ["transformer._target_=e2eve.transformer.GPT"],
            "transformer._target_ is .*GPT, which is the network: give its config, .*GPTConfig",
        ),
        (["tokenizer.source=package:nothing"], 'No packaged bundle is called "nothing"'),
    ],
)
def test_what_a_user_can_get_wrong_is_one_sentence(tmp_path, overrides, message):
    with pytest.raises(ValueError, match=message):
        run(tmp_path / "run", *overrides)
    status = tmp_path / "run" / "status.json"
    assert json.loads(status.read_text())["state"] == "failed"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("+callbacks.mine._target_=e2eve.edit_simulation.Block", "callbacks names .*Block, give a"),
        ("+callbacks.mine._target_=e2eve.nothing", "mine._target_ .* cannot be imported"),
        ("+callbacks.last.every_n_step=1", "no setting: did you mean callbacks.last.every_n_steps"),
        ("+logger.mine._target_=e2eve.edit_simulation.Block", "logger names .*Block, give a"),
    ],
)
def test_callbacks_and_loggers_are_refused_before_images_are_looked_at(tmp_path, override, message):
    with pytest.raises(ValueError, match=message):
        run(tmp_path / "run", "dataset.train.length=0", override)


@pytest.mark.parametrize("experiment", ["toyfaces_block", "photos_block", "ffhq_block"])
def test_the_smoke_run_encodes_and_evaluates_few_edits_of_any_experiment(experiment):
    root = [] if experiment.startswith("toyfaces") else ["dataset.root=."]
    config = compose(f"+experiment={experiment}", "trainer=smoke", *root)
    settings = read_settings(config, TrainSettings)
    assert settings.cached_edits <= 16
    assert (settings.evaluation.enabled, settings.evaluation.num_inputs) == (False, 2)


def test_an_unknown_task_leaves_nothing_behind(tmp_path):
    with pytest.raises(ValueError, match=r'task is "editer".*did you mean "editor"'):
        run(tmp_path / "run", "task=editer")
    assert not (tmp_path / "run").exists()


def losses(path) -> list[float]:
    header, *rows = (path / "metrics.csv").read_text().splitlines()
    column = header.split(",").index("train/loss")
    return [float(row.split(",")[column]) for row in rows if row.split(",")[column]]


def test_the_layout_of_tokenizers_changes_nothing(tmp_path):
    run(tmp_path / "plain", *SIX)
    run(tmp_path / "layout", *SIX, "compute.channels_last=true")
    assert losses(tmp_path / "layout") == pytest.approx(losses(tmp_path / "plain"), rel=1e-4)
    Editor.from_pretrained(tmp_path / "layout")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling for a CPU needs g++")
def test_settings_for_a_gpu_train_the_same_editor_on_a_cpu(tmp_path):
    """Compiled, in bfloat16, in another layout."""
    run(tmp_path / "plain", *SIX)
    on_a_gpu = [
        "trainer=gpu",
        "trainer.accelerator=cpu",
        "loader.workers=0",
        "trainer.log_every_n_steps=1",
    ]
    run(tmp_path / "gpu", *on_a_gpu, "tokenizer.allow_untrained=true", *SIX)
    assert losses(tmp_path / "gpu") == pytest.approx(losses(tmp_path / "plain"), rel=0.01)


def test_who_comes_second_to_a_folder_changes_nothing_there(tmp_path):
    run(tmp_path)
    before = (tmp_path / "config.yaml").read_text()
    with (
        lock_run_dir(tmp_path),
        pytest.raises(ValueError, match=r"Another process is training in .*: wait"),
    ):
        run(tmp_path, "trainer.max_steps=9")
    assert (tmp_path / "config.yaml").read_text() == before
    assert json.loads((tmp_path / "status.json").read_text())["state"] == "done"


@pytest.mark.parametrize("cached", [0, 8])
def test_a_run_that_diverges_names_its_images_and_saves_nothing_of_it(
    tmp_path, monkeypatch, cached
):
    monkeypatch.setattr(OptimizerSettings, "learning_rate", lambda *_: 1e30)
    wild = ["callbacks.last.every_n_steps=1"]
    with pytest.raises(ValueError, match=r"finite|nan|inf") as error:
        run(tmp_path, *SIX, *wild, f"token_cache={cached}")
    assert re.search(r" at step \d+ \(images: train-\d+, train-\d+\): lower", str(error.value))
    assert json.loads((tmp_path / "status.json").read_text())["state"] == "failed"
    for path in (tmp_path / "checkpoints").glob("step_*.ckpt"):
        weights = torch.load(path, weights_only=True)["state_dict"]
        assert all(value.isfinite().all() for value in weights.values())
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize(("own", "others"), [(1.0, False), (torch.inf, True)])
def test_processes_of_a_run_that_diverges_leave_together(own, others):
    """With a finite loss of its own too, when another's is not; and asked by all of them."""
    asked = []

    def reduce(finite: bool, all: bool) -> bool:
        asked.append(finite)
        return finite and others

    trainer = SimpleNamespace(
        strategy=SimpleNamespace(reduce_boolean_decision=reduce),
        datamodule=SimpleNamespace(names=lambda: ["a.png"]),
        global_step=3,
    )
    with pytest.raises(ValueError, match=r"The loss .* at step 3 \(images: a\.png\)"):
        StopNotFinite().on_before_backward(trainer, None, torch.tensor(own))
    assert asked == [own == 1.0]


def test_weights_that_are_not_finite_are_refused(tmp_path):
    run(tmp_path)
    path = tmp_path / "bundle/transformer.safetensors"
    broken = load_file(path)
    broken["head.weight"][0, 0] = torch.nan
    save_file(broken, path)
    with pytest.raises(ValueError, match=r"1 not finite \(head\.weight\)"):
        Editor.from_pretrained(tmp_path)


def test_a_finished_editor_knows_whether_its_tokenizer_was_trained_further(tmp_path):
    tokenizer, done = tmp_path / "tokenizer", RunFolder(tmp_path / "run")
    overrides = [*TINY, "tokenizer=shared", f"source_tokenizer={tokenizer}"]
    settings = read_settings(compose(*overrides), TrainSettings)
    first = tiny_tokenizer()
    first.save_pretrained(tokenizer)
    Editor(first, first, GPTConfig(2, 2, 32), 16).save_pretrained(done.bundle)
    assert [*changed_tokenizers(settings, done)] == []
    tiny_tokenizer().save_pretrained(tokenizer)
    assert [*changed_tokenizers(settings, done)] == [str(tokenizer)]
    (tokenizer / "tokenizer.safetensors").unlink()  # moved away: nothing is known
    assert [*changed_tokenizers(settings, done)] == []
