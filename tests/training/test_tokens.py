"""Laws of cached ids."""

import torch

from e2eve.conditioning import EditBatch
from e2eve.training.tokens import (
    CachedTokens,
    encode_all,
    fingerprint,
    load_tokens,
    save_tokens,
)
from tests.factories import DRIVER_SIDE, SIDE, random_images, tiny_editor


def edits(count: int = 3) -> EditBatch:
    regions = torch.zeros(count, 1, SIDE, SIDE, dtype=torch.bool)
    regions[:, :, 9:20, 9:20] = True
    boxes = torch.tensor([[9, 9, 20, 20]]).expand(count, 4)
    return EditBatch(random_images(count), regions, random_images(count, DRIVER_SIDE), boxes, boxes)


def test_cached_ids_are_those_of_encoding_on_the_fly(tmp_path):
    editor, batch = tiny_editor(), edits()
    save_tokens(tmp_path / "cache.safetensors", encode_all(editor, [batch]), {"a": 1})
    tokens = load_tokens(tmp_path / "cache.safetensors", {"a": 1})
    assert tokens is not None
    cached = CachedTokens(3, lambda: tokens)
    assert len(cached) == 3
    read = cached.collate([cached[(5, index)] for index in range(3)])
    for ours, theirs in zip(read, editor.tokenize(batch), strict=True):
        assert torch.equal(ours, theirs)


def test_ids_made_with_other_settings_are_not_read(tmp_path):
    save_tokens(tmp_path / "cache.safetensors", encode_all(tiny_editor(), [edits()]), {"a": 1})
    assert load_tokens(tmp_path / "cache.safetensors", {"a": 2}) is None
    assert load_tokens(tmp_path / "other.safetensors", {"a": 1}) is None
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})


def test_source_ids_do_not_depend_on_what_the_region_hides():
    editor, batch = tiny_editor(), edits()
    other = batch._replace(targets=torch.where(batch.regions, 0.3, batch.targets))
    assert torch.equal(editor.tokenize(batch).source_ids, editor.tokenize(other).source_ids)


def test_a_cell_is_of_the_region_when_any_of_its_pixels_is():
    cells = tiny_editor().tokenize(edits(1)).region_cells[0].view(4, 4)
    expected = torch.zeros(4, 4, dtype=torch.bool)
    expected[1:3, 1:3] = True
    assert torch.equal(cells, expected)
