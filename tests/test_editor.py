"""Editors: bundles, sampling, and edits of images of any size."""

import os
import shutil
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from safetensors.torch import load_file, save_file

import e2eve
from e2eve import Box, Driver, Editor
from e2eve.conditioning import EditBatch, EditInputs
from e2eve.data.images import to_tensor
from e2eve.data.toyfaces import ToyFaces
from e2eve.editing.trained_on import NLL_MARGIN, TrainedOn, middle_nll
from e2eve.tokenizers import Tokenizer
from e2eve.transformer import GPT, GPTConfig, GPTSampling, SamplingSettings
from e2eve.transformer.gpt import packed
from e2eve.transformer.gpt.family import draft_of
from e2eve.transformer.gpt.speculative import Draft
from tests.factories import (
    CODES,
    DRIVER_SIDE,
    SIDE,
    random_ids,
    random_images,
    that_sees,
    tiny_editor,
    tiny_tokenizer,
)

BOX = Box(12, 10, 40, 36)
REGIONS = torch.from_numpy(Box(5, 9, 20, 27).mask(SIDE, SIDE)).expand(2, 1, SIDE, SIDE)


def noise(width: int = 60, height: int = 44, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image)


def by_number(edits: e2eve.Edits) -> dict[int, np.ndarray]:
    return dict(zip(edits.numbers, map(pixels, edits.images), strict=True))


@pytest.fixture(scope="module")
def editor() -> Editor:
    torch.manual_seed(0)
    return tiny_editor()


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return tiny_editor().save_pretrained(tmp_path / "bundle")


@pytest.mark.parametrize("shared", [True, False])
def test_bundle_round_trip_is_exact(shared, tmp_path):
    editor = tiny_editor(shared)
    editor.save_pretrained(tmp_path / "a")
    opened = Editor.from_pretrained(tmp_path / "a")
    ids = random_ids(2, 4), random_ids(2, 16), random_ids(2, 16)
    assert torch.equal(opened.logits(*ids), editor.logits(*ids))
    drivers = random_images(2, DRIVER_SIDE)
    assert torch.equal(
        opened.driver_tokenizer.encode(drivers), editor.driver_tokenizer.encode(drivers)
    )
    assert opened.shared is shared
    assert not opened.training
    opened.save_pretrained(tmp_path / "b")
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "b").iterdir())
    assert ("driver_tokenizer.safetensors" in names) is not shared
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_bundle_opens_where_nothing_else_is(bundle, tmp_path, monkeypatch):
    moved = tmp_path / "elsewhere" / "run" / "bundle"
    shutil.copytree(bundle, moved)
    shutil.rmtree(bundle)
    monkeypatch.chdir(tmp_path / "elsewhere")
    for path in (moved, moved.parent, "run"):
        assert Editor.from_pretrained(path).image_size == SIDE


def test_ranking_leaves_the_bundle_and_the_state_as_they_were(bundle, tmp_path):
    editor = Editor.from_pretrained(bundle)
    before = list(editor.state_dict())
    editor.edit(noise(), noise(), BOX, num_samples=1)
    assert list(editor.state_dict()) == before
    assert not any("extractor" in name for name, _ in editor.named_modules())
    assert editor.extractor is editor.extractor
    editor.save_pretrained(tmp_path / "again")
    for path in bundle.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def change_weights(folder: Path, change: Callable[[dict], object]) -> None:
    path = folder / "transformer.safetensors"
    weights = load_file(path)
    change(weights)
    save_file(weights, path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("head.weight"), r"do not fit the network: 1 missing \(head.weight\)"),
        (lambda w: w.update(extra=torch.ones(1)), r"1 unexpected \(extra\)"),
        (
            lambda w: w.update({"head.weight": torch.ones(CODES, 31)}),
            r"1 of another shape \(head.weight \(32, 31\) instead of \(32, 32\)\)",
        ),
    ],
)
def test_weights_that_do_not_fit_are_named(bundle, change, message):
    change_weights(bundle, change)
    with pytest.raises(ValueError, match=message):
        Editor.from_pretrained(bundle)


def test_wrong_bundles_are_refused(bundle, tmp_path):
    with pytest.raises(ValueError, match=r"nowhere is no bundle .* and no run folder"):
        Editor.from_pretrained(tmp_path / "nowhere")
    tiny_tokenizer().save_pretrained(tmp_path / "tokenizer")
    with pytest.raises(ValueError, match='bundle of kind "tokenizer" where "editor" is needed'):
        Editor.from_pretrained(tmp_path / "tokenizer")
    (bundle / "driver_tokenizer.safetensors").unlink()
    with pytest.raises(ValueError, match=r"Cannot read weights from .*driver_tokenizer"):
        Editor.from_pretrained(bundle)


def test_a_truncated_file_is_refused(bundle):
    path = bundle / "transformer.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"Cannot read weights from .*transformer.safetensors"):
        Editor.from_pretrained(bundle)


def test_seams_are_checked():
    source, driver = tiny_tokenizer(), tiny_tokenizer(DRIVER_SIDE)
    config: dict[str, Any] = {"layers": 1, "heads": 2, "width": 8}
    with pytest.raises(ValueError, match=r"source tokenizer has 32 codes .* reads 16"):
        Editor(source, driver, GPTConfig(codebook_size=16, **config), DRIVER_SIDE)
    with pytest.raises(ValueError, match=r"driver_size 20 is no multiple .* cell of 8"):
        Editor(source, source, GPTConfig(codebook_size=CODES, **config), 20)
    with pytest.raises(ValueError, match=r"driver_size is 8 and .* made for 16 pixels"):
        Editor(source, driver, GPTConfig(codebook_size=CODES, **config), 8)


def test_what_lies_in_the_region_changes_nothing(editor):
    sources, drivers = random_images(2), random_images(2, DRIVER_SIDE)
    regions = torch.zeros(2, 1, SIDE, SIDE, dtype=torch.bool)
    regions[:, :, 8:20, 4:30] = True
    others = torch.where(regions, random_images(2), sources)
    first = editor.condition(EditInputs(sources, regions, drivers))
    second = editor.condition(EditInputs(others, regions, drivers))
    assert torch.equal(first.source_ids, second.source_ids)
    one, two = (editor.tokenize(EditInputs(s, regions, drivers)) for s in (sources, others))
    assert torch.equal(one.source_ids, two.source_ids)
    assert torch.equal(one.source_ids, first.source_ids)
    assert not torch.equal(one.target_ids, two.target_ids)


@pytest.mark.parametrize("size", [(60, 44), (33, 90), (32, 32), (9, 7)])
def test_only_the_region_changes_and_it_does(editor, size):
    source = noise(*size)
    rows, columns = np.mgrid[: size[1], : size[0]]
    disc = (rows - size[1] / 2) ** 2 + (columns - size[0] / 3) ** 2 < min(size) ** 2 / 9
    edits = editor.edit(source, noise(20, 30, 1), disc, num_samples=2)
    assert len(edits) == len(edits.scores) == len(edits.numbers) == 2
    assert edits.scores == sorted(edits.scores, reverse=True)
    for image in edits.images:
        assert image.size == size
        assert np.array_equal(pixels(image)[~disc], source[~disc])
        assert (pixels(image)[disc] != source[disc]).any(-1).mean() > 0.9


def test_a_seed_draws_the_same_edits_however_many(editor):
    four = by_number(editor.edit(noise(), noise(), BOX, num_samples=4, seed=3))
    one = by_number(editor.edit(noise(), noise(), BOX, num_samples=1, seed=3))
    assert sorted(four) == [0, 1, 2, 3]
    assert np.array_equal(one[0], four[0])
    assert len({image.tobytes() for image in four.values()}) == 4
    other = by_number(editor.edit(noise(), noise(), BOX, num_samples=1, seed=4))
    assert not np.array_equal(one[0], other[0])


def test_a_box_draws_what_its_mask_draws(editor):
    edits = [
        editor.edit(noise(), noise(), region, num_samples=2) for region in (BOX, BOX.mask(60, 44))
    ]
    assert edits[0].scores == edits[1].scores
    assert all(np.array_equal(*pair) for pair in zip(*(e.images for e in edits), strict=True))


def test_at_temperature_0_all_edits_are_the_same(editor):
    edits = editor.edit(noise(), noise(), BOX, num_samples=3, temperature=0)
    assert len({image.tobytes() for image in edits.images}) == 1


def test_paths_pictures_and_arrays_draw_the_same(editor, tmp_path):
    image = noise()
    Image.fromarray(image).save(tmp_path / "a.png")
    Image.fromarray(BOX.mask(60, 44)).save(tmp_path / "mask.png")
    path = str(tmp_path / "a.png")
    expected = editor.edit(image, image, BOX, num_samples=1).images[0]
    for given in (path, Image.fromarray(image)):
        edits = editor.edit(given, given, tmp_path / "mask.png", num_samples=1)
        assert edits.images[0].tobytes() == expected.tobytes()


def test_progress_is_told_after_every_pass(editor):
    told: list[int] = []
    editor.edit(noise(), noise(), BOX, num_samples=2, progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 16
    told.clear()
    editor.edit(noise(), noise(), BOX, num_samples=2, draft="none", progress=told.append)
    assert told == [*range(1, 17), 16, 16]  # the last two: decoded images


def test_several_regions_are_edited_one_after_the_other(editor):
    source, boxes = noise(), [Box(2, 3, 20, 30), Box(20, 3, 50, 40)]
    drivers = [noise(seed=1), Driver(noise(seed=2), Box(0, 0, 30, 30))]
    told: list[int] = []
    edits = editor.edit(source, drivers, boxes, num_samples=2, progress=told.append)
    first = editor.edit(source, drivers[0], boxes[0], num_samples=2)
    second = editor.edit(first.images[0], drivers[1], boxes[1], num_samples=2)
    assert (edits.scores, edits.numbers) == (second.scores, second.numbers)
    for one, other in zip(edits.images, second.images, strict=True):
        assert np.array_equal(one, other)
    assert told == sorted(told)
    assert told[-1] == 2 * 16
    both = boxes[0].mask(60, 44) | boxes[1].mask(60, 44)
    assert np.array_equal(edits.region, both)
    assert np.array_equal(edits.source.shown, source)
    assert np.array_equal(pixels(edits.images[0])[~both], source[~both])
    with pytest.raises(ValueError, match="number of drivers is 1 and that of regions 2: give"):
        editor.edit(source, noise(), boxes)
    with pytest.raises(ValueError, match="Region 2 shares 486 pixels with one before it"):
        editor.edit(source, [noise(), noise()], [boxes[0], boxes[0]])


def test_a_rim_is_as_wide_as_asked_for(editor):
    source, region = np.zeros((44, 60, 3), np.uint8), BOX.mask(60, 44)
    hard, soft = (
        pixels(editor.edit(source, noise(), BOX, num_samples=1, feather=width).images[0])
        for width in (0, 5)
    )
    inner = Box(BOX.left + 5, BOX.top + 5, BOX.right - 5, BOX.bottom - 5).mask(60, 44)
    assert np.array_equal(hard[inner], soft[inner])
    edge = region & ~Box(BOX.left + 1, BOX.top + 1, BOX.right - 1, BOX.bottom - 1).mask(60, 44)
    assert soft[edge].mean() < 0.4 * hard[edge].mean()  # of black and the edit a sixth


def test_images_are_put_together_when_they_are_asked_for(editor):
    """A large source does not fill the memory with copies of itself."""
    source = np.zeros((2000, 2000, 3), np.uint8)
    tracemalloc.start()
    edits = editor.edit(source, noise(), Box(900, 900, 1100, 1100), num_samples=4)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(edits.images) == 4
    assert edits.images[0] is not edits.images[0]
    assert most < 4 * source.nbytes


def test_an_editor_says_what_is_unlike_its_training(bundle):
    editor = Editor.from_pretrained(bundle)
    assert editor.edit(noise(), noise(), BOX, num_samples=1).remarks == []  # it knows nothing
    flat = np.full((SIDE, SIDE, 3), 128, np.uint8)
    grey = to_tensor(np.stack([flat] * 4))
    regions = torch.stack(
        [torch.from_numpy(Box(0, 0, side, side).mask(SIDE, SIDE))[None] for side in (8, 10, 12, 16)]
    )
    boxes = torch.zeros(4, 4, dtype=torch.long)
    batch = EditBatch(grey, regions, grey[..., :DRIVER_SIDE, :DRIVER_SIDE], boxes, boxes)
    learn(editor.freeze_tokenizers(), batch)
    editor.trained_on = TrainedOn.measured(editor, batch)
    editor = Editor.from_pretrained(editor.save_pretrained(bundle.parent / "knowing"))
    assert editor.trained_on is not None
    assert editor.trained_on.region_shares == (1 / 16, 1 / 4)
    assert editor.edit(flat, flat, Box(0, 0, 12, 12), num_samples=1).remarks == []
    asked = [
        (flat, flat, Box(0, 0, 30, 30)),
        (noise(SIDE, SIDE), flat, Box(0, 0, 12, 12)),
        (flat, noise(SIDE, SIDE), Box(0, 0, 12, 12)),
    ]
    large, source, driver = (editor.edit(*one, num_samples=1).remarks for one in asked)
    assert [text[:40] for text in large] == ["The region takes 87.9% of the square that"[:40]]
    assert "trained on 6.2% to 25.0%" in large[0]
    assert [text.split(" is unlike")[0] for text in source] == ["The source"]
    assert [text.split(" is unlike")[0] for text in driver] == ["The driver"]
    assert "python -m e2eve.train dataset=image_folder" in source[0]

    before = {key: v for key, v in editor.trained_on.describe().items() if key != "source_nll"}
    editor.trained_on = TrainedOn.from_description({**before, "source_error": 0.1})
    assert editor.edit(*asked[1], num_samples=1).remarks == []  # bundles of before: not known


def test_looking_whether_a_source_is_unlike_keeps_what_sampling_has_packed(editor, monkeypatch):
    monkeypatch.setattr(packed, "LARGE", 1)
    before = packed.packed(editor.eval().transformer)
    middle_nll(editor, random_images(1))
    assert packed.packed(editor.transformer) is before
    assert not editor.training
    middle_nll(editor.train(), random_images(1))
    assert editor.training
    editor.eval()


def learn(editor: Editor, batch: EditBatch, steps: int = 40) -> None:
    optimizer = torch.optim.AdamW(editor.transformer.parameters(), lr=3e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        editor.train().nll(batch).loss.backward()
        optimizer.step()
    editor.eval()


def test_the_packaged_editor_tells_photographs_from_its_faces():
    editor = Editor.from_pretrained("toyfaces")
    assert editor.trained_on is not None
    faces, drawn = ToyFaces("test", 64), np.random.default_rng(0)
    walks = drawn.normal(size=(24, 64, 64, 3)).cumsum(1).cumsum(2)  # smooth in places
    unlike = (127 + 100 * walks / np.abs(walks).max((1, 2), keepdims=True)).astype(np.uint8)
    worst = NLL_MARGIN * editor.trained_on.source_nll
    told = [
        int((middle_nll(editor, to_tensor(images)) > worst).sum())
        for images in (np.stack([faces[index] for index in range(24)]), unlike)
    ]
    assert told[0] <= 1
    assert told[1] >= 22


def test_what_is_kept_are_the_best_of_all(editor):
    everything = editor.edit(noise(), noise(seed=1), BOX, num_samples=5)
    best = editor.edit(noise(), noise(seed=1), BOX, num_samples=5, keep=2)
    assert (best.scores, best.numbers) == (everything.scores[:2], everything.numbers[:2])
    for one, other in zip(best.images, everything.images, strict=False):
        assert np.array_equal(one, other)
    for keep in (0, 6):
        with pytest.raises(ValueError, match=f"keep is {keep}: keep 1 to 5, which is num_samples"):
            editor.edit(noise(), noise(), BOX, num_samples=5, keep=keep)


@pytest.mark.parametrize("last", [5, 16])  # tokens: while drawing, and when all are drawn
def test_another_thread_cancels_and_the_same_call_draws_the_same_afterwards(editor, last):
    class CancelledError(Exception):
        """Any exception will do."""

    reached, cancelled = threading.Event(), threading.Event()
    other = threading.Thread(target=lambda: cancelled.set() if reached.wait(60) else None)
    other.start()
    told: list[int] = []

    def progress(done: int) -> None:
        told.append(done)
        if done == last:
            reached.set()
            assert cancelled.wait(60)
        if cancelled.is_set():
            raise CancelledError

    call = {"num_samples": 2, "draft": "none"}
    expected = editor.edit(noise(), noise(seed=1), BOX, **call)
    with pytest.raises(CancelledError):
        editor.edit(noise(), noise(seed=1), BOX, **call, progress=progress)
    other.join()
    assert told == list(range(1, last + 1))
    again = editor.edit(noise(), noise(seed=1), BOX, **call)
    assert all(np.array_equal(*pair) for pair in zip(again.images, expected.images, strict=True))


@pytest.mark.parametrize(
    "how", [{"draft": "paste"}, {"draft": "source", "num_speculative_tokens": 3}]
)
def test_guesses_change_no_pixel(how, editor):
    for preserve in (None, "tokens"):
        edits = [
            editor.edit(noise(), noise(seed=1), BOX, num_samples=2, preserve=preserve, **given)
            for given in ({"draft": "none"}, how)
        ]
        assert by_number(edits[0]).keys() == by_number(edits[1]).keys()
        for number, image in by_number(edits[0]).items():
            assert np.array_equal(image, by_number(edits[1])[number])


def draft_for(editor: Editor, **sampling: Any) -> tuple[Draft, dict[str, torch.Tensor]]:
    """A region of 9 to 23 by 9 to 15 pixels touches cells 1 and 2 of row 1 (of 4 × 4)."""
    sources, blends, drivers = random_images(2), random_images(2), random_images(2, DRIVER_SIDE)
    regions = torch.zeros(2, 1, SIDE, SIDE, dtype=torch.bool)
    regions[:, :, 9:15, 9:23] = True
    settings = editor.settings(sampling)
    conditioning = editor.condition(EditInputs(sources, regions, drivers), settings, blends)
    encode = editor.source_tokenizer.encode
    ids = {"source": encode(sources), "paste": encode(blends), "masked": conditioning.source_ids}
    assert isinstance(settings, GPTSampling)
    return draft_of(conditioning, settings), ids


INSIDE = torch.zeros(16, dtype=torch.bool).index_fill_(0, torch.tensor([5, 6]), True)


def test_what_is_guessed_outside_the_region_is_what_the_editor_reads(editor):
    for guess, inside in (("source", "masked"), ("paste", "paste")):
        draft, ids = draft_for(editor, draft=guess)
        assert not draft.known.any()
        assert torch.equal(draft.ids[:, INSIDE], ids[inside][:, INSIDE])
        assert torch.equal(draft.ids[:, ~INSIDE], ids["masked"][:, ~INSIDE])


def test_preserved_are_the_sources_tokens_of_cells_that_the_region_does_not_touch(editor):
    draft, ids = draft_for(editor, preserve="tokens")
    assert torch.equal(draft.known, (~INSIDE).expand(2, 16))
    assert torch.equal(draft.ids[draft.known], ids["source"][draft.known])


def test_refining_keeps_the_blends_tokens_that_are_likely_enough(editor):
    """All of them at 0; at 1 and temperature 0 it changes nothing."""
    inputs = EditInputs(random_images(2), REGIONS, random_images(2, DRIVER_SIDE))
    blends, cells = random_images(2), editor.cells(REGIONS)
    expected = editor.source_tokenizer.encode(blends)

    def drawn(**sampling: Any) -> torch.Tensor:
        settings = editor.settings(sampling)
        conditioning = editor.condition(inputs, settings, blends)
        return editor.sample_ids(conditioning, num_samples=3, seeds=[0, 1], settings=settings)

    everything, plain = drawn(refine=0), drawn(temperature=0, draft="paste")
    for sample in range(3):
        assert torch.equal(everything[:, sample][cells], expected[cells])
    assert torch.equal(drawn(refine=1, temperature=0), plain)
    kept = [int((drawn(refine=r) == expected[:, None])[:, :, cells[0]].sum()) for r in (1e-6, 1)]
    assert kept[0] > kept[1]
    for how in ({"draft": "none"}, {"num_speculative_tokens": 3}, {"draft": "paste"}):
        assert torch.equal(drawn(refine=1e-3, **how), drawn(refine=1e-3))
    with pytest.raises(ValueError, match=r"refine is 0\.3 and ids alone don't say what is to be"):
        settings = GPTSampling(refine=0.3)
        editor.sample(random_ids(1, 4), random_ids(1, 16), settings=settings)
    with pytest.raises(ValueError, match="refine is 2: use a share from 0 to 1, or null"):
        editor.settings({"refine": 2})


def test_preserving_needs_a_region(editor):
    with pytest.raises(ValueError, match='preserve is "tokens" and ids alone'):
        editor.sample(
            random_ids(1, 4), random_ids(1, 16), settings=SamplingSettings(preserve="tokens")
        )


def test_a_picture_depends_on_its_seed_only():
    """Not on the batch, nor on how many samples are asked for."""
    editor = tiny_editor()
    driver, source = random_ids(3, 4), random_ids(3, 16)
    many = editor.sample(driver, source, num_samples=4, seed=[5, 6, 7])
    for row, seed in enumerate((5, 6, 7)):
        one = editor.sample(driver[row : row + 1], source[row : row + 1], num_samples=1, seed=seed)
        assert torch.equal(one[0, 0], many[row, 0])
    assert not torch.equal(many[0, 0], many[0, 1])


def test_temperature_0_is_argmax_whatever_the_seed(editor):
    settings = SamplingSettings(temperature=0.0)
    driver, source = random_ids(1, 4), random_ids(1, 16)
    drawn = [
        editor.sample(driver, source, num_samples=1, seed=s, settings=settings) for s in (0, 1)
    ]
    assert torch.equal(drawn[0], drawn[1])
    with torch.no_grad():
        logits = editor.logits(driver, source, drawn[0][:, 0])
    assert torch.equal(logits.argmax(-1), drawn[0][:, 0])


def test_seeds_must_match_the_inputs(editor):
    with pytest.raises(ValueError, match="2 seeds for 1 inputs"):
        editor.sample(random_ids(1, 4), random_ids(1, 16), seed=[1, 2])


def test_a_training_takes_back_the_memory_of_packed_matrices():
    editor = tiny_editor()
    editor.sample(random_ids(1, 4), random_ids(1, 16))
    assert isinstance(editor.transformer, GPT)
    first = packed.packed(editor.transformer)
    editor.train()
    assert packed.packed(editor.transformer) is not first


def test_half_precision_edits_too(bundle):
    edits = Editor.from_pretrained(bundle, dtype=torch.bfloat16).edit(noise(), noise(), BOX)
    assert len(edits) == 4
    assert np.isfinite(edits.scores).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_samples": 0}, "num_samples is 0: ask for at least 1"),
        ({"seed": -1}, "seed is -1: use 0 or more"),
        ({"temperature": -1.0}, "temperature is -1.0: use 0"),
        ({"top_k": 0}, "top_k is 0: keep at least 1"),
        ({"top_p": 1.5}, "top_p is 1.5: use a probability"),
        ({"guidance": -1}, "guidance is -1: use 0 "),
        ({"guidance": float("inf")}, "guidance is inf: use 0 "),
        ({"temperature": float("nan")}, "temperature is nan: use 0"),
        ({"top_j": 2}, r'"gpt" has no such sampling setting.* did you mean top_p'),
        ({"preserve": "pixels"}, 'preserve is "pixels": use "tokens"'),
        ({"precision": "half"}, 'precision is "half": use one of "full"'),
        ({"draft": "copy"}, 'draft is "copy": use one of "source"'),
        ({"num_speculative_tokens": 0}, "num_speculative_tokens is 0: guess at least 1"),
        ({"region": Box(50, 0, 70, 20)}, "outside the source of 60×44 pixels"),
        ({"region": np.ones((4, 4), bool)}, "mask has 4×4 pixels and the source 60×44"),
        ({"region": np.zeros((44, 60), bool)}, "marks no pixel"),
        ({"source": "nowhere.png"}, "nowhere.png is not a file"),
        ({"driver": np.ones((4, 4, 3))}, "driver is a float64 array"),
    ],
)
def test_what_a_person_can_get_wrong_is_said(editor, options, message):
    request = {"source": noise(), "driver": noise(), "region": BOX, **options}
    with pytest.raises(ValueError, match=message):
        editor.edit(**request)


def test_whole_numbers_are_taken_however_they_are_written(bundle):
    """In a process of its own, where no types are checked."""
    code = (
        "import numpy as np; from e2eve import Box, Editor\n"
        f"editor = Editor.from_pretrained({str(bundle)!r})\n"
        "image = np.zeros((40, 40, 3), np.uint8)\n"
        "region = Box(8, 8, 24, 24)\n"
        "for n, seed in ((2, 1), (2.0, np.int64(1)), (np.float32(2), 1.0)):\n"
        "    edits = editor.edit(image, image, region, num_samples=n, seed=seed)\n"
        "    print(edits.numbers, edits.seed, edits.scores)\n"
        "print(Box(*np.array([8.0, 8, 24, 24])) == Box(8, 8, np.int64(24), 24.0) == region)\n"
        "def tried(call):\n"
        "    try: call()\n"
        "    except ValueError as error: print(error)\n"
        "tried(lambda: editor.edit(image, image, region, num_samples=1.5))\n"
        "tried(lambda: editor.edit(image, image, region, feather='3'))\n"
        "for edge in (1.5, '1', None, float('nan'), True): tried(lambda: Box(edge, 2, 30, 30))\n"
        f"tried(lambda: Editor.from_pretrained({str(bundle)!r}, 'gpu'))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    one, two, three, boxes, number, rim, *edges, device = done.stdout.splitlines()
    assert one == two == three and boxes == "True"
    assert number == "num_samples is 1.5, no whole number: ask for at least 1."
    assert rim == 'feather is "3": give a number.'
    assert edges == [
        "left is 1.5, no whole number: give whole pixels.",
        'left is "1": give a number.',
        "left is null: give a number.",
        "left is nan: give whole pixels.",
        'left is "True": give a number.',
    ]
    assert device == 'device is "gpu": give auto, cpu, cuda or cuda:<number>.'


def test_a_bundle_says_what_it_is(bundle):
    assert OmegaConf.load(bundle / "config.yaml").kind == "editor"


def test_public_names_are_found_and_others_are_not():
    for name in e2eve.__all__:
        assert getattr(e2eve, name).__name__ == name
        assert name in dir(e2eve)
    with pytest.raises(AttributeError, match="no attribute 'Edtor'"):
        _ = e2eve.Edtor


def test_a_bundle_may_be_read_by_whom_its_folder_lets_in(tmp_path):
    before = os.umask(0o027)
    try:
        bundle = tiny_editor().save_pretrained(tmp_path / "bundle")
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in bundle.iterdir()} == {0o640}


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_only_codes_of_the_tokenizer_that_paints_are_drawn(guidance):
    """The transformer knows more codes, those of a driver tokenizer with a larger codebook."""
    source, driver = tiny_tokenizer(codebook_size=8), tiny_tokenizer(DRIVER_SIDE)
    gpt = GPTConfig(layers=2, heads=2, width=32, codebook_size=CODES)
    editor = Editor(source, driver, gpt, DRIVER_SIDE).eval()
    settings = SamplingSettings(temperature=2, top_p=None, guidance=guidance)
    driver_ids, source_ids = random_ids(2, 4), torch.randint(0, 8, (2, 16))
    ids = editor.sample(driver_ids, source_ids, num_samples=3, settings=settings)
    assert ids.unique().tolist() == list(range(8))
    assert editor.decode(ids).shape == (2, 3, 3, SIDE, SIDE)


def seeing(editor: Editor) -> Tokenizer:
    """The editor's tokenizer with a decoder that sees the source."""
    torch.manual_seed(1)
    return that_sees(editor.source_tokenizer)


@pytest.mark.parametrize("shared", [True, False])
def test_an_editor_paints_with_another_decoder(shared, tmp_path):
    """And draws the same ids; both are one bundle then."""
    torch.manual_seed(0)
    editor = tiny_editor(shared).save_pretrained(tmp_path / "editor")
    decoder = seeing(Editor.from_pretrained(editor)).save_pretrained(tmp_path / "decoder")
    plain, other = Editor.from_pretrained(editor), Editor.from_pretrained(editor, decoder=decoder)
    again = Editor.from_pretrained(other.save_pretrained(tmp_path / "both"))
    assert other.shared is again.shared is shared
    inputs = EditInputs(random_images(), REGIONS, random_images(2, DRIVER_SIDE))
    drawn = [each.draw(inputs, num_samples=3, seeds=[1, 2]) for each in (plain, other, again)]
    assert not torch.equal(drawn[0], drawn[1])
    assert torch.equal(drawn[1], drawn[2])
    ids = other.sample_ids(
        other.condition(inputs), num_samples=3, seeds=[1, 2], settings=other.settings()
    )
    for row, sample in ((0, 0), (1, 2)):
        around = inputs.sources[row : row + 1], inputs.regions[row : row + 1]
        with torch.no_grad():
            expected = other.source_tokenizer.decode(ids[row, sample][None], *around)
        torch.testing.assert_close(drawn[1][row, sample], expected[0])
    everywhere = inputs._replace(regions=torch.ones_like(inputs.regions))
    drawn = [each.draw(everywhere, num_samples=1, seeds=[1, 2]) for each in (plain, other)]
    assert torch.equal(drawn[0], drawn[1])


def test_edits_of_any_size_are_painted_with_what_surrounds_the_region(editor, tmp_path):
    """What lies inside changes nothing but the rim in which source and edit are mixed."""
    bundle = editor.save_pretrained(tmp_path / "editor")
    decoder = seeing(Editor.from_pretrained(bundle)).save_pretrained(tmp_path / "decoder")
    other, disc = Editor.from_pretrained(bundle, decoder=decoder), BOX.mask(60, 44)
    inner = Box(BOX.left + 2, BOX.top + 2, BOX.right - 2, BOX.bottom - 2)
    source = noise()
    changed = np.where(disc[..., None], noise(seed=2), source)
    plain, *same = (
        each.edit(image, noise(seed=1), BOX, num_samples=2, seed=4)
        for each, image in ((editor, source), (other, source), (other, changed))
    )
    plain, first, second = map(by_number, (plain, *same))
    for number in (0, 1):
        painted = [inner.crop(each[number]) for each in (first, second, plain)]
        assert np.array_equal(painted[0], painted[1])
        assert not np.array_equal(painted[0], painted[2])
        assert np.array_equal(first[number][~disc], source[~disc])


def test_a_decoder_of_another_tokenizer_is_refused(bundle, tmp_path):
    other = tiny_tokenizer().save_pretrained(tmp_path / "other")
    with pytest.raises(ValueError, match="The decoder belongs to another tokenizer, whose ids"):
        Editor.from_pretrained(bundle, decoder=other)
