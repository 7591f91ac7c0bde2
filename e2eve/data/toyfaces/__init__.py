"""ToyFaces: cartoon faces drawn from an index, the dataset that is always there."""

from e2eve.data.toyfaces.attributes import CHOICES, RANGES, FaceAttributes, sample_attributes
from e2eve.data.toyfaces.dataset import ToyFaces, draw_face

__all__ = [
    "CHOICES",
    "RANGES",
    "FaceAttributes",
    "ToyFaces",
    "draw_face",
    "sample_attributes",
]
