"""The verb, from configuration to the files it leaves."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from e2eve.config import device_of
from e2eve.data.images import read_image
from e2eve.edit import edit
from e2eve.geometry import Box
from tests.factories import compose, tiny_editor

FILES = {"edit_01.png", "edit_02.png", "edit.json", "grid.png", "region.png"}
BOX = Box(10, 8, 30, 28)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model, sources and drivers in the working directory."""
    monkeypatch.chdir(tmp_path)
    tiny_editor().save_pretrained("run/bundle")
    rng = np.random.default_rng(0)
    for name in ("sources/a.png", "sources/b.png", "drivers/a.png", "drivers/b.jpg"):
        Path(name).parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(name)
    Image.fromarray(BOX.mask(50, 40)).save("mask.png")
    return tmp_path


def run(*overrides: str) -> Path:
    return edit(compose("num_samples=2", *overrides, config_name="edit"))


def test_one_picture(folder):
    grid = run("model=run", "source=sources/a.png", "driver=drivers/a.png", "box=[10,8,30,28]")
    assert grid == Path("edits/grid.png")
    assert {path.name for path in Path("edits").iterdir()} == FILES
    facts = json.loads(Path("edits/edit.json").read_text())
    assert (facts["model"], facts["source"], facts["box"]) == (
        "run",
        "sources/a.png",
        [10, 8, 30, 28],
    )
    assert facts["samples"][0]["score"] >= facts["samples"][1]["score"]
    source, region = read_image("sources/a.png"), BOX.mask(50, 40)
    for sample in facts["samples"]:
        assert np.array_equal(read_image(f"edits/{sample['file']}")[~region], source[~region])


def test_the_same_call_leaves_the_same_pictures(folder):
    call = ("model=run", "source=sources/a.png", "driver=drivers/b.jpg", "mask=mask.png", "seed=5")
    run(*call, "out=first")
    run(*call, "out=second")
    for name in FILES:
        assert Path("first", name).read_bytes() == Path("second", name).read_bytes()


def test_folders(folder, caplog):
    caplog.set_level(logging.INFO)
    out = run("model=run", "source=sources", "driver=drivers", "mask=mask.png", "out=many")
    assert out == Path("many")
    for name in ("a", "b"):
        assert {path.name for path in (out / name).iterdir()} == FILES
    assert json.loads((out / "b" / "edit.json").read_text())["driver"] == "drivers/b.jpg"
    assert "32 of 32" in caplog.text  # 16 tokens for each of two sources


def test_a_folder_draws_what_single_calls_draw(folder):
    run("model=run", "source=sources", "driver=drivers/a.png", "mask=mask.png", "out=many")
    run("model=run", "source=sources/b.png", "driver=drivers/a.png", "mask=mask.png", "out=one")
    for name in ("edit_01.png", "edit_02.png", "grid.png"):
        assert Path("many/b", name).read_bytes() == Path("one", name).read_bytes()


def test_the_source_that_cannot_be_edited_is_named(folder):
    Image.new("RGB", (9, 9)).save("sources/c.png")
    call = ("model=run", "source=sources", "driver=drivers/a.png", "mask=mask.png")
    with pytest.raises(ValueError, match=r"sources/c.png was not edited. The mask has 50×40"):
        run(*call)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ((), "model is missing: give model=<the bundle or run folder of an editor>"),
        (("model=run",), "source is missing: give source=<"),
        (("model=run", "source=a.png"), "driver is missing: give driver=<"),
        (("model=run", "source=a.png", "driver=b.png"), "Neither box nor mask"),
        (("model=x", "source=sources/a.png", "driver=mask.png", "box=[0,0,9,9]"), "x is no bundle"),
        (("model=run", "source=a.png", "driver=mask.png", "box=[0,0,9,9]"), "a.png is not a file"),
        (
            ("model=run", "source=mask.png", "driver=mask.png", "box=[0,0,90,9]"),
            "reaches outside the source of 50×40 pixels",
        ),
    ],
)
def test_wrong_calls(folder, overrides, message):
    with pytest.raises(ValueError, match=message):
        run(*overrides)
    assert not Path("edits").exists()


def test_devices(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert device_of("auto") == device_of("cpu") == "cpu"
    with pytest.raises(ValueError, match="device is cuda:1 and PyTorch finds no GPU"):
        device_of("cuda:1")
    with pytest.raises(ValueError, match='device is "gpu": give auto, cpu'):
        device_of("gpu")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert device_of("auto") == "cuda"


def test_the_command_says_what_is_missing_in_one_line_and_leaves_nothing(tmp_path):
    command = [sys.executable, "-m", "e2eve.edit", "model=run", "source=a.png"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    lines = (done.stdout + done.stderr).strip().splitlines()
    assert lines == [
        "driver is missing: give driver=<a picture of what should appear in the region>."
    ]
    assert list(tmp_path.iterdir()) == []
