"""Validation sets: fixed unpaired inputs and reference features in a folder that is checked.

manifest.json          name, extractor, preprocessing, counts, sizes, seed, simulation, hashes
inputs.jsonl           one input a line: id, names of source and driver, boxes
sources/ID.png         whole source images
regions/ID.png         edit regions, white = edit
drivers/ID.png         drivers, from other images than the sources
paired_drivers/ID.png  drivers cut out of the sources themselves
answers/ID.png         the right edits, where they are known, and masks of pixels that are graded:
changed/ID.png         white where the answer differs from the source
kept/ID.png            white where the region's content stays
distractors.txt        names of the images that distractors are cut out of
references.txt         names of the reference images
reference.safetensors  features of references, drivers and distractors

The content hash of format 2 covers how images are prepared for the networks; that of format 1 does
not, and such sets keep theirs.
"""

import hashlib
import io
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from e2eve.checks import is_inside
from e2eve.data.images import read_image, resize
from e2eve.editing.compositing import cut
from e2eve.evaluation.settings import check_validation_set
from e2eve.features import FeatureExtractor
from e2eve.geometry import Box
from e2eve.metrics.base import ReferenceFeatures

FORMAT, OLDER_FORMATS = 2, (1,)
ANSWER_FOLDERS = ("answers", "changed", "kept")


@dataclass(frozen=True)
class ValidationInput:
    """Names and places of one input; boxes are in pixels of the source.

    `driver_box` is where the driver lies in the image that it comes from, `paired_driver_box` where
    the paired driver lies in the source. A driver that shows more or less than the region's box has
    a `paste_box`, its place on the source, which may reach out of the image. `groups` say by what
    inputs are told apart in reports, and which kind this one is: {"edit": "hat"}.
    """

    id: str
    source: str
    driver: str
    region_box: Box
    driver_box: Box
    paired_driver_box: Box
    paste_box: Box | None = None
    groups: Mapping[str, str] = field(default_factory=dict)


class Answers(NamedTuple):
    """The right edit of each input, and which pixels of its region are graded."""

    images: UInt8[np.ndarray, "inputs side side 3"]
    changed: Bool[np.ndarray, "inputs side side"]  # where the answer differs from the source
    kept: Bool[np.ndarray, "inputs side side"]


@dataclass(frozen=True)
class ValidationSet:
    """Unpaired inputs; `manifest` says how they came about, `content_hash` what they are."""

    inputs: tuple[ValidationInput, ...]
    sources: UInt8[np.ndarray, "inputs side side 3"]
    regions: Bool[np.ndarray, "inputs side side"]
    drivers: UInt8[np.ndarray, "inputs driver_side driver_side 3"]
    paired_drivers: UInt8[np.ndarray, "inputs driver_side driver_side 3"]
    features: ReferenceFeatures
    distractor_names: tuple[str, ...]
    reference_names: tuple[str, ...]
    manifest: Mapping[str, Any]
    content_hash: str = ""
    answers: Answers | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def name(self) -> str:
        return self.manifest["name"]

    @property
    def image_size(self) -> int:
        return self.sources.shape[1]

    @property
    def driver_size(self) -> int:
        return self.drivers.shape[1]

    @property
    def region_boxes(self) -> list[Box]:
        return [item.region_box for item in self.inputs]

    def patch(self, n: int) -> UInt8[np.ndarray, "height width 3"]:
        """What a paste shows in the region's box of input n, at any size: the driver, or what of
        the driver lies there."""
        driver, item = self.drivers[n], self.inputs[n]
        if (place := item.paste_box) is None:
            return driver
        window = item.region_box.shifted(-place.left, -place.top)
        return cut(resize(driver, place.width, place.height), window)

    def hashed(self) -> "ValidationSet":
        """With the content hash filled in."""
        digests = {name: _digest(data) for name, data in self.files().items()}
        return replace(self, content_hash=_content_hash(digests, self.manifest))

    def files(self) -> dict[str, bytes]:
        """Bytes of every file but the manifest, by name."""
        stacks = {
            "sources": self.sources,
            "regions": self.regions,
            "drivers": self.drivers,
            "paired_drivers": self.paired_drivers,
        }
        if self.answers is not None:
            stacks |= dict(zip(ANSWER_FOLDERS, self.answers, strict=True))
        texts = {
            "inputs.jsonl": [_line(item) for item in self.inputs],
            "distractors.txt": self.distractor_names,
            "references.txt": self.reference_names,
        }
        tensors = {name: value.contiguous() for name, value in self.features._asdict().items()}
        images = {
            f"{folder}/{item.id}.png": _png(image)
            for folder, stack in stacks.items()
            for item, image in zip(self.inputs, stack, strict=True)
        }
        lines = {name: "".join(f"{t}\n" for t in texts[name]).encode() for name in texts}
        return {**images, **lines, "reference.safetensors": save_tensors(tensors)}

    def save(self, folder: str | Path) -> Path:
        """Writes the folder; returns its path.

        Raises:
            ValueError: when it holds other files already.
        """
        folder, digests = check_is_new(folder), {}
        for name, data in self.files().items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
            digests[name] = _digest(data)
        content_hash = _content_hash(digests, self.manifest)
        full = {"content_hash": content_hash, **self.manifest, "files": digests}
        text = json.dumps(full, indent=2, ensure_ascii=False)
        (folder / "manifest.json").write_text(text + "\n", encoding="utf-8")
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> "ValidationSet":
        """Reads a folder that `save` wrote.

        Raises:
            ValueError: when it is none, or a file is missing or differs from what was written.
        """
        folder = Path(folder)
        manifest = _read_manifest(folder)
        content_hash, files = manifest.pop("content_hash"), manifest.pop("files")
        inputs = tuple(_input(json.loads(line)) for line in _lines(folder / "inputs.jsonl"))
        _check_files(folder, [item.id for item in inputs], files)

        def images(kind: str) -> np.ndarray:
            return np.stack([read_image(folder / kind / f"{item.id}.png") for item in inputs])

        def masks(kind: str) -> np.ndarray:
            return images(kind)[..., 0] > 127

        pictures, *graded = ANSWER_FOLDERS
        answered = any(name.startswith(f"{pictures}/") for name in files)
        tensors = load_tensors((folder / "reference.safetensors").read_bytes())
        return cls(
            inputs=inputs,
            sources=images("sources"),
            regions=masks("regions"),
            drivers=images("drivers"),
            paired_drivers=images("paired_drivers"),
            features=ReferenceFeatures(**tensors),
            distractor_names=_lines(folder / "distractors.txt"),
            reference_names=_lines(folder / "references.txt"),
            manifest=manifest,
            content_hash=content_hash,
            answers=Answers(images(pictures), *map(masks, graded)) if answered else None,
        )


def prepared(*networks: FeatureExtractor) -> dict[str, Any]:
    """How images are prepared for networks, by their names, as JSON gives it back."""
    found = {network.name: asdict(network.preprocessing) for network in networks}
    return json.loads(json.dumps(found))


def check_is_new(folder: str | Path) -> Path:
    """The path, or a ValueError when something is there already."""
    folder = Path(folder)
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise ValueError(f"{folder} is not empty, give a new folder for the validation set.")
    return folder


# The manifest of a folder whose files are those that it names, unchanged.
def _read_manifest(folder: Path) -> dict[str, Any]:
    check_validation_set(folder)
    problems: list[str] = []
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    if manifest.get("format") not in (FORMAT, *OLDER_FORMATS):
        raise ValueError(
            f"{folder} has the format {manifest.get('format')} and {FORMAT} is read here, build "
            "the validation set again."
        )
    for name, digest in manifest["files"].items():
        if not is_inside(folder / name, folder):
            problems.append(f"{name} lies outside")
        elif not (folder / name).is_file():
            problems.append(f"{name} is missing")
        elif _digest((folder / name).read_bytes()) != digest:
            problems.append(f"{name} was changed")
    if not problems and _content_hash(manifest["files"], manifest) != manifest["content_hash"]:
        problems.append("manifest.json was changed")
    if problems:
        more = f" and {len(problems) - 1} more files" if len(problems) > 1 else ""
        raise ValueError(
            f"{folder} is not the validation set that was built: {problems[0]}{more}; restore the "
            "folder or build it again."
        )
    return manifest


# Ids become names of files, here and in reports; what the manifest does not name is unchecked.
def _check_files(folder: Path, ids: list[str], files: Mapping[str, str]) -> None:
    wild = [id for id in ids if not re.fullmatch(r"\w[\w.-]*", id)]
    if wild or len(set(ids)) < len(ids):
        raise ValueError(
            f"{folder} has an input called {wild[0] if wild else 'like another one'}: ids are "
            "different words of letters, digits, points and hyphens, build the set again."
        )
    folders = ["sources", "regions", "drivers", "paired_drivers"]
    needed = {f"{kind}/{id}.png" for kind in folders for id in ids}
    needed |= {"inputs.jsonl", "distractors.txt", "references.txt", "reference.safetensors"}
    if unnamed := sorted(needed - files.keys()):
        raise ValueError(
            f"{folder}/manifest.json does not name {unnamed[0]}, so that nobody can tell whether "
            "it was changed: restore the folder or build it again."
        )


# Without what an input does not have.
def _line(item: ValidationInput) -> str:
    found = {name: value for name, value in asdict(item).items() if value not in (None, {})}
    return json.dumps(found, ensure_ascii=False)


def _input(found: dict[str, Any]) -> ValidationInput:
    boxes = {name: Box(**found[name]) for name in found if name.endswith("_box")}
    return ValidationInput(**(found | boxes))


def _lines(path: Path) -> tuple[str, ...]:
    return tuple(path.read_text(encoding="utf-8").splitlines())


# SHA-256 over the names and SHA-256 digests of all files, sorted by name, and, from format 2 on,
# of the preprocessing.
def _content_hash(digests: Mapping[str, str], manifest: Mapping[str, Any]) -> str:
    if "preprocessing" in manifest:
        prepared = json.dumps(manifest["preprocessing"], sort_keys=True)
        digests = {**digests, "preprocessing": _digest(prepared.encode())}
    return _digest("".join(f"{digests[name]}  {name}\n" for name in sorted(digests)).encode())


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    levels = image * np.uint8(255) if image.dtype == np.bool_ else image
    Image.fromarray(levels).save(buffer, format="PNG")
    return buffer.getvalue()
