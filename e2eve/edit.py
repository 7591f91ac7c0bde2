"""Edit images: `python -m e2eve.edit model=… source=… driver=… box=[l,t,r,b] | mask=…`."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from e2eve.config import NonNegative, Positive, command, device_of, read_settings
from e2eve.geometry import Box

REQUIRED = {
    "model": "the bundle or run folder of an editor",
    "source": "the image to edit, or a folder of images",
    "driver": "an image of what should appear in the region",
}


@dataclass(frozen=True)
class EditSettings:
    """The keys of conf/edit.yaml."""

    model: str
    decoder: str | None
    source: str
    driver: str
    box: list[int] | None
    mask: str | None
    out: str
    num_samples: Positive
    seed: NonNegative
    sampling: dict[str, Any]
    device: str

    @property
    def region(self) -> Box | Path:
        """The one of `box` and `mask` that is given.

        Raises:
            ValueError: for both or none of them, and a box that has not four edges.
        """
        if self.mask is not None and self.box is None:
            return Path(self.mask)
        if self.box is None or self.mask is not None:
            given = "Neither box nor mask is" if self.box is None else "Both box and mask are"
            raise ValueError(
                f"{given} given: give the region as box=[left,top,right,bottom] or as mask=<image>."
            )
        if len(self.box) != 4:
            raise ValueError(f"box is {self.box}: give [left,top,right,bottom], in pixels.")
        return Box(*self.box)


class EditInput(NamedTuple):
    """One edit to make; `name` is the folder for it, empty where there is one input only."""

    name: str
    source: Path
    driver: Path
    region: Box | Path

    def described(self) -> dict[str, Any]:
        """For edit.json: what a command would be given."""
        name = "box" if isinstance(self.region, Box) else "mask"
        region = astuple(self.region) if isinstance(self.region, Box) else str(self.region)
        return {"source": str(self.source), "driver": str(self.driver), name: region}


def edit(config: DictConfig) -> Path:
    """Writes the edits of every source; the path of the grid, or of the folder of many."""
    for key, what in REQUIRED.items():
        if OmegaConf.is_missing(config, key):
            raise ValueError(f"{key} is missing: give {key}=<{what}>.")
    settings = read_settings(config, EditSettings)
    inputs = find_inputs(Path(settings.source), Path(settings.driver), settings.region)

    # Heavy imports wait until here, so that --help and a typo answer at once.
    from e2eve.editing.edits import file_names
    from e2eve.editor import Editor
    from e2eve.reporting.outputs import new_folder
    from e2eve.reporting.progress import progress_bars

    files = file_names(settings.num_samples)
    out = new_folder(settings.out, [Path(item.name, file) for item in inputs for file in files])
    device = device_of(settings.device)
    editor = Editor.from_pretrained(settings.model, device, decoder=settings.decoder)
    tokens = editor.transformer.layout.target
    options = {"num_samples": settings.num_samples, "seed": settings.seed, **settings.sampling}
    with progress_bars() as report:
        for number, item in enumerate(inputs):

            def progress(done: int, before: int = number * tokens) -> None:
                report("drawing tokens", before + done, len(inputs) * tokens)

            try:
                edits = editor.edit(*item[1:], progress=progress, **options)
            except ValueError as error:
                raise ValueError(f"{item.source} was not edited. {error}") from error
            facts = {
                "model": settings.model,
                "decoder": settings.decoder,
                **item.described(),
                **options,
            }
            saved = edits.save(out / item.name, **facts)
    return out if inputs[0].name else saved / "grid.png"


def find_inputs(source: Path, driver: Path, region: Box | Path) -> list[EditInput]:
    """One input for an image, or one for each image below a folder.

    With a folder of sources, driver and mask are one file for all, or folders with a file named
    like each source, whatever its suffix. What is in folders of earlier edits is no source.

    Raises:
        ValueError: when a file is missing, no source is left, or two would share a name.
    """
    inputs = [EditInput("", source, driver, region)]
    if source.is_dir():
        sources = {
            stem: path
            for stem, path in _by_stem(source).items()
            if not (path.parent / "edit.json").exists()
        }
        if not sources:
            raise ValueError(f"{source} holds edits only: give one of them as source=<file>.")
        columns = (_for_each(sources, given) for given in (driver, region))
        inputs = [EditInput(*row) for row in zip(sources, sources.values(), *columns, strict=True)]
    for path in (path for item in inputs for path in item[1:] if isinstance(path, Path)):
        if not path.is_file():
            raise ValueError(f"{path} is not a file: give the path of an image.")
    return inputs


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


def _for_each(sources: dict[str, Path], given: Box | Path) -> Sequence[Box | Path]:
    """The one file or box for all sources, or each source's file out of a folder."""
    if isinstance(given, Box) or not given.is_dir():
        return [given] * len(sources)
    known = _by_stem(given)
    missing = [path for stem, path in sources.items() if stem not in known]
    if missing:
        raise ValueError(
            f"{given} has no image for {len(missing)} of {len(sources)} sources, the first is "
            f"{missing[0]}: add one named {missing[0].stem}."
        )
    return [known[stem] for stem in sources]


main = command("edit")(edit)

if __name__ == "__main__":
    main()
