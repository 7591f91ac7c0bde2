"""What an evaluation draws and what it draws it for: the keys of the group `evaluation`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from e2eve.config import NonNegative, Positive


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

    num_samples: Positive = 4
    seed: int = 0
    batch_size: Positive = 16
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
    validation_set: str | None = None
    num_inputs: Positive = 100
    num_distractors: Positive = 100
    num_references: Positive = 500
    extractor: str = "efficientnet_lite2"
    extractor_weights: str | None = None
    perceptual: str = "efficientnet_lite2"
    perceptual_weights: str | None = None
    batch_size: Positive = 25


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
