"""Which files a folder offers, in which order, and what happens to damaged ones."""

import logging
import os
import pickle

import numpy as np
import pytest
from PIL import Image

from e2eve.data.image_folder import ImageFolder


def paint(path, level: int = 0, width: int = 6) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((4, width, 3), level, dtype=np.uint8)).save(path)


def truncate(path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:1000])


@pytest.fixture
def root(tmp_path):
    for level, name in enumerate(["b.png", "a.PNG", "sub/deep/c.webp", "sub/d.JPEG"]):
        paint(tmp_path / name, level * 40)
    return tmp_path


def test_recursive_sorted_any_case_native_size(root):
    paint(root / "wide.jpg", width=9)
    folder = ImageFolder(root)
    assert folder.names == ["a.PNG", "b.png", "sub/d.JPEG", "sub/deep/c.webp", "wide.jpg"]
    assert [folder.name(i) for i in range(len(folder))] == folder.names
    assert folder[4].shape == (4, 9, 3)
    assert folder[0].dtype == np.uint8 and (folder[0] == 40).all()


def test_other_suffixes_and_hidden_files_are_no_pictures(root):
    for name in (".hidden.png", ".cache/e.png", "._a.png"):
        paint(root / name)
    (root / "notes.txt").write_text("no picture")
    assert len(ImageFolder(root)) == 4


def test_links_are_followed_once(root, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    paint(elsewhere / "far.png")
    os.symlink(elsewhere, root / "linked")
    os.symlink(root, root / "sub" / "back")
    assert len(ImageFolder(root)) == 5
    assert "linked/far.png" in ImageFolder(root).names


def test_indices_end(root):
    folder = ImageFolder(root)
    assert np.array_equal(folder[-1], folder[3])
    for index in (4, -5):
        with pytest.raises(IndexError):
            folder[index]
    assert len(list(folder)) == 4  # type: ignore[call-overload]  # iterates by index


def test_list_file_decides_what_and_in_which_order(root, tmp_path_factory):
    (root / "train.txt").write_text("sub/d.JPEG\n\n a.PNG \n")
    assert ImageFolder(root, "train.txt").names == ["sub/d.JPEG", "a.PNG"]
    outside = tmp_path_factory.mktemp("lists") / "train.txt"
    outside.write_text("b.png")
    assert ImageFolder(root, outside).names == ["b.png"]


def test_listed_files_must_exist(root):
    (root / "train.txt").write_text("a.PNG\nx.png\ny.png\nz.png\nlast.png\n")
    with pytest.raises(ValueError, match=r"4 of the 5 files .* first x.png, y.png, z.png; correct"):
        ImageFolder(root, "train.txt")
    with pytest.raises(ValueError, match=r"val\.txt does not exist"):
        ImageFolder(root, "val.txt")


def test_nothing_found_says_what_was_looked_for_and_where(tmp_path):
    with pytest.raises(ValueError, match="is not a folder"):
        ImageFolder(tmp_path / "none")
    with pytest.raises(ValueError, match=rf"below {tmp_path} .*JPEG, PNG and WebP"):
        ImageFolder(tmp_path)
    (tmp_path / "train.txt").write_text("\n")
    with pytest.raises(ValueError, match=r"named by .*train\.txt"):
        ImageFolder(tmp_path, "train.txt")


def test_files_without_a_signature_are_named_and_left_out(root, caplog):
    (root / "page.png").write_text("<html>404</html>")
    (root / "empty.jpg").touch()
    folder = ImageFolder(root)
    assert len(folder) == 4
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "Left out 2 of 6" in record.message
    assert "empty.jpg, page.png" in record.message


def test_a_damaged_picture_is_named_once_and_replaced(root, caplog):
    truncate(root / "b.png")
    folder = ImageFolder(root)
    assert folder.name(1) == "b.png"
    for _ in range(3):
        assert np.array_equal(folder[1], folder[2])
    assert folder.name(1) == "sub/d.JPEG"
    assert [record.message.count("b.png") for record in caplog.records] == [1]


def test_the_last_is_replaced_by_the_first(root):
    truncate(root / "z.png")
    folder = ImageFolder(root)
    assert np.array_equal(folder[4], folder[0])


def test_all_damaged_is_an_error(tmp_path):
    truncate(tmp_path / "a.png")
    truncate(tmp_path / "b.png")
    folder = ImageFolder(tmp_path)
    for _ in range(2):
        with pytest.raises(ValueError, match="All 2 pictures"):
            folder[0]


def test_workers_can_receive_it(root):
    copy = pickle.loads(pickle.dumps(ImageFolder(root)))
    assert np.array_equal(copy[2], ImageFolder(root)[2])


def test_train_and_val_share_the_pictures_without_overlap(tmp_path):
    for n in range(23):
        Image.new("RGB", (4, 4)).save(tmp_path / f"{n:02d}.png")
    parts = {part: ImageFolder(tmp_path, part=part).names for part in ("all", "train", "val")}
    assert sorted(parts["train"] + parts["val"]) == parts["all"]
    assert len(parts["val"]) == 3


def test_another_part_is_refused(tmp_path):
    with pytest.raises(ValueError, match='part is "test", choose one of: all, train, val'):
        ImageFolder(tmp_path, part="test")


@pytest.mark.parametrize("named", ["train", "val"])
def test_one_list_leaves_the_others_to_the_other_part(root, named):
    (root / "list.txt").write_text("sub/d.JPEG\n./b.png\n")
    other = {"train": "val", "val": "train"}[named]
    listed = ImageFolder(root, "list.txt", named)
    rest = ImageFolder(root, None, other, "list.txt")
    assert listed.names == ["sub/d.JPEG", "b.png"]
    assert rest.names == ["a.PNG", "sub/deep/c.webp"]
