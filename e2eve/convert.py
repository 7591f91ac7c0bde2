"""Published checkpoints to bundles and back: `python -m e2eve.convert published=FILE [out=…]`."""

import filecmp
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from e2eve.config import choose, command, plain

if TYPE_CHECKING:
    from torch.nn import Module

    from e2eve.editor import Editor
    from e2eve.published import Opened
    from e2eve.tokenizers import Tokenizer

CHANGES = ("image_size", "driver_size", "attention", "driver_attention", "heads")

NEXT = {
    "editor": "python -m e2eve.edit model={out} source=IMAGE driver=IMAGE "
    "'box=[left,top,right,bottom]'",
    "tokenizer": "python -m e2eve.train +experiment=ffhq_block dataset.root=FOLDER "
    "tokenizer.source={out} driver_tokenizer=…",
    "checkpoint": 'torch.load("{out}", weights_only=True)["state_dict"] in Python',
}


@command("convert")
def main(config: DictConfig) -> None:
    print(convert(config))


def convert(config: DictConfig) -> Path:
    """Shows what was found and what to do next; the path of what was written."""
    return choose(config.to, {"bundle": to_bundle, "published": to_published}, "to")(config)


def to_bundle(config: DictConfig) -> Path:
    """Writes a folder: the bundle that a published checkpoint becomes."""
    if config.published is None or config.bundle is not None:
        raise ValueError("to=bundle reads a published file: give published=<file> and no bundle.")
    source = Path(config.published)
    out = Path(config.out or f"converted/{source.stem}")
    if out.is_dir() and any(out.iterdir()) and not (out / "config.yaml").is_file():
        raise _holds_something_else(out)

    # Heavy imports wait until here, so that --help and a typo answer at once.
    from e2eve.published import PRESETS, STAGES, Published

    settings = plain(config)
    published = Published(
        choose(config.preset, PRESETS, "preset"),
        {name: settings[name] for name in CHANGES if settings[name] is not None},
        config.source_tokenizer,
        config.driver_tokenizer,
        settings["skip"],
    )
    with writing(out) as (partial, report):
        report("converting", 0, STAGES + 1)
        opened = published.open(source, lambda done: report("converting", done, STAGES + 1))
        opened.network.save_pretrained(partial)
        report("converting", STAGES + 1, STAGES + 1)
    show(opened, str(source), NEXT[opened.kind].format(out=out))
    return out


def to_published(config: DictConfig) -> Path:
    """Writes a file: the checkpoint by published names that a bundle becomes."""
    if config.bundle is None or config.published is not None:
        raise ValueError("to=published reads a bundle: give bundle=<folder> and no published.")
    path = Path(str(config.bundle).removeprefix("package:"))
    name = path.parent.name if path.name == "bundle" else path.name
    out = Path(config.out or f"converted/{name}.ckpt")
    if out.is_dir():
        raise ValueError(f"out={out} is a folder: give the name of a file, such as {name}.ckpt.")

    from e2eve.published import Opened, open_bundle, write_published

    with writing(out) as (partial, report):
        report("converting", 0, 2)
        opened = Opened(open_bundle(config.bundle), {}, [])
        report("converting", 1, 2)
        write_published(opened.network, partial)
        report("converting", 2, 2)
    show(opened, str(config.bundle), NEXT["checkpoint"].format(out=out))
    return out


@contextmanager
def writing(out: Path) -> Iterator[tuple[Path, Callable[[str, int, int], None]]]:
    """Where to write what becomes `out` at the end, and whom to tell about progress.

    What is there already stays when it is the same.

    Raises:
        ValueError: when `out` has another content.
    """
    from e2eve.reporting.progress import progress_bars

    nearest = next(folder for folder in out.absolute().parents if folder.is_dir())
    with (
        tempfile.TemporaryDirectory(prefix=".convert_", dir=nearest) as scratch,
        progress_bars() as report,
    ):
        partial = Path(scratch) / out.name
        yield partial, report
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
    names = {path.name for path in a.iterdir()}
    same_names = names == {path.name for path in b.iterdir()}
    return same_names and filecmp.cmpfiles(a, b, names, shallow=False)[1:] == ([], [])


def _holds_something_else(out: Path) -> ValueError:
    return ValueError(f"{out} holds something else already: give another out=… or remove it.")


def show(opened: "Opened", source: str, next_command: str) -> None:
    """Print networks, shapes and sizes, what was left out of the file, and what to do next."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = network_rows(opened.network)
    if opened.skipped:
        rows["left out"] = ", ".join(f"{count} {name}" for name, count in opened.skipped.items())
    if opened.records:
        more = ", …" if len(opened.records) > 4 else ""
        rows["not rebuilt"] = f"objects of {', '.join(opened.records[:4])}{more}"
    table = Table(title=f"{source}: {opened.kind}", title_justify="left", show_header=False)
    for name, value in rows.items():
        table.add_row(name, Text(value))
    console = Console()
    console.print(table)
    console.print(f"Next: {next_command}", soft_wrap=True, highlight=False, markup=False)


def network_rows(network: "Editor | Tokenizer") -> dict[str, str]:
    """Each network of a bundle with its shape in words."""
    from e2eve.editor import Editor

    if not isinstance(network, Editor):
        return {"tokenizer": tokenizer_words(network)}
    side, driver = network.driver_size, network.driver_tokenizer
    shared = f"{side} px to {side // driver.config.cell}² ids by the source tokenizer (shared)"
    model = network.transformer
    shape = ", ".join(f"{name} {value}" for name, value in model.describe().items())
    return {
        "source tokenizer": tokenizer_words(network.source_tokenizer),
        "driver tokenizer": shared if network.shared else tokenizer_words(driver),
        "transformer": f"{shape}; {model.layout.length} tokens in a sequence, "
        f"{_millions(model)} parameters",
    }


def tokenizer_words(tokenizer: "Tokenizer") -> str:
    config = tokenizer.config
    return (
        f"{config.image_size} px to {config.grid}² ids, codebook {config.codebook_size} × "
        f"{config.code_dim}, {len(config.multipliers)} levels of "
        f"{config.channels}×{list(config.multipliers)} channels, {config.residual_blocks} residual "
        f"blocks a level, attention at the coarsest {config.attention_levels}, "
        f"{_millions(tokenizer)} parameters"
    )


def _millions(network: "Module") -> str:
    return f"{sum(p.numel() for p in network.parameters()) / 1e6:.1f} M"


if __name__ == "__main__":
    main()
