"""What test_sharing runs in each of several processes."""

import json
import os
import sys
from pathlib import Path

import torch
from torch import distributed

from e2eve.evaluation.evaluation import Evaluation
from e2eve.evaluation.evaluator import evaluate_together
from e2eve.evaluation.sharing import ALONE, Share
from e2eve.evaluation.systems import EvaluationSettings
from e2eve.evaluation.validation_set import ValidationSet
from tests.evaluation.conftest import SIZES, Squares, Thumbnail, build
from tests.factories import tiny_editor


def validation_set(inputs: int) -> ValidationSet:
    return build(**(SIZES | {"num_inputs": inputs}))


def evaluated(inputs: int, batch_size: int, share: Share = ALONE) -> Evaluation | None:
    torch.manual_seed(0)
    settings = EvaluationSettings(num_samples=2, batch_size=batch_size, shown=3)
    return evaluate_together(
        tiny_editor(),
        validation_set(inputs),
        Thumbnail(),
        Squares(),
        settings=settings,
        share=share,
    )


def main(folder: Path, cases: list[tuple[int, int]]) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder}/meeting",
        rank=int(os.environ["RANK"]),
        world_size=int(os.environ["WORLD_SIZE"]),
    )
    share = Share.of_this_process()
    for number, case in enumerate(cases):
        found = evaluated(*case, share)
        if found is not None:
            found.save(folder / f"{share.rank}_{number}")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
