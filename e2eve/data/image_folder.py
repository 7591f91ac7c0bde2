"""A data set of the images below a folder, at their native sizes, and its two parts."""

import logging
import os
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from torch.utils.data import Dataset

from e2eve.data.images import read_image
from e2eve.data.splits import Splits

logger = logging.getLogger(__name__)

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
OTHERS = tuple(".avif .bmp .gif .heic .heif .jp2 .jxl .ppm .tga .tif .tiff".split())
"""Of images that are not read."""
EVERY = 10
"""Without lists, one image in so many is for validation."""


class ImageFolder(Dataset):
    """Every JPEG, PNG and WebP file below `root`, sorted by name; or those that a list file names.

    At construction only the first bytes of each file are compared with the signatures of the
    three formats: tens of microseconds a file, a few seconds for 70 000, and enough to find empty
    files and error pages saved as images. Files without a signature are logged by name and left
    out. Damage further inside shows when an image is decoded: it is then logged by name once (in
    each process that meets it), and the next readable image stands in for it.

    Args:
        root: folder that is searched, with its subfolders; links are followed, and names that
            begin with a dot are skipped.
        list_file: text file, one name relative to `root` a line, in the order wanted; a relative
            path is looked for in `root`.
        names: images that are known to be there, relative to `root`; then no file is looked at.

    Raises:
        ValueError: no such folder or list file, a listed file is missing, or no image found.
    """

    def __init__(
        self,
        root: str | Path,
        list_file: str | Path | None = None,
        names: Iterable[str] | None = None,
    ) -> None:
        self.root = Path(root)
        if names is None:
            found = _below(root) if list_file is None else _listed(root, list_file)
            images = _images(root, found)
            names = [name for name in found if name in images]
        self.names = list(names)
        self._damaged: set[int] = set()
        if not self.names:
            where = f"named by {list_file} in" if list_file else "left below"
            raise ValueError(
                f"No readable image {where} {root} was found; looked for JPEG, PNG and WebP files "
                f"({', '.join(SUFFIXES)})."
            )

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> UInt8[np.ndarray, "height width 3"]:
        while True:
            actual = self._actual(index)
            try:
                return self._read(self.names[actual])
            except ValueError as error:
                logger.warning("%s The next image stands in for it.", error)
                self._damaged.add(actual)

    def _read(self, name: str) -> UInt8[np.ndarray, "height width 3"]:
        """Raises ValueError for an image that is damaged."""
        return read_image(self.root / name)

    def name(self, index: int) -> str:
        """File name relative to the root, of the image that stands in where one is damaged.

        Damage is known once the item has been read.
        """
        return self.names[self._actual(index)]

    def _actual(self, index: int) -> int:
        """The index itself, or the next one, in a circle, not known to be damaged."""
        count = len(self.names)
        if not -count <= index < count:
            raise IndexError(f"Item {index} of {count} images.")
        for actual in (n % count for n in range(index, index + count)):
            if actual not in self._damaged:
                return actual
        raise ValueError(f"All {count} images in {self.root} are damaged, replace them.")


def split_folder(
    root: str | Path,
    train_list: str | Path | None = None,
    val_list: str | Path | None = None,
) -> Splits:
    """The training and validation images of a folder, from one walk that opens each file once.

    A list file names the images of its part; a part without one takes all that the other does not
    name, and without any list every tenth image by name is for validation. Images are compared as
    files: other spellings of a path, links and hard links are the same image.

    Raises:
        ValueError: as `ImageFolder` does, and where both lists name the same image.
    """
    lists = (train_list, val_list)
    train, val = (None if file is None else _listed(root, file) for file in lists)
    everything = _below(root) if train is None or val is None else []
    images = _images(root, dict.fromkeys([*everything, *(train or ()), *(val or ())]))
    if val is None:
        val = everything[::EVERY] if train is None else _others(everything, train, images)
    if train is None:
        train = _others(everything, val, images)
    apart = set(_others(val, train, images))
    shared = [name for name in val if name in images and name not in apart]
    if shared:
        raise ValueError(
            f"{len(shared)} of the {len(val)} images named by {val_list} are named by {train_list} "
            f"too, first {shared[0]}: take them out of one of the lists."
        )
    parts = ([name for name in names if name in images] for names in (train, val))
    return Splits(*(ImageFolder(root, *part) for part in zip(lists, parts, strict=True)))


def _others(names: list[str], taken: list[str], images: Mapping[str, Hashable]) -> list[str]:
    """The names of images whose files are not among those taken."""
    files = {None, *map(images.get, taken)}  # None: what is no image at all
    return [name for name in names if images.get(name) not in files]


def files_below(root: str | Path) -> list[str]:
    """Names of the files in the folder and its subfolders, relative to it, sorted; links are
    followed, and names that begin with a dot are skipped.

    Raises:
        ValueError: where there is no such folder.
    """
    if not Path(root).is_dir():
        raise ValueError(f"{root} is not a folder, give the folder that holds the images.")
    found, visited = [], set()
    for folder, subfolders, files in os.walk(root, followlinks=True):
        identity = os.path.realpath(folder)
        if identity in visited:  # a link that leads back
            subfolders.clear()
            continue
        visited.add(identity)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        inside = Path(folder).relative_to(root)
        found += [(inside / name).as_posix() for name in files if not name.startswith(".")]
    return sorted(found)


def _below(root: str | Path) -> list[str]:
    """Those of images that are trained on; a line says how many others there are."""
    files = files_below(root)
    found = [name for name in files if name.lower().endswith(SUFFIXES)]
    others = [name for name in files if name.lower().endswith(OTHERS)]
    if others:
        logger.warning(
            "Left out %d of %d images below %s, whose formats are not read (%s): convert them to "
            "JPEG, PNG or WebP.",
            len(others), len(found) + len(others), root,
            ", ".join(sorted({Path(name).suffix.lower() for name in others})),
        )  # fmt: skip
    return found


def _listed(root: str | Path, list_file: str | Path) -> list[str]:
    """Names in the lines of a list file, relative to the folder or absolute."""
    path = Path(root, list_file)
    if not path.is_file():
        raise ValueError(
            f"The list file {path} does not exist, a relative path is looked for in {root}."
        )
    lines = path.read_text(encoding="utf-8").splitlines()
    names = [Path(line.strip()).as_posix() for line in lines if line.strip()]
    missing = [name for name in names if not Path(root, name).is_file()]
    if missing:
        raise ValueError(
            f"{len(missing)} of the {len(names)} files named by {path} are not in {root}, "
            f"first {', '.join(missing[:3])}; correct the list or the root."
        )
    return names


def _images(root: str | Path, names: Iterable[str]) -> dict[str, Hashable]:
    """The files with the signature of an image, with what tells a file from others."""
    found = {name: _identity(Path(root, name)) for name in names}
    left_out = sorted(name for name, identity in found.items() if identity is None)
    closed = [name for name in left_out if not os.access(Path(root, name), os.R_OK)]
    others = [name for name in left_out if name not in set(closed)]
    for names, why in ((closed, "may not be read"), (others, "are no JPEG, PNG or WebP images")):
        if names:
            logger.warning(
                "Left out %d of %d files in %s that %s: %s",
                len(names), len(found), root, why, ", ".join(names),
            )  # fmt: skip
    return {name: identity for name, identity in found.items() if identity is not None}


def _identity(path: Path) -> Hashable:
    """What tells a file from others, by whatever name it is opened; None where it is no image."""
    try:
        with path.open("rb") as file:
            start, status = file.read(12), os.fstat(file.fileno())
    except OSError:
        return None
    webp = start[:4] == b"RIFF" and start[8:12] == b"WEBP"
    if not (webp or start.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"))):
        return None
    # Some network file systems number no files.
    return (status.st_dev, status.st_ino) if status.st_ino else os.path.realpath(path)
