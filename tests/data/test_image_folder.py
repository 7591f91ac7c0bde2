"""Which files a folder offers, in which order, and what happens to damaged ones."""

import logging
import os
import pickle
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image

from e2eve.data.image_folder import ImageFolder, split_folder
from e2eve.data.splits import Splits, build_splits
from tests.factories import compose


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


def test_other_suffixes_and_hidden_files_are_no_images(root):
    for name in (".hidden.png", ".cache/e.png", "._a.png"):
        paint(root / name)
    (root / "notes.txt").write_text("no image")
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
    with pytest.raises(ValueError, match=r"named by train\.txt"):
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


def test_images_of_other_formats_are_counted(root, caplog):
    for name in ("scan.TIFF", "old.bmp", "notes.txt", ".hidden.bmp"):
        (root / name).touch()
    count = len(ImageFolder(root))
    (record,) = caplog.records
    assert f"Left out 2 of {count + 2} images" in record.message
    assert "formats are not read (.bmp, .tiff): convert" in record.message


def test_files_that_may_not_be_read_are_counted_apart(root, caplog, monkeypatch):
    closed = str(next(root.glob("*.png")))
    real = Path.open
    monkeypatch.setattr(
        Path, "open", lambda self, *a, **k: real(Path("/none" if str(self) == closed else self), *a)
    )
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) != closed)
    ImageFolder(root)
    assert any("that may not be read: " in record.message for record in caplog.records)


def test_a_damaged_image_is_named_once_and_replaced(root, caplog):
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
        with pytest.raises(ValueError, match="All 2 images"):
            folder[0]


def test_workers_can_receive_it(root):
    copy = pickle.loads(pickle.dumps(ImageFolder(root)))
    assert np.array_equal(copy[2], ImageFolder(root)[2])


def many(root, count: int = 23):
    for n in range(count):
        Image.new("RGB", (4, 4)).save(root / f"{n:02d}.png")
    return root


def names(splits: Splits) -> tuple[list[str], list[str]]:
    return splits.train.names, splits.val.names  # type: ignore[attr-defined]


def test_train_and_val_share_the_images_without_overlap(tmp_path):
    train, val = names(split_folder(many(tmp_path)))
    assert sorted(train + val) == ImageFolder(tmp_path).names
    assert val == ["00.png", "10.png", "20.png"]


@pytest.mark.parametrize("named", ["train", "val"])
def test_one_list_leaves_the_others_to_the_other_part(root, named):
    (root / "list.txt").write_text("sub/d.JPEG\n./b.png\n")
    splits = split_folder(root, **{f"{named}_list": "list.txt"})._asdict()
    rest = splits.pop({"train": "val", "val": "train"}[named])
    assert splits[named].names == ["sub/d.JPEG", "b.png"]
    assert rest.names == ["a.PNG", "sub/deep/c.webp"]


def other_names(root, kind: str) -> list[str]:
    """Two images of the folder by other names than a walk finds."""
    found = ImageFolder(root).names[:2]
    if kind == "absolute":
        return [str(root / name) for name in found]
    if kind == "through the parent":
        return [f"../{root.name}/{name}" for name in found]
    for name in found:
        link = root / kind / name
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(root / name) if kind == "links" else os.link(root / name, link)
    return [f"{kind}/{name}" for name in found]


@pytest.mark.parametrize("kind", ["absolute", "through the parent", "links", "hard links"])
@pytest.mark.parametrize("named", ["train", "val"])
def test_no_image_is_in_both_parts_whatever_its_name(root, kind, named):
    listed = other_names(root, kind)
    (root / "list.txt").write_text("\n".join(listed))
    splits = split_folder(root, **{f"{named}_list": "list.txt"})._asdict()
    rest = splits.pop({"train": "val", "val": "train"}[named])
    assert splits[named].names == listed
    assert rest.names == ["sub/d.JPEG", "sub/deep/c.webp"]


@pytest.mark.parametrize("kind", ["absolute", "through the parent", "links", "hard links"])
def test_an_image_that_two_lists_name_is_refused(root, kind):
    (root / "train.txt").write_text("\n".join(ImageFolder(root).names[1:]))
    listed = other_names(root, kind)
    (root / "val.txt").write_text("\n".join(listed))
    with pytest.raises(ValueError, match=r"1 of the 2 images named by val\.txt") as refusal:
        split_folder(root, "train.txt", "val.txt")
    assert f"too, first {listed[1]}: take" in str(refusal.value)


def test_one_list_for_both_parts_is_refused(root):
    (root / "list.txt").write_text("a.PNG\nb.png\n")
    with pytest.raises(ValueError, match=r"2 of the 2 images named by list.txt .* first a.PNG"):
        split_folder(root, "list.txt", "list.txt")


def test_links_within_a_folder_are_one_image(tmp_path):
    many(tmp_path)
    os.symlink("00.png", tmp_path / "05b.png")
    os.link(tmp_path / "05.png", tmp_path / "05c.png")
    train, val = names(split_folder(tmp_path))
    one, other = ({(tmp_path / name).stat().st_ino for name in part} for part in (train, val))
    assert not one & other


def test_a_part_of_which_nothing_is_left_is_named(root):
    (root / "all.txt").write_text("\n".join(str(root / name) for name in ImageFolder(root).names))
    with pytest.raises(ValueError, match="No readable image left below"):
        split_folder(root, val_list="all.txt")


def test_both_parts_take_one_walk_and_open_each_file_once(root, monkeypatch):
    walks, files = Mock(wraps=os.walk), Mock(wraps=Path.open)
    monkeypatch.setattr(os, "walk", walks)
    monkeypatch.setattr(Path, "open", lambda path, *mode: files(path, *mode))
    split_folder(root)
    assert walks.call_count == 1
    opened = [call.args[0] for call in files.call_args_list]
    assert len(opened) == len(set(opened)) == 4


def test_the_config_builds_both_parts_at_once(root):
    node = compose("dataset=image_folder", f"dataset.root={root}").dataset
    train, val = names(build_splits(node))
    assert (train, val) == (["b.png", "sub/d.JPEG", "sub/deep/c.webp"], ["a.PNG"])


def test_the_config_may_name_each_part():
    splits = build_splits(compose("dataset.train.length=5", "dataset.val.length=3").dataset)
    assert (len(splits.train), len(splits.val)) == (5, 3)
