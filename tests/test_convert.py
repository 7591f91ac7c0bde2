"""The command, both ways, and training runs that start from what it wrote."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from e2eve.convert import convert
from e2eve.edit import edit
from e2eve.editor import Editor
from e2eve.published import write_published
from e2eve.published.conversion import editor_state
from e2eve.training.run import train
from tests.factories import TINY, compose, tiny_editor
from tests.first_loss import first_loss, loss_on_the_first_batch
from tests.published_files import SIZES, plain_editor, plain_tokenizer

SIZED = [f"{name}={value}" for name, value in SIZES.items()]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A published editor and an image in the working directory."""
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": editor_state(plain_editor())}, "editor.pth")
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save("image.png")
    return tmp_path


def run(*overrides: str) -> Path:
    return convert(compose(*overrides, config_name="convert"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_published_editor_becomes_a_bundle_that_edits(folder, capsys):
    out = run("published=editor.pth", *SIZED)
    assert out == Path("converted/editor")
    assert not list(folder.glob(".convert_*"))
    shown = capsys.readouterr().out
    assert "positions 38" in " ".join(shown.replace("│", " ").split())
    assert shown.splitlines()[-1].startswith("Next: python -m e2eve.edit model=converted/editor ")
    call = ["source=image.png", "driver=image.png", "box=[10,8,30,28]", "num_samples=1"]
    grid = edit(compose(f"model={out}", *call, config_name="edit"))
    assert grid.is_file()


@pytest.mark.parametrize("shared", [True, False])
def test_a_bundle_comes_back_from_published_names_to_the_byte(folder, shared):
    editor = plain_editor(shared)
    editor.save_pretrained("run/bundle")
    assert run("to=published", "bundle=run") == Path("converted/run.ckpt")
    assert run("published=converted/run.ckpt", "out=again") == Path("again")
    assert contents(Path("again")) == contents(Path("run/bundle"))


def test_a_tokenizer_comes_back_to_the_byte(folder):
    plain_tokenizer().save_pretrained("vqgan")
    run("to=published", "bundle=vqgan", "out=vqgan.ckpt")
    assert contents(run("published=vqgan.ckpt", "out=again")) == contents(Path("vqgan"))


def test_what_is_there_stays(folder):
    bundle = run("published=editor.pth", "out=bundle", *SIZED)
    before = {path: path.stat().st_mtime_ns for path in bundle.iterdir()}
    assert run("published=editor.pth", "out=bundle", *SIZED) == bundle  # the same: nothing is done
    torch.save({"state_dict": editor_state(plain_editor())}, "other.pth")
    with pytest.raises(ValueError, match=r"bundle holds something else already: give another out"):
        run("published=other.pth", "out=bundle", *SIZED)
    assert {path: path.stat().st_mtime_ns for path in bundle.iterdir()} == before
    with pytest.raises(ValueError, match=r"\. holds something else already"):
        run("published=editor.pth", "out=.", *SIZED)


def test_a_checkpoint_that_is_there_stays(folder):
    plain_editor().save_pretrained("bundle")
    for _ in range(2):
        run("to=published", "bundle=bundle", "out=a.ckpt")
    with pytest.raises(ValueError, match=r"editor.pth holds something else already"):
        run("to=published", "bundle=bundle", "out=editor.pth")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ((), "to=bundle reads a published file: give published=<file> and no bundle"),
        (("to=published", "published=editor.pth"), "to=published reads a bundle: give bundle=<"),
        (("to=checkpoint",), 'to is "checkpoint", the choices are bundle, published'),
        (("published=none.pth",), "There is no file none.pth"),
        (("published=editor.pth", "preset=ffq"), 'preset is "ffq".* did you mean "ffhq"'),
        (("published=editor.pth",), "(64|32) cells per side where image_size is 256"),
        (("to=published", "bundle=nowhere"), "nowhere is no bundle"),
        (("to=published", "bundle=package:toyfaces_source"), "norm=channel, patch=4"),
        (("to=published", "bundle=x", "out=."), r"out=\. is a folder: give the name of a file"),
    ],
)
def test_wrong_calls_are_one_sentence_and_leave_nothing(folder, overrides, message):
    before = set(folder.rglob("*"))
    with pytest.raises(ValueError, match=message):
        run(*overrides)
    assert set(folder.rglob("*")) == before


def test_an_editor_without_a_counterpart_is_refused(folder):
    tiny_editor().save_pretrained("run")
    with pytest.raises(ValueError, match="source tokenizer has patch=4"):
        run("to=published", "bundle=run")


def test_the_command_ends_with_the_path(folder):
    command = [sys.executable, "-m", "e2eve.convert", "published=editor.pth", *SIZED]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "converted/editor"
    assert {path.name for path in folder.iterdir()} == {"converted", "editor.pth", "image.png"}


@pytest.mark.parametrize("experiment", ["lsun_bedroom_block", "ffhq_block"])
def test_fine_tuning_starts_with_the_loss_of_the_converted_bundle(folder, experiment):
    editor = plain_editor(shared=experiment.startswith("lsun"))
    # So that the loss is not that of chance.
    nn.init.normal_(editor.transformer.head.weight)  # type: ignore[arg-type, union-attr]
    torch.save(editor_state(editor), "editor.pth")
    run("published=editor.pth", "out=bundle", *SIZED)
    overrides = [f"+experiment={experiment}", *TINY, "dataset=toyfaces", "dataset.train.length=8"]
    overrides += ["trainer.accelerator=cpu", "run_dir=run", "init_from=bundle"]
    train(compose(*overrides))
    expected = loss_on_the_first_batch(Editor.from_pretrained("bundle"), compose(*overrides))
    assert first_loss(Path("run")) == pytest.approx(expected, rel=1e-6)
    assert expected > 4  # ln 32 = 3.5 is what chance has


def test_a_file_that_was_written_is_read_without_any_code(folder):
    write_published(plain_editor(), Path("editor.ckpt"))
    assert set(torch.load("editor.ckpt", weights_only=True)) == {"state_dict", "e2eve"}
