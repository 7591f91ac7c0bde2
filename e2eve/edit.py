"""Edit images: `python -m e2eve.edit [model=…] source=… driver=… region=…`; alone an example."""

import logging
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from omegaconf import DictConfig

from e2eve.config import about, command, device_of, read_settings
from e2eve.geometry import Box
from e2eve.limits import Positive, Samples, Seed, Text

log = logging.getLogger(__name__)

Given = TypeVar("Given")

REQUIRED = {
    "source": "the image to edit, or a folder of images",
    "driver": "an image of what should appear in the region",
}
REGIONS = "region=box:<left>,<top>,<right>,<bottom>, region=mask:<image> or region=centre:0.5"


@dataclass(frozen=True)
class Centre:
    """The middle of any source: a box whose sides are a share of the source's."""

    share: float

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"region is centre:{self.share:g}: give a share of more than 0 to 1.")

    def box(self, width: int, height: int) -> Box:
        """In a source of `width` × `height` pixels."""
        inner = [max(1, round(side * self.share)) for side in (width, height)]
        left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
        return Box(left, top, left + inner[0], top + inner[1])


@dataclass(frozen=True)
class EditSettings:
    """The keys of conf/edit.yaml."""

    model: Text
    decoder: Text | None
    source: Text | None
    driver: Text | None
    region: Text | None
    box: list[int] | None
    mask: Text | None
    out: Text
    num_samples: Samples
    keep: Positive | None
    seed: Seed
    sampling: dict[str, Any]
    device: str

    def __post_init__(self) -> None:
        if self.keep is not None and self.keep > self.num_samples:
            raise ValueError(f"keep is {self.keep}: give at most num_samples={self.num_samples}.")

    @property
    def is_example(self) -> bool:
        """Whether no input is given at all."""
        return {self.source, self.driver, *self._regions.values()} == {None}

    @property
    def place(self) -> Box | Path | Centre:
        """The one of `region`, `box` and `mask` that is given.

        Raises:
            ValueError: for several or none of them, and what is no region.
        """
        given = [name for name, value in self._regions.items() if value is not None]
        if len(given) != 1:
            found = f"{' and '.join(given)} are given together" if given else "No region is given"
            raise ValueError(f"{found}: give one, as {REGIONS}.")
        if self.box is not None:
            return _box(self.box, f"box is {self.box}: give [left,top,right,bottom], in pixels.")
        return Path(self.mask) if self.mask is not None else parse_region(str(self.region))

    @property
    def _regions(self) -> dict[str, Any]:
        return {"region": self.region, "box": self.box and tuple(self.box), "mask": self.mask}


def parse_region(text: str) -> Box | Path | Centre:
    """What `box:left,top,right,bottom`, `mask:file` or `centre:share` names.

    Raises:
        ValueError: for anything else.
    """
    kind, _, rest = text.partition(":")
    wrong = f'region is "{text}": give {REGIONS}.'
    if kind == "mask" and rest:
        return Path(rest)
    try:
        numbers = [float(part) for part in rest.split(",")]
    except ValueError:
        raise ValueError(wrong) from None
    if kind == "centre" and len(numbers) == 1:
        return Centre(numbers[0])
    if kind != "box" or not all(number.is_integer() for number in numbers):
        raise ValueError(wrong)
    return _box([int(number) for number in numbers], wrong)


def _box(edges: Sequence[int], wrong: str) -> Box:
    if len(edges) != 4:
        raise ValueError(wrong)
    return Box(*edges)


class EditInput(NamedTuple):
    """One edit to make; `name` is the folder for it, empty where there is one input only.

    Source and driver are arrays in the example alone.
    """

    name: str
    source: Path | np.ndarray
    driver: Path | np.ndarray
    region: Box | Path

    def described(self) -> dict[str, Any]:
        """For edit.json: what a command would be given."""
        name = "box" if isinstance(self.region, Box) else "mask"
        region = astuple(self.region) if isinstance(self.region, Box) else str(self.region)
        return {"source": described(self.source), "driver": described(self.driver), name: region}


def described(image: Path | np.ndarray) -> str:
    return str(image) if isinstance(image, Path) else "the example's toy face"


def edit(config: DictConfig) -> Path:
    """Writes the edits of every source; the path of the grid, or of the folder of many."""
    settings = read_settings(config, EditSettings)
    inputs = [] if settings.is_example else given_inputs(settings)

    # Heavy imports wait until here, so that --help and a typo answer at once.
    from e2eve.bundle import read_bundle
    from e2eve.editing.edits import file_names
    from e2eve.editor import Editor
    from e2eve.reporting.outputs import new_folder
    from e2eve.reporting.progress import progress_bars

    files = file_names(settings.keep or settings.num_samples)
    names = [item.name for item in inputs] or [""]
    with about("out"):
        out = new_folder(settings.out, [Path(name, file) for name in names for file in files])
    device = device_of(settings.device)
    with about("model"):
        read_bundle(settings.model, kind="editor")
    editor = Editor.from_pretrained(settings.model, device, decoder=settings.decoder)
    with about("sampling", settings.sampling):
        editor.settings(settings.sampling)
    inputs = inputs or [example_input(editor.image_size)]
    tokens = editor.transformer.layout.target
    numbers = {name: getattr(settings, name) for name in ("num_samples", "keep", "seed")}
    options = {**numbers, **settings.sampling}
    with progress_bars() as report:
        for number, item in enumerate(inputs):

            def progress(done: int, before: int = number * tokens) -> None:
                report("drawing tokens", before + done, len(inputs) * tokens)

            try:
                edits = editor.edit(*item[1:], progress=progress, **options)
            except ValueError as error:
                raise ValueError(f"{described(item.source)} was not edited. {error}") from error
            named = {"model": settings.model, "decoder": settings.decoder}
            facts = {**named, **item.described(), **options}
            saved = edits.save(out / item.name, **facts)
    if settings.is_example:
        log.info("An example with toy faces; for your own: source=… driver=… %s.", REGIONS)
    return out if inputs[0].name else saved / "grid.png"


def given_inputs(settings: EditSettings) -> list[EditInput]:
    """Raises ValueError when one of source, driver and region is missing, or cannot be used."""
    for key, what in REQUIRED.items():
        if getattr(settings, key) is None:
            raise ValueError(f"{key} is missing: give {key}=<{what}>.")
    source, driver, place = Path(str(settings.source)), Path(str(settings.driver)), settings.place
    given = {"source": source, "driver": driver, "mask" if settings.mask else "region": place}
    for key, path in given.items():
        if isinstance(path, Path) and not path.exists():
            raise ValueError(f"{key}: {path} is not a file: give the path of an image.")
    return find_inputs(source, driver, place)


def example_input(size: int) -> EditInput:
    """Toy faces of `size` pixels per side, which need no file."""
    from e2eve.data.toyfaces.example import example_edit

    found = example_edit(size)
    return EditInput("", found.source, found.driver, found.region)


def find_inputs(source: Path, driver: Path, region: Box | Path | Centre) -> list[EditInput]:
    """One input for an image, or one for each image below a folder.

    With a folder of sources, driver and mask are one file for all, or folders with a file named
    like each source, whatever its suffix. What is in folders of earlier edits is no source.

    Raises:
        ValueError: when a file is missing, no source is left, or two would share a name.
    """
    sources = {"": source}
    drivers, regions = [driver], [region]
    if source.is_dir():
        sources = {
            stem: path
            for stem, path in _by_stem(source).items()
            if not (path.parent / "edit.json").exists()
        }
        if not sources:
            raise ValueError(f"{source} holds edits only: give one of them as source=<file>.")
        drivers, regions = _for_each(sources, driver), _for_each(sources, region)
    for path in (*sources.values(), *drivers, *regions):
        if isinstance(path, Path) and not path.is_file():
            raise ValueError(f"{path} is not a file: give the path of an image.")
    rows = zip(sources.items(), drivers, regions, strict=True)
    return [EditInput(*one, driver, _of(place, one[1])) for one, driver, place in rows]


def _of(region: Box | Path | Centre, source: Path) -> Box | Path:
    """The region of a source, whose size its middle depends on."""
    if not isinstance(region, Centre):
        return region
    from e2eve.data.images import read_image

    height, width = read_image(source).shape[:2]
    return region.box(width, height)


def _by_stem(folder: Path) -> dict[str, Path]:
    """The images below a folder by their names without suffix."""
    from e2eve.data.image_folder import ImageFolder

    found: dict[str, Path] = {}
    for name in ImageFolder(folder).names:
        stem = Path(name).with_suffix("").as_posix()
        if stem in found:
            raise ValueError(
                f"{found[stem]} and {folder / name} differ in their suffix only: rename one."
            )
        found[stem] = folder / name
    return found


def _for_each(sources: dict[str, Path], given: Given) -> list[Given | Path]:
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


main = command("edit", verbatim=("region",))(edit)

if __name__ == "__main__":
    main()
