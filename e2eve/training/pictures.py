"""Pictures that a training leaves behind: grids on disk and in W&B, and a tokenizer's report."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from e2eve.data.images import to_uint8
from e2eve.evaluation.curves import curve_charts, read_curves
from e2eve.reporting.grid import picture_grid
from e2eve.reporting.page import Highlight, Page
from e2eve.runs import RunFolder
from e2eve.tokenizers import Tokenizer
from e2eve.training.loggers import log_picture


def keep_picture(trainer: pl.Trainer, run: RunFolder, picture: Image.Image, caption: str) -> Path:
    """As samples/step_000500.png, and in W&B where that is logged to.

    Args:
        caption: where `{step}` stands for the step.
    """
    path = run / f"samples/step_{trainer.global_step:06d}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
    step = trainer.global_step
    log_picture(trainer.loggers, path, step, caption.format(step=step))
    return path


@torch.no_grad()
def reconstruction_grid(
    tokenizer: Tokenizer, images: Float[Tensor, "batch 3 height width"], columns: int = 8
) -> Image.Image:
    """Pictures above what the tokenizer makes of them."""
    images = images.to(next(tokenizer.parameters()).device)
    made = to_uint8(tokenizer.decode(tokenizer.encode(images)).cpu())
    given = to_uint8(images.cpu())
    rows, labels = [], []
    for start in range(0, len(given), columns):
        rows += [list(given[start : start + columns]), list(made[start : start + columns])]
        labels += ["picture", "tokenized"]
    return picture_grid(rows, labels=labels, cell=128)


class Reconstructions(pl.Callback):
    """The same validation pictures after each validation, tokenized."""

    def __init__(self, images: Float[Tensor, "batch 3 height width"], run: RunFolder) -> None:
        self.images, self.run = images, run

    def on_validation_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        if trainer.is_global_zero:
            picture = reconstruction_grid(module.tokenizer, self.images)
            caption = "step {step}: validation pictures, each above what the tokenizer makes of it"
            keep_picture(trainer, self.run, picture, caption)


def tokenizer_report(
    run: RunFolder, tokenizer: Tokenizer, images: Tensor, config: str, title: str
) -> Path:
    """report.html of a tokenizer: reconstructions, last figures, curves."""
    parameters = sum(p.numel() for p in tokenizer.parameters()) / 1e6
    shape = tokenizer.config
    page = Page(title, f"{shape.image_size} px to {shape.grid}×{shape.grid} ids")
    last = {name: values[-1] for name, (_, values) in read_curves(run / "metrics.csv").items()}
    shown = {
        "val/l1": ("L1", "mean absolute error on validation pictures, pixels in [-1, 1]"),
        "val/perceptual": ("Perceptual distance", "on validation pictures"),
        "train/codebook_used": ("Share of codes in use", "over the last hundred steps or so"),
        "train/codebook_perplexity": ("Perplexity", f"of {shape.codebook_size} codes"),
    }
    page.highlights(
        [
            Highlight(f"{last[k]:.3g}", label, note)
            for k, (label, note) in shown.items()
            if k in last
        ]
        + [Highlight(f"{parameters:.1f} M", "Parameters")]
    )
    grid = reconstruction_grid(tokenizer.eval(), images)
    page.section("Reconstructions").picture(grid, "Validation pictures, none chosen.")
    page.section("Training")
    for chart in curve_charts(run / "metrics.csv"):
        page.chart(chart)
    page.section("Configuration").details("config.yaml", config)
    return page.write(run.report)
