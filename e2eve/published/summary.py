"""What a conversion found, for people."""

from rich.console import Console
from rich.table import Table
from rich.text import Text
from torch import nn

from e2eve.editor import Editor
from e2eve.published.opening import Opened
from e2eve.tokenizers import Tokenizer


def show(found: Opened, source: str, command: str) -> None:
    """Print the summary and what to do next."""
    console = Console()
    console.print(summary(found, source))
    console.print(f"Next: {command}", soft_wrap=True, highlight=False, markup=False)


def summary(found: Opened, source: str) -> Table:
    """Networks, shapes and sizes, and what was left out of the file."""
    table = Table(title=f"{source}: {found.family}", title_justify="left", show_header=False)
    rows = network_rows(found.network)
    if found.skipped:
        rows["left out"] = ", ".join(f"{count} {name}" for name, count in found.skipped.items())
    if found.records:
        rows["not rebuilt"] = "objects of " + ", ".join(found.records[:4])
        rows["not rebuilt"] += ", …" if len(found.records) > 4 else ""
    for name, value in rows.items():
        table.add_row(name, Text(value))
    return table


def network_rows(network: Editor | Tokenizer) -> dict[str, str]:
    """Each network of a bundle with its shape in words."""
    if isinstance(network, Tokenizer):
        return {"tokenizer": tokenizer_words(network)}
    side, driver = network.driver_size, network.driver_tokenizer
    shape, layout = network.transformer.config, network.transformer.layout
    words = f"{side} px to {side // driver.config.cell}² ids by the source tokenizer (shared)"
    return {
        "source tokenizer": tokenizer_words(network.source_tokenizer),
        "driver tokenizer": words if network.shared else tokenizer_words(driver),
        "transformer": f"{shape.layers} layers of width {shape.width}, {shape.heads} heads, "
        f"{len(network.transformer.positions)} positions of which {layout.length} are used, "
        f"{millions(network.transformer)} parameters",
    }


def tokenizer_words(tokenizer: Tokenizer) -> str:
    config = tokenizer.config
    return (
        f"{config.image_size} px to {config.grid}² ids, codebook {config.codebook_size} × "
        f"{config.code_dim}, {len(config.multipliers)} levels of "
        f"{config.channels}×{list(config.multipliers)} channels, {config.residual_blocks} residual "
        f"blocks a level, attention at the coarsest {config.attention_levels}, "
        f"{millions(tokenizer)} parameters"
    )


def millions(network: nn.Module) -> str:
    return f"{sum(p.numel() for p in network.parameters()) / 1e6:.1f} M"
