"""Images in archives are those of a folder."""

import io
import pickle
import tarfile
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import pytest
from PIL import Image
from torch.utils.data import DataLoader

from e2eve.data import split_folder, split_lmdb, split_tar_shards
from e2eve.data.splits import Splits, build_splits
from tests.factories import compose

COUNT = 23


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for n in range(COUNT):
        pixels = rng.integers(0, 256, (8 + n, 9, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"images/{n:03d}.png")
    return tmp_path / "images"


def shards(folder: Path, where: Path) -> Path:
    """Two archives with labels beside the images."""
    where.mkdir()
    paths = sorted(folder.iterdir())
    for number, part in enumerate((paths[:15], paths[15:])):
        with tarfile.open(where / f"{number:05d}.tar", "w") as archive:
            for path in part:
                archive.add(path, path.name)
                label = tarfile.TarInfo(f"{path.stem}.cls")
                label.size = 1
                archive.addfile(label, io.BytesIO(b"7"))
    return where


def database(folder: Path, where: Path) -> Path:
    with (
        lmdb.open(str(where), map_size=1 << 24) as environment,
        environment.begin(write=True) as writing,
    ):
        for path in sorted(folder.iterdir()):
            writing.put(path.stem.encode(), path.read_bytes())
    return where


def archived(kind: str, folder: Path, tmp_path: Path) -> Splits:
    if kind == "tar":
        return split_tar_shards(shards(folder, tmp_path / "shards"))
    return split_lmdb(database(folder, tmp_path / "lmdb"))


@pytest.mark.parametrize("kind", ["tar", "lmdb"])
def test_they_are_the_images_of_a_folder_in_its_order(kind, folder, tmp_path):
    for part, wanted in zip(archived(kind, folder, tmp_path), split_folder(folder), strict=True):
        assert len(part) == len(wanted)
        for n in (*range(len(part)), 0):  # in any order
            assert np.array_equal(part[n], wanted[n])
        assert len({part.name(n) for n in range(len(part))}) == len(part)


@pytest.mark.parametrize("kind", ["tar", "lmdb"])
def test_another_process_opens_them_for_itself(kind, folder, tmp_path):
    train = archived(kind, folder, tmp_path).train
    first = train[0]
    assert np.array_equal(pickle.loads(pickle.dumps(train))[0], first)


@pytest.mark.parametrize("kind", ["tar", "lmdb"])
def test_loaders_read_them_in_processes_of_their_own(kind, folder, tmp_path):
    train = archived(kind, folder, tmp_path).train
    wanted = [train[n] for n in range(len(train))]  # open in this process
    given: Any = train
    loader: Any = DataLoader(given, batch_size=None, num_workers=2)
    for one, other in zip(wanted, loader, strict=True):
        assert np.array_equal(one, other)
    assert np.array_equal(train[0], wanted[0])


@pytest.mark.parametrize("kind", ["tar", "lmdb"])
def test_a_damaged_image_gives_way_to_the_next(kind, folder, tmp_path, caplog):
    path = folder / "004.png"
    path.write_bytes(path.read_bytes()[:60])
    train = archived(kind, folder, tmp_path).train  # without 000, 010 and 020
    assert np.array_equal(train[3], train[4])
    assert "The next image stands in for it." in caplog.text


@pytest.mark.parametrize("kind", ["tar", "lmdb"])
def test_parts_may_be_archives_of_their_own(kind, folder, tmp_path):
    make, split = {"tar": (shards, split_tar_shards), "lmdb": (database, split_lmdb)}[kind]
    first, second = make(folder, tmp_path / "one"), make(folder, tmp_path / "two")
    parts = split(first, second)
    assert (len(parts.train), len(parts.val)) == (COUNT, COUNT)
    with pytest.raises(ValueError, match=r"lies in root, .*: its images would be trained on, give"):
        split(first, first.parent / "." / first.name)  # the same folder, spelt otherwise
    choice = {"tar": "tar_shards", "lmdb": "lmdb"}[kind]
    config = compose(f"dataset={choice}", f"dataset.root={first}", f"dataset.val_root={second}")
    assert len(build_splits(config.dataset).val) == COUNT


def test_what_is_no_archive_is_one_sentence(folder, tmp_path):
    with pytest.raises(ValueError, match=r"holds no \*\.tar archive: give the folder"):
        split_tar_shards(folder)
    with pytest.raises(ValueError, match=r"holds no data\.mdb: give the folder that has one"):
        split_lmdb(folder)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/a.tar").write_bytes(b"x" * 2000)
    with pytest.raises(ValueError, match=r"a.tar cannot be read \(.*\): copy it again"):
        split_tar_shards(tmp_path / "bad")
    (tmp_path / "bad/data.mdb").write_bytes(b"x" * 5000)
    with pytest.raises(ValueError, match=r"bad cannot be read \(.*\): copy it again"):
        split_lmdb(tmp_path / "bad")
