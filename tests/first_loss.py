"""The loss of the first step of a training, as logged and as an editor alone has it."""

import csv
from pathlib import Path
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from omegaconf import DictConfig

from e2eve.editor import Editor
from e2eve.runs import RunFolder
from e2eve.training.tasks import EditorTask


def first_loss(run_dir: Path) -> float:
    """What metrics.csv of a run says."""
    with (run_dir / "metrics.csv").open(newline="") as file:
        return float(next(csv.DictReader(file))["train/loss"])


def loss_on_the_first_batch(editor: Editor, config: DictConfig) -> float:
    """Cross-entropy of an editor on the first simulated edits that `config` trains on."""
    data = EditorTask(config, RunFolder(config.run_dir)).data
    data.trainer = SimpleNamespace(world_size=1, global_rank=0)  # type: ignore[assignment]
    ids = editor.tokenize(next(iter(data.train_dataloader())))
    with torch.no_grad():
        logits = editor.logits(ids.driver_ids, ids.source_ids, ids.target_ids)
    return F.cross_entropy(logits.flatten(0, 1), ids.target_ids.flatten()).item()
