"""Pictures in and out, and the datasets: a folder of photographs, and ToyFaces."""

from e2eve.data.image_folder import ImageFolder
from e2eve.data.toyfaces import ToyFaces

__all__ = ["ImageFolder", "ToyFaces"]
