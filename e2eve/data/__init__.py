"""Images in and out, and the data sets: folders, archives, and ToyFaces."""

from e2eve.data.archives import split_lmdb, split_tar_shards
from e2eve.data.image_folder import ImageFolder, split_folder
from e2eve.data.toyfaces import ToyFaces

__all__ = ["ImageFolder", "ToyFaces", "split_folder", "split_lmdb", "split_tar_shards"]
