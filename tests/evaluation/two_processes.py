"""What test_sharing runs in each of several processes."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from e2eve.evaluation.evaluation import Evaluation
from e2eve.evaluation.evaluator import evaluate
from e2eve.evaluation.settings import DrawingSettings
from e2eve.evaluation.validation import ValidationSet
from tests.evaluation.conftest import SIZES, Squares, Thumbnail, build
from tests.factories import tiny_editor


def validation_set(inputs: int) -> ValidationSet:
    return build(**(SIZES | {"num_inputs": inputs}))


def evaluated(inputs: int, batch_size: int, group: Any = None) -> Evaluation:
    torch.manual_seed(0)
    settings = DrawingSettings(num_samples=2, batch_size=batch_size, shown=3)
    return evaluate(
        tiny_editor(),
        validation_set(inputs),
        Thumbnail(),
        Squares(),
        settings=settings,
        group=group,
    )


def main(folder: Path, cases: list[tuple[int, int]]) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder}/meeting",
        rank=int(os.environ["RANK"]),
        world_size=int(os.environ["WORLD_SIZE"]),
    )
    group = distributed.new_group(backend="gloo")
    for number, case in enumerate(cases):
        evaluated(*case, group).save(folder / f"{group.rank()}_{number}")  # type: ignore[union-attr]
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
