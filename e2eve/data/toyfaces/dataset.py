"""ToyFaces: an endless, labelled dataset of cartoon faces that needs no download."""

import cv2
import numpy as np
from jaxtyping import UInt8
from torch.utils.data import Dataset

from e2eve.data.toyfaces import accessories, hair, head, scene
from e2eve.data.toyfaces.attributes import FaceAttributes, sample_attributes
from e2eve.data.toyfaces.pen import Pen

_OVERSAMPLING = 2  # on top of OpenCV's own antialiasing
_LENGTHS = {"train": 50_000, "val": 1_000, "test": 1_000}


class ToyFaces(Dataset):
    """Faces drawn on request: item i depends on the seed, the split and i only.

    Args:
        split: "train", "val" or "test"; their faces are drawn from separate random streams.
        size: side of the images, 32 to 512 pixels; the same face at every size.
        length: number of faces; 50 000, 1 000 and 1 000 by default.
        seed: another seed, 0 or more, gives other faces.

    Raises:
        ValueError: if an argument is out of its range.
    """

    def __init__(
        self, split: str = "train", size: int = 64, length: int | None = None, seed: int = 0
    ) -> None:
        if split not in _LENGTHS:
            raise ValueError(f"split={split!r} is unknown, use one of {', '.join(_LENGTHS)}.")
        check_size(size)
        if length is not None and length < 1:
            raise ValueError(f"length={length} leaves no face, ask for at least 1.")
        if seed < 0:
            raise ValueError(f"seed={seed} is negative, use 0 or more.")
        self.split = split
        self.size = size
        self.seed = seed
        self._length = _LENGTHS[split] if length is None else length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> UInt8[np.ndarray, "size size 3"]:
        return draw_face(self.attributes(index), self.size)

    def attributes(self, index: int) -> FaceAttributes:
        """What face `index` is made of."""
        stream = (self.seed, tuple(_LENGTHS).index(self.split), self._checked(index))
        return sample_attributes(np.random.default_rng(stream))

    def name(self, index: int) -> str:
        """For example "train-00042"."""
        return f"{self.split}-{self._checked(index):05d}"

    def _checked(self, index: int) -> int:
        if not 0 <= index < self._length:
            raise IndexError(
                f"ToyFaces {self.split} has no item {index}, use 0 to {self._length - 1}."
            )
        return int(index)


def draw_face(attributes: FaceAttributes, size: int) -> UInt8[np.ndarray, "size size 3"]:
    """Draws the face as an RGB image of `size` × `size` pixels, 32 to 512.

    Raises:
        ValueError: if the size is out of range.
    """
    check_size(size)
    side = size * _OVERSAMPLING
    canvas = Pen(np.empty((side, side, 3), np.uint8), complex(side / 100), 0j)
    scene.draw_background(canvas, attributes)
    body = canvas.moved(attributes.centre_x, attributes.centre_y, attributes.head_scale)
    tilted = body.moved(degrees=attributes.tilt)
    for draw in _LAYERS:
        draw(body if draw is scene.draw_body else tilted, attributes)
    return cv2.resize(canvas.pixels, (size, size), interpolation=cv2.INTER_AREA)


def check_size(size: int) -> None:
    if not 32 <= size <= 512:
        raise ValueError(f"size={size} is out of range, toy faces are drawn at 32 to 512 pixels.")


_LAYERS = (
    hair.draw_back_hair,
    scene.draw_body,  # which is not tilted with the head
    head.draw_ears,
    head.draw_skull,
    hair.draw_shadows,
    head.draw_cheeks,
    head.draw_beard,
    head.draw_mouth,
    head.draw_moustache,
    head.draw_nose,
    head.draw_eyes,
    head.draw_brows,
    accessories.draw_earrings,
    hair.draw_front_hair,
    accessories.draw_glasses,
    accessories.draw_hat,
)
"""What a person is made of, from back to front."""
