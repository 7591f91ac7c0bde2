"""What an evaluation leaves in its folder and what its validation set was built with, by name.

For those who write it and those who read it, without PyTorch.
"""

import json
from collections.abc import Mapping
from pathlib import Path

METRICS = "metrics.json"  # what was measured with what, and one row of numbers a system
PICTURE = "samples.png"  # samples of the first inputs
SAMPLES = "samples.csv"  # numbers of each system, input and sample
INPUTS = "inputs.csv"  # numbers of each input
SAMPLES_FOLDER = "samples/inputs"  # ID.png: an input's samples side by side, as they were drawn


def check_numbers(folder: Path, asked: Mapping[str, int]) -> None:
    """Of a validation set that a run or sweep has built for itself.

    Args:
        asked: by their names in the group `evaluation`.

    Raises:
        ValueError: where it was built with another one.
    """
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    for name, value in asked.items():
        built = manifest[name.removeprefix("num_")]
        if built != value:
            raise ValueError(
                f"{folder} was built with {name} {built} and evaluation.{name} is {value}: remove "
                "that folder to build it anew."
            )
