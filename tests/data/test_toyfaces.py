"""ToyFaces: reproducible, disjoint, the same at every size, and as varied as it says."""

import pickle
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from torch.utils.data import DataLoader

from e2eve.data.toyfaces import CHOICES, RANGES, ToyFaces, dataset, draw_face, sample_attributes

FACES = 30


def test_a_face_depends_on_seed_split_and_index_only() -> None:
    one, two = ToyFaces("train", size=32), ToyFaces("train", size=32, length=40)
    for index in (7, 3, 39):
        assert one.attributes(index) == two.attributes(index)
        assert np.array_equal(one[index], two[index])
    assert ToyFaces(seed=1).attributes(0) != ToyFaces(seed=0).attributes(0)


def test_drawing_is_pure() -> None:
    faces = [ToyFaces().attributes(index) for index in range(FACES)]
    there = [draw_face(face, 48) for face in faces]
    back = [draw_face(face, 48) for face in reversed(faces)]
    assert all(map(np.array_equal, there, reversed(back)))


def test_splits_share_no_image() -> None:
    drawn = [
        ToyFaces(split, size=32)[index].tobytes()
        for split in ("train", "val", "test")
        for index in range(40)
    ]
    assert len(set(drawn)) == len(drawn)


@pytest.mark.parametrize("size", [32, 50, 64, 256, 512])
def test_images_have_the_size_asked(size: int) -> None:
    image = ToyFaces(size=size)[0]
    assert image.shape == (size, size, 3) and image.dtype == np.uint8


@pytest.mark.parametrize("index", range(FACES))
def test_composition_does_not_depend_on_size(index: int) -> None:
    small = ToyFaces(size=64)[index].astype(float)
    large = ToyFaces(size=128)[index]
    shrunk = cv2.resize(large, (64, 64), interpolation=cv2.INTER_AREA).astype(float)
    assert np.abs(small - shrunk).mean() < 3.6  # shifted by one pixel: 4 to 10


def test_every_choice_occurs_among_the_first_faces() -> None:
    faces = [ToyFaces().attributes(index) for index in range(600)]
    for name, choices in CHOICES.items():
        assert {getattr(face, name) for face in faces} == set(choices), name


def test_numbers_stay_in_range() -> None:
    rng = np.random.default_rng(0)
    faces = [sample_attributes(rng) for _ in range(FACES)]
    for name, (low, high) in RANGES.items():
        assert all(low <= getattr(face, name) <= high for face in faces), name


@pytest.mark.parametrize("name", ["mouth", "glasses", "hat", "eyes", "hair", "clothes", "skin"])
def test_every_choice_is_seen(name: str) -> None:
    plain = replace(
        ToyFaces().attributes(0), hat="none", glasses="none", beard="none", moustache="none"
    )
    changes: list[dict[str, Any]] = [{name: choice} for choice in CHOICES[name]]
    drawn = [draw_face(replace(plain, **change), 64) for change in changes]
    for position, first in enumerate(drawn):
        for second in drawn[:position]:
            changed = (np.abs(first.astype(int) - second).max(2) > 20).sum()
            assert changed >= 12, (name, position)


def test_a_mouth_changes_only_the_lower_face() -> None:
    face = replace(ToyFaces().attributes(0), tilt=0.0, mouth="smile")
    smile, lips = draw_face(face, 64), draw_face(replace(face, mouth="lips"), 64)
    rows = np.flatnonzero((smile != lips).any((1, 2)))
    assert rows.min() > 32 and rows.max() < 58


def test_all_hair_fits_under_hats() -> None:
    face = ToyFaces().attributes(0)
    for hair in CHOICES["hair"]:
        for hat in ("none", "cap", "crown"):
            change: dict[str, Any] = {"hair": hair, "hat": hat}
            draw_face(replace(face, **change), 32)


def test_dataset_travels_to_workers() -> None:
    faces = ToyFaces("val", size=32, seed=3)
    assert np.array_equal(pickle.loads(pickle.dumps(faces))[5], faces[5])


def test_faces_that_are_kept_are_drawn_once_for_all_processes(monkeypatch) -> None:
    plain, kept = ToyFaces("train", 32, 4), ToyFaces("train", 32, 4, keep=True)
    loader = DataLoader(kept, batch_size=None, num_workers=2, multiprocessing_context="fork")
    drawn = [face.numpy() for face in loader]
    monkeypatch.setattr(dataset, "draw_face", None)
    for index in range(4):
        found = kept[index]
        np.testing.assert_array_equal(found, drawn[index])
        found[:] = 0  # the caller's own
        np.testing.assert_array_equal(kept[index], drawn[index])
    monkeypatch.undo()
    copied = pickle.loads(pickle.dumps(kept))
    for index in range(4):
        np.testing.assert_array_equal(copied[index], plain[index])
    with pytest.raises(IndexError):
        kept[-1]


def test_lengths_and_names() -> None:
    assert [len(ToyFaces(split)) for split in ("train", "val", "test")] == [50_000, 1_000, 1_000]
    assert len(ToyFaces(length=7)) == 7
    assert ToyFaces("val").name(42) == "val-00042"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"split": "dev"}, "train, val, test"),
        ({"size": 16}, "32 to 512"),
        ({"length": 0}, "at least 1"),
        ({"seed": -1}, "0 or more"),
    ],
)
def test_wrong_arguments_are_explained(wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ToyFaces(**wrong)


@pytest.mark.parametrize("index", [-1, 10])
def test_there_is_nothing_outside(index: int) -> None:
    with pytest.raises(IndexError, match="0 to 9"):
        ToyFaces(length=10)[index]


def test_unknown_choices_are_refused() -> None:
    with pytest.raises((ValueError, TypeError), match="helmet"):  # by type while testing
        replace(ToyFaces().attributes(0), hat="helmet")  # type: ignore[arg-type]
