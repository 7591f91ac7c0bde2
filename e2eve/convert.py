"""Published checkpoints to bundles and back: `python -m e2eve.convert published=FILE [out=…]`."""

import filecmp
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from omegaconf import DictConfig
from pydantic import Field

from e2eve.checks import check_writable
from e2eve.commands import command
from e2eve.config import about, choose, read_settings
from e2eve.limits import Pixels, Text

CHANGES = ("image_size", "driver_size", "attention", "driver_attention", "heads")

NEXT = {
    "editor": "python -m e2eve.edit model={out} source=IMAGE driver=IMAGE "
    "'box=[left,top,right,bottom]'",
    "tokenizer": "python -m e2eve.train +experiment=ffhq_block dataset.root=FOLDER "
    "tokenizer.source={out} driver_tokenizer=…",
    "checkpoint": 'torch.load("{out}", weights_only=True)["state_dict"] in Python',
}


@dataclass(frozen=True)
class ConvertSettings:
    """The keys of conf/convert.yaml."""

    to: Literal["bundle", "published"]
    published: Text | None
    bundle: Text | None
    out: Text | None
    preset: Text
    image_size: Pixels | None
    driver_size: Pixels | None
    attention: Annotated[int, Field(ge=0, le=8192)] | None
    driver_attention: Annotated[int, Field(ge=0, le=8192)] | None
    heads: Pixels | None
    source_tokenizer: Text | None
    driver_tokenizer: Text | None
    skip: list[Text]


def convert(config: DictConfig) -> Path:
    """Shows what was found and what to do next; the path of what was written."""
    settings = read_settings(config, ConvertSettings)
    return {"bundle": to_bundle, "published": to_published}[settings.to](settings)


def to_bundle(config: ConvertSettings) -> Path:
    """Writes a folder: the bundle that a published checkpoint becomes."""
    if config.published is None or config.bundle is not None:
        raise ValueError(
            "to=bundle reads a published file: give published=<file> and no bundle, which are "
            f"{config.published or 'null'} and {config.bundle or 'null'}."
        )
    source = Path(config.published)
    out = Path(config.out or f"converted/{source.stem}")
    if out.is_dir() and any(out.iterdir()) and not (out / "config.yaml").is_file():
        raise _holds_something_else(out)

    # Heavy imports wait until here, so that --help and a typo answer at once.
    from e2eve.published import PRESETS, STAGES, Published

    values = {name: getattr(config, name) for name in CHANGES}
    published = Published(
        choose(config.preset, PRESETS, "preset"),
        {name: value for name, value in values.items() if value is not None},
        config.source_tokenizer,
        config.driver_tokenizer,
        config.skip,
    )
    with writing(out, STAGES + 1) as (partial, advance):
        opened = published.open(source, advance)
        opened.network.save_pretrained(partial)
    show(f"{source}: {opened.kind}", opened.rows(), NEXT[opened.kind].format(out=out))
    return out


def to_published(config: ConvertSettings) -> Path:
    """Writes a file: the checkpoint by published names that a bundle becomes."""
    if config.bundle is None or config.published is not None:
        raise ValueError(
            "to=published reads a bundle: give bundle=<folder> and no published, which are "
            f"{config.bundle or 'null'} and {config.published or 'null'}."
        )
    path = Path(str(config.bundle).removeprefix("package:"))
    name = path.parent.name if path.name == "bundle" else path.name
    out = Path(config.out or f"converted/{name}.ckpt")
    if out.is_dir():
        raise ValueError(f"out={out} is a folder: give the name of a file, such as {name}.ckpt.")

    from e2eve.published import Opened, open_bundle, write_published

    with writing(out, 2) as (partial, advance):
        with about("bundle"):
            opened = Opened(open_bundle(config.bundle), {}, [])
        advance(1)
        write_published(opened.network, partial)
    show(f"{config.bundle}: {opened.kind}", opened.rows(), NEXT["checkpoint"].format(out=out))
    return out


@contextmanager
def writing(out: Path, stages: int) -> Iterator[tuple[Path, Callable[[int], None]]]:
    """Where to write what becomes `out` at the end, and whom to tell how many stages are done.

    What is there already stays when it is the same.

    Raises:
        ValueError: when `out` has another content.
    """
    from e2eve.reporting.progress import progress_bars

    check_writable(out.parent, "out")
    nearest = next(folder for folder in out.absolute().parents if folder.is_dir())
    with (
        tempfile.TemporaryDirectory(prefix=".convert_", dir=nearest) as scratch,
        progress_bars() as report,
    ):
        partial = Path(scratch) / out.name
        report("converting", 0, stages)
        yield partial, lambda done: report("converting", done, stages)
        report("converting", stages, stages)
        if out.is_file() or (out.is_dir() and any(out.iterdir())):
            if not same_content(partial, out):
                raise _holds_something_else(out)
            return
        out.parent.mkdir(parents=True, exist_ok=True)
        partial.replace(out)


def same_content(a: Path, b: Path) -> bool:
    """Whether two files, or the files of two folders, are equal to the byte."""
    if a.is_file() or b.is_file():
        return a.is_file() and b.is_file() and filecmp.cmp(a, b, shallow=False)
    names, others = ({path.name for path in folder.iterdir()} for folder in (a, b))
    return names == others and filecmp.cmpfiles(a, b, names, shallow=False)[1:] == ([], [])


def _holds_something_else(out: Path) -> ValueError:
    return ValueError(f"{out} holds something else already: give another out=… or remove it.")


def show(title: str, rows: dict[str, str], next_command: str) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", show_header=False)
    for name, value in rows.items():
        table.add_row(name, Text(value))
    console = Console()
    console.print(table)
    console.print(f"Next: {next_command}", soft_wrap=True, highlight=False, markup=False)


main = command("convert")(convert)

if __name__ == "__main__":
    main()
