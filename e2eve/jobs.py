"""What the command `edit` is asked: one edit, those of a folder, or those that a file lists."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, fields
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TypeVar

from e2eve.checks import sha256
from e2eve.config import read_settings
from e2eve.geometry import Box
from e2eve.limits import NonNegativeFloat, Positive, Samples, Seed, Text

Given = TypeVar("Given")

REGIONS = "region=box:<left>,<top>,<right>,<bottom>, region=mask:<image> or region=centre:0.5"
REQUIRED = {
    "source": "the image to edit, or a folder of images",
    "driver": "an image of what should appear in the region",
}
# Of images that are edited: all that are read.
SUFFIXES = tuple(".avif .bmp .gif .heic .heif .jpeg .jpg .png .tif .tiff .webp".split())
# What edit.json holds beside the keys of a job.
RESULTS = ("files", "samples", "remarks", "sha256")


@dataclass(frozen=True)
class Centre:
    """The middle of any image: a box whose sides are a share of the image's."""

    share: float

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"region is centre:{self.share:g}: give a share of more than 0 to 1.")

    def box(self, width: int, height: int) -> Box:
        """In an image of `width` × `height` pixels."""
        inner = [max(1, round(side * self.share)) for side in (width, height)]
        left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
        return Box(left, top, left + inner[0], top + inner[1])


Place = Box | Path | Centre  # a path is a mask's


def parse_place(text: str, key: str = "region") -> Place:
    """What `box:left,top,right,bottom`, `mask:file` or `centre:share` names.

    Raises:
        ValueError: for anything else.
    """
    kind, _, rest = text.partition(":")
    wrong = f'{key} is "{text}": give {REGIONS.replace("region", key)}, boxes in whole pixels.'
    if kind == "mask" and rest:
        return Path(rest)
    try:
        numbers = [float(part) for part in rest.split(",")]
    except ValueError:
        raise ValueError(wrong) from None
    if kind == "centre" and len(numbers) == 1:
        return Centre(numbers[0])
    if kind != "box" or len(numbers) != 4 or not all(one.is_integer() for one in numbers):
        raise ValueError(wrong)
    return Box(*map(int, numbers))


def place_text(place: Place) -> str:
    """What `parse_place` reads back."""
    if isinstance(place, Box):
        return "box:" + ",".join(map(str, astuple(place)))
    return f"centre:{place.share!r}" if isinstance(place, Centre) else f"mask:{place}"


@dataclass(frozen=True, kw_only=True)
class JobSettings:
    """The keys of conf/edit.yaml that say what is edited, and how."""

    model: Text
    decoder: Text | None
    source: Text | None
    driver: Text | list[Text] | None
    driver_part: Text | None
    driver_fit: Literal["crop", "pad"]
    region: Text | list[Text] | None
    box: list[int] | None
    mask: Text | None
    num_samples: Samples
    keep: Positive | None
    seed: Seed
    feather: NonNegativeFloat | None
    sampling: dict[str, Any]

    def __post_init__(self) -> None:
        if self.keep is not None and self.keep > self.num_samples:
            raise ValueError(f"keep is {self.keep}: give at most num_samples={self.num_samples}.")

    @property
    def is_example(self) -> bool:
        """Whether no input is given at all."""
        return not any([self.source, self.driver, self.driver_part, *self._given.values()])

    @property
    def places(self) -> list[Place]:
        """The one of `region`, `box` and `mask` that is given; several regions of `region`.

        Raises:
            ValueError: for several or none of them, and what is no region.
        """
        given = [name for name, value in self._given.items() if value is not None]
        if len(given) != 1:
            missing = "No region is given, as region, box and mask are null"
            found = f"{' and '.join(given)} are given together" if given else missing
            raise ValueError(f"{found}: give one, as {REGIONS}.")
        if self.box is not None:
            if len(self.box) != 4:
                raise ValueError(f"box is {self.box}: give [left,top,right,bottom], in pixels.")
            return [Box(*self.box)]
        if self.mask is not None:
            return [Path(self.mask)]
        texts = self.region if isinstance(self.region, list) else str(self.region).split(";")
        return [parse_place(text) for text in texts]

    @property
    def _given(self) -> dict[str, Any]:
        return {"region": self.region, "box": self.box, "mask": self.mask}

    def jobs(self, name: str = "") -> list["EditJob"]:
        """The edits to make: one, or one for each image of a folder of sources.

        Raises:
            ValueError: when one of source, driver and region is missing, or cannot be used.
        """
        part = None if self.driver_part is None else parse_place(self.driver_part, "driver_part")
        if self.is_example:
            return [EditJob(name, None, [], [], part, self)]
        for key, what in REQUIRED.items():
            if not getattr(self, key):
                raise ValueError(f"{key} is missing: give {key}=<{what}>.")
        drivers = self.driver if isinstance(self.driver, list) else [str(self.driver)]
        rows = matched(Path(str(self.source)), [Path(one) for one in drivers], self.places)
        return [
            EditJob("/".join(filter(None, (name, stem))), source, drivers, places, part, self)
            for stem, source, drivers, places in rows
        ]


@dataclass(frozen=True)
class EditJob:
    """One edit to make, of files.

    Attributes:
        name: the folder for it, empty where there is one edit only.
        source: None for the example, which needs no file.
        places: regions, one for each driver.
        part: of the driver.
    """

    name: str
    source: Path | None
    drivers: list[Path]
    places: list[Place]
    part: Place | None
    settings: JobSettings

    def check_files(self) -> None:
        """Raises ValueError when a file is missing."""
        for key, paths in self._files().items():
            for path in paths:
                if not path.is_file():
                    raise ValueError(f"{key}: {path} is not a file: give the path of an image.")

    @cached_property
    def described(self) -> dict[str, Any]:
        """For edit.json: keys of the command that make the edit again, and hashes of its files."""
        asked = asdict(self.settings)
        del asked["box"], asked["mask"]
        hashes = {str(path): sha256(path) for paths in self._files().values() for path in paths}
        return {
            **asked,
            "source": None if self.source is None else str(self.source),
            "driver": _one_or_all([str(path) for path in self.drivers]),
            "region": _one_or_all([place_text(place) for place in self.places], apart=";"),
            "sha256": hashes,
        }

    def _files(self) -> dict[str, list[Path]]:
        """By the keys of the command that name them."""
        return {
            "source": [] if self.source is None else [self.source],
            "driver": list(self.drivers),
            "region": [place for place in self.places if isinstance(place, Path)],
            "driver_part": [self.part] if isinstance(self.part, Path) else [],
        }


def _one_or_all(found: list[str], apart: str = "") -> str | list[str] | None:
    """One alone as it is, unless a sign in it would be taken for one between several."""
    several = len(found) > 1 or (apart and any(apart in one for one in found))
    return found if several else next(iter(found), None)


def read_jobs(path: Path, defaults: JobSettings) -> list[EditJob]:
    """The jobs of a file: JSON objects, one a line, or one alone, as edit.json is.

    An object holds keys of the command, those that it lacks are `defaults`; and `name`, the folder
    of its edits, by default its number. Paths count from the working directory.

    Raises:
        ValueError: when the file cannot be read, a line is no such object, two jobs bear one name,
            or files of an edit.json are no longer what they were.
    """
    found: list[EditJob] = []
    entries = _objects(path)
    for number, (where, entry) in enumerate(entries, start=1):
        name = f"{number:04d}" if len(entries) > 1 else ""
        try:
            if "name" in entry:
                name = _folder_name(entry.pop("name"))
            settings = _job_settings(entry, defaults)
            if settings.is_example and "source" not in entry:
                raise ValueError(f"source is missing: give source=<{REQUIRED['source']}>.")
            jobs = settings.jobs(name)
            _check_unchanged(entry.get("sha256"))
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
        found += jobs
    names = [job.name for job in found]
    for twice in {name for name in names if names.count(name) > 1}:
        raise ValueError(f'{path} names "{twice}" twice: give each job a name of its own.')
    return found


def _folder_name(given: Any) -> str:
    """A job's name, of a folder inside of `out`."""
    path = PurePosixPath(given) if isinstance(given, str) else PurePosixPath()
    allowed = path.parts and not path.is_absolute() and ".." not in path.parts
    if not allowed or "\0" in str(path) or any(len(os.fsencode(p)) > 200 for p in path.parts):
        shown = json.dumps(given)[:80]
        raise ValueError(f"name is {shown}: give a folder inside of out, of at most 200 bytes.")
    return str(path)


def _objects(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """The objects of a file and where they stand."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "no text"
        raise ValueError(f"{path} cannot be read ({reason}): give a file of jobs.") from error
    lines = [(f"{path}, line {n}", line) for n, line in enumerate(text.splitlines(), start=1)]
    parts = [(str(path), text)] if text.lstrip()[:2] in ("{\n", "{\r") else lines
    found = []
    for where, part in parts:
        if not part.strip():
            continue
        try:
            entry = json.loads(part)
        except json.JSONDecodeError as error:
            raise ValueError(f"{where} is no JSON ({error}): give an object a line.") from error
        if not isinstance(entry, dict):
            raise ValueError(f'{where} is no object: give one such as {{"source": "a.png", …}}.')
        found.append((where, entry))
    if not found:
        raise ValueError(f"{path} holds no job: give an object a line.")
    return found


def _job_settings(entry: Mapping[str, Any], defaults: JobSettings) -> JobSettings:
    given = {key: value for key, value in entry.items() if key not in RESULTS}
    names = [field.name for field in fields(JobSettings)]
    base = {name: getattr(defaults, name) for name in names}
    if {"region", "box", "mask"} & given.keys():
        base |= {"region": None, "box": None, "mask": None}
    if isinstance(given.get("sampling"), dict):
        given["sampling"] = {**base["sampling"], **given["sampling"]}
    return read_settings({**base, **given}, JobSettings)


def _check_unchanged(hashes: Any) -> None:
    for name, known in (hashes if isinstance(hashes, dict) else {}).items():
        if Path(name).is_file() and sha256(Path(name)) != known:
            raise ValueError(
                f"{name} is no longer the file that was edited: restore it, or remove sha256 here."
            )


def matched(
    source: Path, drivers: list[Path], places: list[Place]
) -> list[tuple[str, Path, list[Path], list[Place]]]:
    """Name, source, drivers and regions of an image, or of each image below a folder.

    With a folder of sources, driver and mask are one file for all, or folders with a file named
    like each source, whatever its suffix. What is in folders of earlier edits is no source.

    Raises:
        ValueError: when no source is left, or two would share a name.
    """
    if not source.is_dir():
        return [("", source, drivers, places)]
    sources = {stem: path for stem, path in _by_stem(source).items() if not _left_by_edits(path)}
    if not sources:
        raise ValueError(f"{source} holds no image, or edits only: give one as source=<file>.")
    drivers_of = [_for_each(sources, one) for one in drivers]
    places_of = [_for_each(sources, one) for one in places]
    return [
        (stem, path, [one[n] for one in drivers_of], [one[n] for one in places_of])
        for n, (stem, path) in enumerate(sources.items())
    ]


def _left_by_edits(path: Path) -> bool:
    sheet = path.name.startswith("contact_sheet")
    return any(path.parent.glob("**/edit.json" if sheet else "edit.json"))


def _by_stem(folder: Path) -> dict[str, Path]:
    """The images below a folder by their names without suffix; none is looked into."""
    from e2eve.data.image_folder import files_below

    found: dict[str, Path] = {}
    for name in files_below(folder):
        stem = Path(name).with_suffix("").as_posix()
        if not name.lower().endswith(SUFFIXES):
            continue
        if stem in found:
            raise ValueError(
                f"{found[stem]} and {folder / name} differ in their suffix only: rename one."
            )
        found[stem] = folder / name
    return found


def _for_each(sources: Mapping[str, Path], given: Given) -> list[Given | Path]:
    """The one file or region for all sources, or each source's file out of a folder."""
    if not isinstance(given, Path) or not given.is_dir():
        return [given] * len(sources)
    known = _by_stem(given)
    missing = [path for stem, path in sources.items() if stem not in known]
    if missing:
        raise ValueError(
            f"{given} has no image for {len(missing)} of {len(sources)} sources, the first is "
            f"{missing[0]}: add one named {missing[0].stem}."
        )
    return [known[stem] for stem in sources]


def earlier(folder: Path, job: EditJob) -> bool | None:
    """Whether a folder holds the edits of this job; None where it holds no edits."""
    try:
        found = json.loads((folder / "edit.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (PermissionError, NotADirectoryError, IsADirectoryError, ValueError):
        return False
    asked = json.loads(json.dumps(job.described))
    return isinstance(found, dict) and {key: found.get(key) for key in asked} == asked


def folder_of_many(wanted: Path, jobs: Sequence[EditJob]) -> Path:
    """`wanted`, or the first of wanted_2, … that holds no edits but those of these jobs."""
    number, folder = 1, wanted
    while any(earlier(folder / job.name, job) is False for job in jobs):
        number += 1
        folder = wanted.with_name(f"{wanted.name}_{number}")
    return folder
