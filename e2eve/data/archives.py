"""Images in archives: tar shards, as WebDataset writes them, and LMDB folders, as LSUN comes."""

import io
import os
import tarfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from e2eve.data.image_folder import EVERY, SUFFIXES, ImageFolder
from e2eve.data.images import decoded, from_pillow
from e2eve.data.splits import Splits


class ArchivedImages(ImageFolder):
    """Images of archives below `root`, read in any order; damaged ones as in an `ImageFolder`.

    Attributes:
        content: sizes and times of the archives: what is made of the images is made again when
            these change.
    """

    def __init__(self, root: str | Path, names: list[str], archives: list[Path]) -> None:
        super().__init__(root, names=names)
        facts = [archive.stat() for archive in archives]
        self.content = repr([(fact.st_size, fact.st_mtime_ns) for fact in facts])

    def _read(self, name: str) -> UInt8[np.ndarray, "height width 3"]:
        data = io.BytesIO(self._bytes(name))
        return decoded(data, f"{self.root / name}", from_pillow)

    def _bytes(self, name: str) -> bytes:
        raise NotImplementedError


class _Place(NamedTuple):
    shard: str
    start: int
    size: int


class TarShards(ArchivedImages):
    """JPEG, PNG and WebP files in the tar archives of a folder, named `shard.tar/member`.

    At construction the headers of all members are read, once through the archives' index.

    Args:
        root: folder of *.tar files, which are not compressed.
        places: known from another part of the same archives.

    Raises:
        ValueError: no such folder, no archive or no image in it, or a damaged archive.
    """

    def __init__(self, root: str | Path, names: list[str], places: dict[str, _Place]) -> None:
        self._places = places
        self._files: dict[str, int] = {}  # descriptors, which processes may share
        shards = sorted({places[name].shard for name in names})
        super().__init__(root, names, [Path(root, shard) for shard in shards])

    def _bytes(self, name: str) -> bytes:
        place = self._places[name]
        if place.shard not in self._files:
            self._files[place.shard] = os.open(self.root / place.shard, os.O_RDONLY)
        return os.pread(self._files[place.shard], place.size, place.start)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_files": {}}  # a process that is spawned opens its own


def split_tar_shards(root: str | Path, val_root: str | Path | None = None) -> Splits:
    """Images of the tar shards below `root`, and for validation those below `val_root`.

    Without one every tenth image, in the order of the archives, is for validation.

    Raises:
        ValueError: as `TarShards` does.
    """
    places = _members(Path(root))
    if val_root is not None:
        val = _members(Path(val_root))
        return Splits(TarShards(root, list(places), places), TarShards(val_root, list(val), val))
    train, val_names = _tenths(list(places), str(root))
    return Splits(TarShards(root, train, places), TarShards(root, val_names, places))


def _members(root: Path) -> dict[str, _Place]:
    shards = sorted(root.rglob("*.tar"))
    if not shards:
        raise ValueError(f"{root} holds no *.tar archive: give the folder of the shards.")
    found = {}
    for shard in shards:
        try:
            with tarfile.open(shard, "r:") as archive:
                members = [(m.name, m.offset_data, m.size) for m in archive if m.isreg()]
        except (tarfile.TarError, OSError) as error:
            raise ValueError(f"{shard} cannot be read ({error}): copy it again.") from error
        name = shard.relative_to(root).as_posix()
        for member, start, size in members:
            if member.lower().endswith(SUFFIXES):
                found[f"{name}/{member}"] = _Place(name, start, size)
    if not found:
        raise ValueError(f"No image is in the {len(shards)} archives of {root}: {SUFFIXES}.")
    return found


def _tenths(names: list[str], where: str) -> tuple[list[str], list[str]]:
    """Names to train on and every tenth, for validation."""
    if len(names) < 2:
        raise ValueError(f"{where} has {len(names)} images: give at least 2, or a val_root.")
    val = names[::EVERY]
    return [name for n, name in enumerate(names) if n % EVERY], val


class LMDBImages(ArchivedImages):
    """Encoded images of an LMDB folder by their keys, as LSUN distributes its scenes.

    Args:
        root: folder of data.mdb.

    Raises:
        ValueError: no database there, no key in it, or lmdb is not installed.
    """

    def __init__(self, root: str | Path, names: list[str]) -> None:
        super().__init__(root, names, [Path(root, "data.mdb")])

    def _bytes(self, name: str) -> bytes:
        with _environment(self.root).begin() as transaction:
            return transaction.get(bytes.fromhex(name)) or b""


def split_lmdb(root: str | Path, val_root: str | Path | None = None) -> Splits:
    """Images of the LMDB folder `root`, and for validation those of `val_root`.

    Without one every tenth image, in the order of the keys, is for validation.

    Raises:
        ValueError: as `LMDBImages` does.
    """
    names = _keys(Path(root))
    if val_root is not None:
        return Splits(LMDBImages(root, names), LMDBImages(val_root, _keys(Path(val_root))))
    train, val = _tenths(names, str(root))
    return Splits(LMDBImages(root, train), LMDBImages(root, val))


def _keys(root: Path) -> list[str]:
    if not (root / "data.mdb").is_file():
        raise ValueError(f"{root} holds no data.mdb: give the folder that has one.")
    with _environment(root).begin() as transaction:
        names = [bytes(key).hex() for key in transaction.cursor().iternext(values=False)]
    if not names:
        raise ValueError(f"{root} holds no image.")
    return names


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
