"""Laws of cached ids: equal to encoding on the fly, made again when what they are of changes."""

import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from e2eve.data.image_folder import ImageFolder
from e2eve.data.toyfaces import ToyFaces
from e2eve.edit_simulation import Block, CentreView, DriverCrop, EditSimulation
from e2eve.editor import Editor
from e2eve.training.data_module import CachedTokens, Simulated, weights_hash
from tests.factories import DRIVER_SIDE, SIDE, tiny_editor

SIMULATION = EditSimulation(SIDE, DRIVER_SIDE, CentreView(), Block(), DriverCrop())


@pytest.fixture(scope="module")
def editor() -> Editor:
    return tiny_editor()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four images of noise."""
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for n in range(4):
        save(tmp_path / f"images/{n}.png", rng)
    return tmp_path / "images"


def save(path: Path, rng: np.random.Generator) -> None:
    Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(path)


def edits_of(folder: Path, seed: int = 0) -> Simulated:
    return Simulated(ImageFolder(folder), SIMULATION, seed)


def cache_at(
    path: Path, editor: Editor, folder: Path, seed: int = 0, **changes: Any
) -> CachedTokens:
    given: dict[str, Any] = {"count": 6, "simulation": {"min_side": 0.4}, **changes}
    return CachedTokens(path, editor, edits_of(folder, seed), **given)


@pytest.fixture
def path(editor, folder, tmp_path) -> Path:
    """A cache of six edits."""
    path = tmp_path / "run/token_cache/train.safetensors"
    cache_at(path, editor, folder).prepare(editor, workers=0)
    return path


def test_cached_ids_are_those_of_encoding_on_the_fly(editor, folder, path):
    cached, edits = cache_at(path, editor, folder), edits_of(folder)
    assert len(cached) == 6
    read = cached.collate([cached[(9, index)] for index in range(6)])
    keys = [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1)]
    batch = edits.collate([edits[key] for key in keys])
    for ours, theirs in zip(read, editor.tokenize(batch), strict=True):
        assert torch.equal(ours, theirs)


def test_what_has_not_changed_is_not_encoded_again(editor, folder, path):
    written = path.stat().st_mtime_ns
    cache = cache_at(path, editor, folder)
    assert cache.outdated() == []
    cache.prepare(editor, workers=0)
    assert path.stat().st_mtime_ns == written


def test_moved_images_are_the_same_images(editor, folder, path):
    moved = folder.rename(folder.parent / "elsewhere")
    assert cache_at(path, editor, moved).outdated() == []


CHANGES: dict[str, tuple[Any, str]] = {
    "an image is replaced": (lambda f: save(f / "2.png", np.random.default_rng(1)), "images"),
    "an image is touched": (lambda f: os.utime(f / "2.png", (1, 1)), "images"),
    "an image is renamed": (lambda f: (f / "2.png").rename(f / "1b.png"), "images"),
    "an image is added": (lambda f: save(f / "9.png", np.random.default_rng(1)), "numbers"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_other_images_are_encoded_again_with_a_sentence(change, editor, folder, path, caplog):
    make, named = CHANGES[change]
    make(folder)
    cache = cache_at(path, editor, folder)
    assert named in cache.outdated()
    with caplog.at_level(logging.WARNING):
        cache.prepare(editor, workers=0)
    assert "train.safetensors are of other images" in caplog.text
    assert "encoded again" in caplog.text
    assert cache.outdated() == []


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"seed": 1}, "numbers"),
        ({"count": 5}, "numbers"),
        ({"simulation": {"min_side": 0.5}}, "simulation"),
    ],
)
def test_other_settings_are_another_cache(changes, named, editor, folder, path):
    assert named in cache_at(path, editor, folder, **changes).outdated()


def test_a_tokenizer_that_was_trained_further_is_another(editor, folder, path):
    """The path that the config names is the same."""
    other = tiny_editor()
    other.load_state_dict(editor.state_dict())
    assert cache_at(path, other, folder).outdated() == []
    with torch.no_grad():
        other.driver_tokenizer.quantizer.codebook.weight[3] += 1e-3
    assert cache_at(path, other, folder).outdated() == ["tokenizers"]
    before, after = (weights_hash(each.source_tokenizer) for each in (editor, other))
    assert before == after


def test_a_damaged_file_is_made_again(editor, folder, path):
    path.write_bytes(path.read_bytes()[:50])
    cache = cache_at(path, editor, folder)
    assert cache.outdated() == list(cache.parts)
    cache.prepare(editor, workers=0)
    assert len(cache.tokens.target_ids) == 6


def test_generated_images_are_known_by_their_settings(editor, tmp_path):
    def parts(**settings: Any) -> Any:
        edits = Simulated(ToyFaces(**settings), SIMULATION, seed=0)
        return CachedTokens(tmp_path / "x", editor, edits, 6, simulation={}).parts

    assert parts(length=8) == parts(length=8)
    assert parts(length=8) != parts(length=8, seed=1)
    assert parts(length=8) != parts(length=8, size=32)
