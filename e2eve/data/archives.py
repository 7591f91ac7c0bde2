"""Images in archives: tar shards, as WebDataset writes them, and LMDB folders, as LSUN comes."""

import copy
import io
import os
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from e2eve.checks import is_inside
from e2eve.data.image_folder import EVERY, SUFFIXES, ImageFolder
from e2eve.data.images import decoded, from_pillow
from e2eve.data.splits import Splits


class ArchivedImages(ImageFolder):
    """Images of archives below `root`, read in any order; damaged ones as in an `ImageFolder`.

    Attributes:
        content: sizes and times of the archives: what is made of the images is made again when
            these change.
    """

    def __init__(self, root: str | Path, names: Iterable[str], archives: Sequence[Path]) -> None:
        super().__init__(root, names=names)
        facts = [archive.stat() for archive in archives]
        self.content = repr([(fact.st_size, fact.st_mtime_ns) for fact in facts])

    def part(self, names: list[str]) -> "ArchivedImages":
        """Some of the images, by their names."""
        part = copy.copy(self)
        part.names, part._damaged = names, set()
        return part

    def _read(self, name: str) -> UInt8[np.ndarray, "height width 3"]:
        data = io.BytesIO(self._bytes(name))
        return decoded(data, f"{self.root / name}", from_pillow)

    def _bytes(self, name: str) -> bytes:
        raise NotImplementedError


class TarShards(ArchivedImages):
    """JPEG, PNG and WebP files in the tar archives below a folder, named `shard.tar/member`.

    At construction the headers of all members are read.

    Args:
        root: folder of *.tar files, which are not compressed.

    Raises:
        ValueError: no archive or no image in it, or a damaged archive.
    """

    def __init__(self, root: str | Path) -> None:
        shards = sorted(Path(root).rglob("*.tar"))
        if not shards:
            raise ValueError(f"{root} holds no *.tar archive: give the folder of the shards.")
        self._places = {
            f"{shard.relative_to(root).as_posix()}/{member}": place
            for shard in shards
            for member, place in _members(shard)
        }
        if not self._places:
            kinds = ", ".join(SUFFIXES)
            raise ValueError(f"No image ({kinds}) is in the {len(shards)} archives of {root}.")
        self._files: dict[Path, int] = {}  # descriptors, which processes may share
        super().__init__(root, self._places, shards)

    def _bytes(self, name: str) -> bytes:
        shard, start, size = self._places[name]
        if shard not in self._files:
            self._files[shard] = os.open(shard, os.O_RDONLY)
        return os.pread(self._files[shard], size, start)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_files": {}}  # a process that is spawned opens its own


class _Place(NamedTuple):
    shard: Path
    start: int
    size: int


def _members(shard: Path) -> list[tuple[str, _Place]]:
    """The images of an archive and where they lie."""
    try:
        with tarfile.open(shard, "r:") as archive:
            return [
                (member.name, _Place(shard, member.offset_data, member.size))
                for member in archive
                if member.isreg() and member.name.lower().endswith(SUFFIXES)
            ]
    except (tarfile.TarError, OSError) as error:
        raise ValueError(f"{shard} cannot be read ({error}): copy it again.") from error


class LMDBImages(ArchivedImages):
    """Encoded images of an LMDB folder by their keys, as LSUN distributes its scenes.

    Args:
        root: folder of data.mdb.

    Raises:
        ValueError: no database there, no image in it, or lmdb is not installed.
    """

    def __init__(self, root: str | Path) -> None:
        if not Path(root, "data.mdb").is_file():
            raise ValueError(f"{root} holds no data.mdb: give the folder that has one.")
        with _environment(Path(root)).begin() as transaction:
            names = [bytes(key).hex() for key in transaction.cursor().iternext(values=False)]
        if not names:
            raise ValueError(f"{root} holds no image.")
        super().__init__(root, names, [Path(root, "data.mdb")])

    def _bytes(self, name: str) -> bytes:
        with _environment(self.root).begin() as transaction:
            return transaction.get(bytes.fromhex(name)) or b""


# A process may open a database once, and its children may not use it: none is open in a fork.
_ENVIRONMENTS: dict[str, Any] = {}


def _close_all() -> None:
    while _ENVIRONMENTS:
        _ENVIRONMENTS.popitem()[1].close()


os.register_at_fork(before=_close_all)


def _environment(root: Path) -> Any:
    try:
        import lmdb
    except ImportError:
        raise ValueError("LMDB folders need its client: pip install lmdb.") from None
    key = os.path.realpath(root)
    if key not in _ENVIRONMENTS:
        options = {"readonly": True, "lock": False, "readahead": False, "meminit": False}
        try:
            _ENVIRONMENTS[key] = lmdb.open(key, **options)
        except lmdb.Error as error:
            raise ValueError(f"{root} cannot be read ({error}): copy it again.") from error
    return _ENVIRONMENTS[key]


def split_tar_shards(root: str | Path, val_root: str | Path | None = None) -> Splits:
    """Images of the tar shards below `root`, and for validation those below `val_root`.

    Without one every tenth image, in the order of the archives, is for validation.

    Raises:
        ValueError: as `TarShards` does, and where `val_root` lies in `root`.
    """
    return _split(TarShards, root, val_root)


def split_lmdb(root: str | Path, val_root: str | Path | None = None) -> Splits:
    """Images of the LMDB folder `root`, and for validation those of `val_root`.

    Without one every tenth image, in the order of the keys, is for validation.

    Raises:
        ValueError: as `LMDBImages` does, and where `val_root` lies in `root`.
    """
    return _split(LMDBImages, root, val_root)


def _split(
    kind: type[TarShards] | type[LMDBImages], root: str | Path, val_root: str | Path | None
) -> Splits:
    if val_root is not None:
        if is_inside(Path(val_root), Path(root)):
            raise ValueError(
                f"val_root is {val_root}, which lies in root, {root}: its images would be trained "
                "on, give a folder beside it."
            )
        return Splits(kind(root), kind(val_root))
    images = kind(root)
    if len(images) < 2:
        raise ValueError(f"{root} has {len(images)} images: give at least 2, or a val_root.")
    train = [name for n, name in enumerate(images.names) if n % EVERY]
    return Splits(images.part(train), images.part(images.names[::EVERY]))
