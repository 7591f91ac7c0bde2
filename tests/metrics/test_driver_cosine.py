"""Cosine of driver and region, with features that are the pixels themselves."""

from types import SimpleNamespace

import pytest
import torch

from e2eve.features import FeatureExtractor
from e2eve.geometry import Box
from e2eve.metrics.base import EvaluatedBatch
from e2eve.metrics.driver_cosine import DriverCosine

BOX = Box(2, 4, 6, 8)


class Corner(FeatureExtractor):
    """Pixels as they are; `names` in place of its attributes."""

    name, frechet_name = "corner", "Fréchet distance (corner)"

    def __init__(self, **names: str) -> None:
        super().__init__()
        for attribute, value in names.items():
            setattr(self, attribute, value)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1)


def batch(extractor: FeatureExtractor, inputs: int = 2, samples: int = 3) -> EvaluatedBatch:
    """Sample 0 of each input shows its driver in the region, sample 1 the negative of it."""
    draw = torch.Generator().manual_seed(0)
    drivers = torch.rand(inputs, 3, 4, 4, generator=draw) * 2 - 1
    edits = torch.rand(inputs, samples, 3, 8, 8, generator=draw) * 2 - 1
    edits[:, 0, :, BOX.top : BOX.bottom, BOX.left : BOX.right] = drivers
    edits[:, 1, :, BOX.top : BOX.bottom, BOX.left : BOX.right] = -drivers
    made = object.__new__(EvaluatedBatch)
    made_inputs = SimpleNamespace(rows=range(inputs), boxes=[BOX] * inputs, drivers=drivers)
    networks = SimpleNamespace(extractor=extractor)
    vars(made).update(
        edits=edits, inputs=made_inputs, networks=networks, references=None, shared={}
    )
    return made


def test_is_one_for_the_driver_itself_and_minus_one_for_its_negative():
    values = DriverCosine().measure(batch(Corner()))
    torch.testing.assert_close(values[:, :2], torch.tensor([[1.0, -1.0]] * 2))
    assert values[:, 2].abs().max() < 0.9


@pytest.mark.parametrize(("name", "shown"), [("", False), ("CLIP-I", True)])
def test_is_called_by_the_extractor_where_it_has_a_name(name, shown):
    metric = DriverCosine()
    for _ in range(2):
        metric.update(batch(Corner(cosine_name=name)))
    assert (metric.info.label, metric.info.shown) == (name or "Cosine", shown)
