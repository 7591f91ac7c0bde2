"""What an evaluation draws and what it draws it for: the keys of the group `evaluation`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from e2eve.limits import NonNegative, Positive, Samples, Seed, Text


@dataclass(frozen=True)
class DrawingSettings:
    """Which edits are drawn, shown and saved.

    Args:
        num_samples: edits drawn for an input.
        seed: input n is drawn with seed + n.
        batch_size: inputs sampled together; changes nothing but time and memory.
        shown: inputs in the image of samples, the first ones of the validation set.
        saved: inputs whose samples are saved as files, the first ones too; 0 for none.
    """

    num_samples: Samples = 4
    seed: Seed = 0
    batch_size: Samples = 16
    shown: Positive = 8
    saved: NonNegative = 24


@dataclass(frozen=True)
class EvaluationSettings(DrawingSettings):
    """The group `evaluation`; counts and networks are those of a validation set that is built.

    Args:
        enabled: whether a training run is evaluated.
        every_n_epochs: also during the run; None: at its end only.
        validation_set: its folder; None builds one for the run.
        num_references: real images for the Fréchet and kernel distances.
        extractor, perceptual: names of networks in `e2eve.features`.
        extractor_weights, perceptual_weights: paths; None: packaged, or downloaded.
    """

    enabled: bool = True
    every_n_epochs: Positive | None = None
    validation_set: Text | None = None
    num_inputs: Positive = 100
    num_distractors: Positive = 100
    num_references: Positive = 500
    extractor: Text = "efficientnet_lite2"
    extractor_weights: Text | None = None
    perceptual: Text = "efficientnet_lite2"
    perceptual_weights: Text | None = None
    batch_size: Samples = 25


def check_counts(
    available: int,
    num_inputs: int,
    num_distractors: int,
    num_references: int = 0,
    per_input: int = 1,
) -> None:
    """Checks that there are images enough for a validation set; 0 references: as many as there are.

    Args:
        per_input: images that no other input uses.

    Raises:
        ValueError: which names the setting that asks for more, or for too little.
    """
    # The source's and the driver's own image are no distractors.
    needed = {
        "num_inputs": (num_inputs, (per_input - 1) * num_inputs),
        "num_references": (num_references, 0),
        "num_distractors": (num_distractors, 2),
    }
    for name, (count, more) in needed.items():
        if count + more > available:
            beside = f", which takes {more} images more," if more else ""
            raise ValueError(
                f"evaluation.{name} is {count}{beside} and the data set has {available} images: "
                "lower it or add some."
            )
    if num_inputs < 2 or num_references == 1 or num_distractors < 1:
        raise ValueError(
            f"A validation set of {num_inputs} inputs, {num_references} references and "
            f"{num_distractors} distractors is too small, take at least 2, 2 and 1."
        )


def check_validation_set(folder: str | Path) -> None:
    """Raises ValueError when the folder is not there, or holds no validation set."""
    if not Path(folder, "manifest.json").is_file():
        lacks = "holds no manifest.json" if Path(folder).is_dir() else "does not exist"
        raise ValueError(
            f"{folder} {lacks}: give a folder that python -m e2eve.validation_set has written."
        )


def check_numbers(folder: str | Path, asked: Mapping[str, int]) -> None:
    """Checks a validation set that a run or sweep has built for itself.

    Args:
        asked: numbers by their names in the group `evaluation`.

    Raises:
        ValueError: where it was built with another one.
    """
    manifest = json.loads(Path(folder, "manifest.json").read_text(encoding="utf-8"))
    for name, value in asked.items():
        built = manifest[name.removeprefix("num_")]
        if built != value:
            raise ValueError(
                f"{folder} was built with {name} {built} and evaluation.{name} is {value}: remove "
                "that folder to build it anew."
            )
