"""Small pieces that evaluation tests share: noise, a trivial extractor, a validation set."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from e2eve.edit_simulation import Block, CentreView, DriverCrop, EditSimulation
from e2eve.evaluation.validation import ValidationSet
from e2eve.evaluation.validation_building import build_validation_set
from e2eve.features import FeatureExtractor, PerceptualDistance


class Noise:
    """Images of coloured patches, told apart by any of them."""

    def __init__(self, length: int = 12) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> np.ndarray:
        rng = np.random.default_rng(index)
        return rng.integers(0, 256, (8, 8, 3), dtype=np.uint8).repeat(5, 0).repeat(5, 1)

    def name(self, index: int) -> str:
        return f"noise {index}, “é”.png"


class Thumbnail(FeatureExtractor):
    """The image shrunk to 3 by 3 pixels."""

    name, dim, frechet_name = "thumbnail", 27, "Fréchet distance (thumbnail)"
    scale: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(()))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.scale * functional.adaptive_avg_pool2d(images, 3).flatten(1)


class Squares(PerceptualDistance):
    """Squared differences of pixels."""

    name = "squares"
    scale: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(()))

    def maps(self, images: torch.Tensor) -> list[torch.Tensor]:
        return [self.scale * images]


SIMULATION = EditSimulation(32, 16, CentreView(), Block(), DriverCrop())
SIZES: dict[str, Any] = {"num_inputs": 5, "num_references": 6, "num_distractors": 4}


def build(seed: int = 0, simulation: EditSimulation = SIMULATION, **options: Any) -> ValidationSet:
    options = SIZES | {"seed": seed, "images": Noise()} | options
    return build_validation_set(simulation=simulation, extractor=Thumbnail(), **options)


@pytest.fixture(scope="session")
def validation() -> ValidationSet:
    return build()


@pytest.fixture
def build_validation():
    return build


@pytest.fixture
def noise() -> Noise:
    return Noise()


@pytest.fixture
def simulation() -> EditSimulation:
    return SIMULATION


@pytest.fixture
def extractor() -> Thumbnail:
    return Thumbnail()


@pytest.fixture
def perceptual() -> Squares:
    return Squares()


@pytest.fixture(scope="module")
def module_extractor() -> Thumbnail:
    return Thumbnail()


@pytest.fixture(scope="module")
def module_perceptual() -> Squares:
    return Squares()
