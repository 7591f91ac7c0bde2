"""A tokenizer's report: reconstructions, last figures, curves."""

from pathlib import Path

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from e2eve.data.images import to_uint8
from e2eve.reporting.charts import curve_charts
from e2eve.reporting.grid import image_grid
from e2eve.reporting.page import Highlight, Page
from e2eve.runs import RunFolder, read_curves
from e2eve.tokenizers import Tokenizer

SHOWN = {
    "val/l1": ("L1", "mean absolute error on validation images, pixels in [-1, 1]"),
    "val/perceptual": ("Perceptual distance", "on validation images"),
    "train/codebook_used": ("Share of codes in use", "over the last hundred steps or so"),
    "train/codebook_perplexity": ("Perplexity", "of the codes in use"),
}


@torch.no_grad()
def reconstruction_grid(
    tokenizer: Tokenizer, images: Float[Tensor, "batch 3 height width"], columns: int = 8
) -> Image.Image:
    """Images above what the tokenizer makes of them."""
    images = images.to(next(tokenizer.parameters()).device)
    made = to_uint8(tokenizer.decode(tokenizer.encode(images)).cpu())
    given = to_uint8(images.cpu())
    starts = range(0, len(given), columns)
    rows = [list(part[start : start + columns]) for start in starts for part in (given, made)]
    return image_grid(rows, labels=["image", "tokenized"] * len(starts), cell=128)


def tokenizer_report(
    run: RunFolder, tokenizer: Tokenizer, images: Float[Tensor, "batch 3 h w"], title: str
) -> Path:
    """Writes report.html into the folder of a tokenizer's run."""
    parameters = sum(p.numel() for p in tokenizer.parameters()) / 1e6
    shape = tokenizer.config
    page = Page(title, f"{shape.image_size} px to {shape.grid}×{shape.grid} ids")
    curves = read_curves(run.curves)
    last = {name: values[-1] for name, (_, values) in curves.items()}
    figures = [
        Highlight(f"{last[name]:.3g}", label, note)
        for name, (label, note) in SHOWN.items()
        if name in last
    ]
    page.highlights([*figures, Highlight(f"{parameters:.1f} M", "Parameters")])
    grid = reconstruction_grid(tokenizer.eval(), images)
    page.section("Reconstructions").image(grid, "Validation images, none chosen.")
    page.section("Training")
    for chart in curve_charts(curves):
        page.chart(chart)
    config = (run / "config.yaml").read_text(encoding="utf-8")
    page.section("Configuration").details("config.yaml", config)
    return page.write(run.report)
