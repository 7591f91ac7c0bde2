"""The loss of a run's first step, as logged and as an editor alone has it."""

import csv
from pathlib import Path
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from omegaconf import DictConfig

from e2eve.config import read_settings
from e2eve.editor import Editor
from e2eve.runs import RunFolder
from e2eve.training.settings import TrainSettings
from e2eve.training.tasks import EditorTask


def first_loss(run_dir: Path) -> float:
    """What metrics.csv of a run says."""
    with (run_dir / "metrics.csv").open(newline="") as file:
        return float(next(csv.DictReader(file))["train/loss"])


def loss_on_the_first_batch(editor: Editor, config: DictConfig) -> float:
    """Cross-entropy of an editor on the first simulated edits that `config` trains on."""
    settings = read_settings(config, TrainSettings)
    data = EditorTask(settings, RunFolder(settings.run_dir)).data
    alone = {"world_size": 1, "global_rank": 0, "overfit_batches": 0}
    data.trainer = SimpleNamespace(**alone)  # type: ignore[assignment]
    ids = editor.tokenize(next(iter(data.train_dataloader())))
    with torch.no_grad():
        logits = editor.logits(ids.driver_ids, ids.source_ids, ids.target_ids)
    return F.cross_entropy(logits.flatten(0, 1), ids.target_ids.flatten()).item()
