"""Images in and out, and the data sets: a folder of photographs, and ToyFaces."""

from e2eve.data.image_folder import ImageFolder, split_folder
from e2eve.data.toyfaces import ToyFaces

__all__ = ["ImageFolder", "ToyFaces", "split_folder"]
