"""A dataset of the pictures below a folder, at their native sizes."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from torch.utils.data import Dataset

from e2eve.data.images import read_image

logger = logging.getLogger(__name__)

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
PARTS = {"all": lambda n: True, "train": lambda n: n % 10 != 0, "val": lambda n: n % 10 == 0}


class ImageFolder(Dataset):
    """Every JPEG, PNG and WebP file below `root`, sorted by name; or those a list file names.

    At construction only the first bytes of each file are compared with the signatures of the
    three formats: tens of microseconds a file, a few seconds for 70 000, and enough to find empty
    files and error pages saved as pictures. Files without a signature are logged by name and left
    out. Damage further inside shows when a picture is decoded: it is then logged by name once (in
    each process that meets it), and the next readable picture stands in for it.

    Args:
        root: folder that is searched, with its subfolders; links are followed, and names that
            begin with a dot are skipped.
        list_file: text file, one name relative to `root` a line, in the order wanted; a relative
            path is looked for in `root`.
        other_list: without a list file, the pictures that this one does not name are taken.
        part: without any list, "val" is every tenth picture by name, "train" the others; "all"
            takes everything.

    Raises:
        ValueError: no such folder or list file, a listed file is missing, no picture found, or
            another part.
    """

    def __init__(
        self,
        root: str | Path,
        list_file: str | Path | None = None,
        part: str = "all",
        other_list: str | Path | None = None,
    ) -> None:
        if part not in PARTS:
            raise ValueError(f'part is "{part}", choose one of: {", ".join(PARTS)}.')
        self.root = Path(root)
        if not self.root.is_dir():
            raise ValueError(f"{root} is not a folder, give the folder that holds the pictures.")
        listed = None if list_file is None else self.root / list_file
        if listed is not None:
            found = _listed(self.root, listed)
        else:
            found = sorted(_below(self.root))
            if other_list is not None:
                others = set(_listed(self.root, self.root / other_list))
                found = [name for name in found if name not in others]
            else:
                found = [name for n, name in enumerate(found) if PARTS[part](n)]
        self.names = [name for name in found if _has_signature(self.root / name)]
        self._damaged: set[int] = set()
        if not self.names:
            where = f"named by {listed}" if listed else f"below {self.root}"
            raise ValueError(
                f"No readable picture {where} among {len(found)} candidates; looked for JPEG, PNG "
                f"and WebP files ({', '.join(SUFFIXES)})."
            )
        left_out = sorted(set(found) - set(self.names))
        if left_out:
            logger.warning(
                "Left out %d of %d files in %s that are no JPEG, PNG or WebP pictures: %s",
                len(left_out), len(found), self.root, ", ".join(left_out),
            )  # fmt: skip

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> UInt8[np.ndarray, "height width 3"]:
        while True:
            actual = self._actual(index)
            try:
                return read_image(self.root / self.names[actual])
            except ValueError as error:
                logger.warning("%s The next picture stands in for it.", error)
                self._damaged.add(actual)

    def name(self, index: int) -> str:
        """File name relative to the root, of the picture that stands in where one is damaged.

        Damage is known once the item has been read.
        """
        return self.names[self._actual(index)]

    def _actual(self, index: int) -> int:
        """The index itself, or the next one, in a circle, not known to be damaged."""
        count = len(self.names)
        if not -count <= index < count:
            raise IndexError(f"Item {index} of {count} pictures.")
        if len(self._damaged) == count:
            raise ValueError(f"All {count} pictures in {self.root} are damaged, replace them.")
        actual = index % count
        while actual in self._damaged:
            actual = (actual + 1) % count
        return actual


def _below(root: Path) -> Iterator[str]:
    """Names of the picture files in the folder and its subfolders, relative to it."""
    visited = set()
    for folder, subfolders, files in os.walk(root, followlinks=True):
        identity = os.path.realpath(folder)
        if identity in visited:  # a link that leads back
            subfolders.clear()
            continue
        visited.add(identity)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in files:
            if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                yield Path(folder, name).relative_to(root).as_posix()


def _listed(root: Path, list_file: Path) -> list[str]:
    if not list_file.is_file():
        raise ValueError(
            f"The list file {list_file} does not exist, a relative path is looked for in {root}."
        )
    names = [line.strip() for line in list_file.read_text(encoding="utf-8").splitlines()]
    names = [Path(name).as_posix() for name in names if name]
    missing = [name for name in names if not (root / name).is_file()]
    if missing:
        raise ValueError(
            f"{len(missing)} of the {len(names)} files named by {list_file} are not in {root}, "
            f"first {', '.join(missing[:3])}; correct the list or the root."
        )
    return names


def _has_signature(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            start = file.read(12)
    except OSError:
        return False
    webp = start[:4] == b"RIFF" and start[8:12] == b"WEBP"
    return webp or start.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"))
