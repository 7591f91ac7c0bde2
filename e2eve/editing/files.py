"""Edits of files: which source goes with which driver and region, and where the edits go."""

import functools
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from e2eve.data.image_folder import ImageFolder
from e2eve.editing.result import Edits
from e2eve.geometry import Box
from e2eve.reporting.progress import Report, progress_bars

if TYPE_CHECKING:
    from e2eve.editor import Editor


class EditInput(NamedTuple):
    """One edit to make; `name` is the folder for it, empty where there is one input only."""

    name: str
    source: Path
    driver: Path
    region: Box | Path

    def described(self) -> dict[str, Any]:
        """For edit.json: what a command would be given."""
        region: dict[str, Any] = {"mask": str(self.region)}
        if isinstance(self.region, Box):
            region = {"box": list(astuple(self.region))}
        return {"source": str(self.source), "driver": str(self.driver), **region}


def region_of(box: object, mask: str | None) -> Box | Path:
    """The region that a command names in one of two ways, `box` as a list of its four edges.

    Raises:
        ValueError: for both or none of them, and a box that is not four whole numbers.
    """
    if (box is None) == (mask is None):
        given = "Neither box nor mask is" if box is None else "Both box and mask are"
        raise ValueError(
            f"{given} given: give the region as box=[left,top,right,bottom] or as mask=<picture>."
        )
    if mask is not None:
        return Path(mask)
    if not isinstance(box, list) or len(box) != 4 or not all(isinstance(n, int) for n in box):
        raise ValueError(f"box is {box}: give [left,top,right,bottom], four whole pixels.")
    return Box(*box)


def find_inputs(source: Path, driver: Path, region: Box | Path, out: Path) -> list[EditInput]:
    """One input for a picture, or one for each picture below a folder.

    With a folder of sources, driver and mask are one file for all, or folders with a file named
    like each source, whatever its suffix.

    Args:
        out: where edits go; what earlier edits have left there is no source.

    Raises:
        ValueError: when a file is missing, or two sources would share a name.
    """
    if not source.is_dir():
        inputs = [EditInput("", source, driver, region)]
    else:
        written = out.resolve()
        found = _by_stem(source).items()
        sources = {k: path for k, path in found if not path.resolve().is_relative_to(written)}
        drivers = _for_each(sources, driver)
        regions = _for_each(sources, region)
        rows = zip(sources, sources.values(), drivers, regions, strict=True)
        inputs = [EditInput(*row) for row in rows]
    for path in (path for item in inputs for path in item[1:] if isinstance(path, Path)):
        if not path.is_file():
            raise ValueError(f"{path} is not a file: give the path of a picture.")
    return inputs


def _by_stem(folder: Path) -> dict[str, Path]:
    """The pictures below a folder by their names without suffix."""
    found: dict[str, Path] = {}
    for name in ImageFolder(folder).names:
        stem = Path(name).with_suffix("").as_posix()
        if stem in found:
            raise ValueError(
                f"{found[stem]} and {folder / name} differ in their suffix only: rename one."
            )
        found[stem] = folder / name
    return found


def _for_each(sources: dict[str, Path], given: Any) -> list[Any]:
    """The one file or box for all sources, or each source's file out of a folder."""
    if isinstance(given, Box) or not given.is_dir():
        return [given] * len(sources)
    known = _by_stem(given)
    missing = [path for stem, path in sources.items() if stem not in known]
    if missing:
        raise ValueError(
            f"{given} has no picture for {len(missing)} of {len(sources)} sources, the first is "
            f"{missing[0]}: add one named {missing[0].stem}."
        )
    return [known[stem] for stem in sources]


def edit_all(
    editor: "Editor", inputs: Sequence[EditInput], out: Path, model: str, **options: Any
) -> Path:
    """Edit each input and write its edits; the path of the grid, or `out` where there are many.

    Args:
        model: where the editor came from, for edit.json.
        options: of `Editor.edit`, seed and sampling settings.
    """
    tokens = editor.transformer.layout.target
    with progress_bars() as report:
        for number, item in enumerate(inputs):
            advance = functools.partial(_advance, report, number * tokens, len(inputs) * tokens)
            edits = _edited(editor, item, progress=advance, **options)
            edits.save(out / item.name, model=model, **item.described(), **options)
    return out if inputs[0].name else out / "grid.png"


def _advance(report: Report, before: int, total: int, done: int) -> None:
    report("drawing tokens", before + done, total)


def _edited(editor: "Editor", item: EditInput, **options: Any) -> Edits:
    try:
        return editor.edit(item.source, item.driver, item.region, **options)
    except ValueError as error:
        if not item.name:
            raise
        raise ValueError(f"{item.source} was not edited. {error}") from error
