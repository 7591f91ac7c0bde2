"""ToyFaces: an endless, labelled dataset of cartoon faces that needs no download.

A face is drawn from back to front: background, hair behind the head, body, head, hair, accessories.
"""

import mmap
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8
from torch.utils.data import Dataset

from e2eve.data.toyfaces import accessories, hair, head
from e2eve.data.toyfaces.attributes import FaceAttributes, sample_attributes
from e2eve.data.toyfaces.palette import BACKGROUND, CLOTH, SKIN, lit, mix, shaded, skin_shade
from e2eve.data.toyfaces.pen import Marks, Pen, closed_curve, mirrored, points, symmetric
from e2eve.limits import Positive, Seed

_OVERSAMPLING = 2  # on top of OpenCV's own antialiasing
_LENGTHS = {"train": 50_000, "val": 1_000, "test": 1_000}


class ToyFaces(Dataset):
    """Faces drawn on request: item i depends on the seed, the split and i only.

    Args:
        split: "train", "val" or "test"; their faces are drawn from separate random streams.
        size: side of the images, 32 to 512 pixels; the same face at every size.
        length: number of faces; 50 000, 1 000 and 1 000 by default.
        seed: another seed, 0 or more, gives other faces.
        keep: what was drawn once stays in memory, size² · 3 bytes a face, shared with processes
            that are forked off, such as those of loaders: drawing costs a quarter of a training
            step of a small tokenizer.

    Raises:
        ValueError: if an argument is out of its range.
    """

    def __init__(
        self,
        split: str = "train",
        size: int = 64,
        length: Positive | None = None,
        seed: Seed = 0,
        keep: bool = False,
    ) -> None:
        if split not in _LENGTHS:
            raise ValueError(f'split is "{split}": use one of {", ".join(_LENGTHS)}.')
        check_size(size)
        if length is not None and length < 1:
            raise ValueError(f"length is {length}: ask for at least 1 face.")
        if seed < 0:
            raise ValueError(f"seed is {seed}: use 0 or more.")
        self.split = split
        self.size = size
        self.seed = seed
        self._length = _LENGTHS[split] if length is None else length
        self._kept = _shared(self._length, size) if keep else None

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> UInt8[np.ndarray, "size size 3"]:
        if self._kept is None:
            return draw_face(self.attributes(index), self.size)
        faces, drawn = self._kept
        if not drawn[self._checked(index)]:  # twice at worst, where processes meet
            faces[index] = draw_face(self.attributes(index), self.size)
            drawn[index] = True
        return faces[index].copy()

    def __getstate__(self) -> dict[str, Any]:
        # Shared memory is inherited, not sent: who gets a copy starts with none.
        return vars(self) | {"_kept": self._kept and _shared(self._length, self.size)}

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


def _shared(length: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Faces and whether they are drawn, in memory that is taken when it is written to."""
    faces, drawn = (mmap.mmap(-1, length * each) for each in (size * size * 3, 1))
    shape = (length, size, size, 3)
    return np.frombuffer(faces, np.uint8).reshape(shape), np.frombuffer(drawn, np.bool_)


def draw_face(attributes: FaceAttributes, size: int) -> UInt8[np.ndarray, "size size 3"]:
    """Draws the face as an RGB image of `size` × `size` pixels, 32 to 512.

    Raises:
        ValueError: if the size is out of range.
    """
    check_size(size)
    side = size * _OVERSAMPLING
    canvas = Pen(np.empty((side, side, 3), np.uint8), complex(side / 100), 0j)
    draw_background(canvas, attributes)
    body = canvas.moved(attributes.centre_x, attributes.centre_y, attributes.head_scale)
    tilted = body.moved(degrees=attributes.tilt)
    for draw in _LAYERS:
        draw(body if draw is draw_body else tilted, attributes)
    return cv2.resize(canvas.pixels, (size, size), interpolation=cv2.INTER_AREA)


def check_size(size: int) -> None:
    if not 32 <= size <= 512:
        raise ValueError(f"size is {size}: use 32 to 512 pixels, at which toy faces are drawn.")


# The background is drawn in hundredths of the image, from its top left corner.
_ALL = "-1,-1 101,-1 101,101 -1,101"


def draw_background(pen: Pen, face: FaceAttributes) -> None:
    light, deep = BACKGROUND[face.background_colour]
    pen.draw(
        [("fill", _ALL, light), *_BACKGROUNDS[face.background]],
        light=light,
        deep=deep,
        top=lit(light, 0.4),
        bottom=shaded(deep, 0.08),
        sun=lit(light, 0.6),
        hill=shaded(deep, 0.12),
        cloud=lit(light, 0.5),
        far=mix(light, deep, 0.35),
        middle=mix(light, deep, 0.7),
    )


def _ray(angle: float) -> list[tuple[float, float]]:
    ends = np.array([angle, angle + np.pi / 14])
    (x, right), (y, low) = 50 + 90 * np.cos(ends), 50 + 90 * np.sin(ends)
    return [(50, 50), (x, y), (right, low)]


def _wave(row: int) -> np.ndarray:
    x = np.linspace(-5, 105, 40)
    top = np.stack([x, 30 + 26 * row + 4 * np.sin(x / 9 + 2 * row)], axis=1)
    return np.concatenate([top, points("105,105 -5,105")])


_BACKGROUNDS: dict[str, Marks] = {
    "plain": [],
    "gradient": [("gradient", "top", "bottom")],
    "halo": [("fill", _ALL, "deep"), ("disc", 50, 50, 43, "light")],
    "stripes": [
        ("fill", [(x, 100), (x + 12, 100), (x + 112, 0), (x + 100, 0)], "deep")
        for x in range(-96, 100, 24)
    ],
    "dots": [
        ("disc", 20 * column + 10 * (row % 2), 20 * row, 3.6, "deep")
        for row in range(6)
        for column in range(6)
    ],
    "sunburst": [("fill", _ray(angle), "deep") for angle in np.arange(0.1, 6.3, np.pi / 7)],
    "hills": [
        ("disc", 82, 20, 9, "sun"),
        ("ellipse", 18, 96, 52, 42, "deep"),
        ("ellipse", 88, 104, 46, 38, "hill"),
    ],
    "checks": [
        ("fill", [(x, y), (x + 16.7, y), (x + 16.7, y + 16.7), (x, y + 16.7)], "deep")
        for row in range(6)
        for column in range(row % 2, 6, 2)
        for x, y in [(column * 50 / 3, row * 50 / 3)]
    ],
    "clouds": [
        ("fill", _ALL, "deep"),
        *(
            ("moved", x, y, size, [
                ("disc", -7, 1, 6, "cloud"),
                ("disc", 1, -3, 8, "cloud"),
                ("disc", 9, 1, 6, "cloud"),
                ("ellipse", 0, 4, 13, 4, "cloud"),
            ])
            for x, y, size in ((14, 24, 1.0), (88, 14, 0.8), (92, 60, 1.1), (6, 68, 0.8))
        ),
    ],
    "waves": [("fill", _wave(row), colour) for row, colour in enumerate(("far", "middle", "deep"))],
}  # fmt: skip

# The body is drawn upright, from the middle of the head; the chin is near y = 30.
_NECK = symmetric("0,16 9.5,16 9.5,36 12.5,38.5 6.5,44 0,46")
_SHOULDERS = closed_curve(symmetric("0,37.5 11,37.5 22,40.5 34,46 39.5,58 41,80 0,80"))


def draw_body(pen: Pen, face: FaceAttributes) -> None:
    """Neck and clothes."""
    cloth, accent, skin = CLOTH[face.clothes_colour], CLOTH[face.accent_colour], SKIN[face.skin]
    dark = ("fill", "18,30 60,30 60,90 25,90 26,56", shaded((0, 0, 0), 0.6), 0.13)
    pen.draw(
        [
            ("fill", _SHOULDERS, "cloth"),
            ("inside", _SHOULDERS, [*_PATTERNS.get(face.clothes, ()), dark]),
            ("fill", _NECK, skin),
            ("blob", "-9.8,22 0,20 9.8,22 9.8,37 4,36 -4,33", skin_shade(skin)),
            *_COLLARS[face.clothes],
        ],
        cloth=cloth,
        accent=accent,
        seam=shaded(cloth, 0.25),
        fold=shaded(cloth, 0.22),
        light_10=lit(cloth, 0.1),
        light_20=lit(cloth, 0.2),
        light_22=lit(cloth, 0.22),
        light_30=lit(cloth, 0.3),
        light_45=lit(cloth, 0.45),
        dark_accent=shaded(accent),
        end=shaded(accent, 0.18),
    )


_SPOTS = ((-30, 50), (-20, 44), (-18, 55), (-7, 50), (5, 55), (7, 46), (18, 51), (30, 55))

_PATTERNS: dict[str, Marks] = {
    "stripes": [
        ("fill", [(-50, y), (50, y), (50, y + 4), (-50, y + 4)], "accent") for y in (43, 51, 59)
    ],
    "dots": [("disc", x, y, 2.3, "accent") for x, y in _SPOTS],
    "dungarees": [
        *(
            mark
            for x in (-1, 1)
            for mark in (
                ("fill", [(x * 17, 36), (x * 23, 36), (x * 22, 70), (x * 15, 70)], "accent"),
                ("disc", x * 19, 53, 1.8, (250, 210, 100)),
            )
        ),
        ("fill", "-20,54 20,54 20,80 -20,80", "accent"),
    ],
}

_WING = points("0,47 -5,54 -15,42 -11,34.5")
_ROLL = closed_curve("-11,33 -18,35 -20,42 -10,49 0,52 0,46 -8,42")
_SHIRT_WING = points("-11,35.5 -1,43.4 -7.5,48 -13.5,40")
_LAPEL = points("-12.5,37.5 -18,42 -15,50 -3,66")
_CREW: Marks = [("stroke", "-12.5,38 -7,44 0,46 7,44 12.5,38", "seam", 3)]

_COLLARS: dict[str, Marks] = {
    "tee": _CREW,
    "stripes": _CREW,
    "shirt": [
        ("fill", _WING, "light_45"),
        ("fill", mirrored(_WING), "light_30"),
        *(("disc", 0, y, 1.1, "accent") for y in (54, 61)),
    ],
    "vneck": [
        ("stroke", "-12.5,38 -6,44.6 0,49", "accent", 3.6),
        ("stroke", "12.5,38 6,44.6 0,49", "accent", 3.6),
    ],
    "hoodie": [
        ("fill", _ROLL, "light_22"),
        ("fill", mirrored(_ROLL), "light_10"),
        *(("stroke", [(x * 5, 49), (x * 5.5, 58)], (252, 248, 240), 1.5) for x in (-1, 1)),
    ],
    "turtleneck": [
        ("blob", "-11,32 0,34 11,32 13,42 0,46.5 -13,42", "light_20"),
        ("stroke", "-11.5,39 0,42 11.5,39", "fold", 1.4),
    ],
    "suit": [
        ("fill", "-12.5,38 0,43.5 12.5,38 6,64 -6,64", (240, 232, 226)),
        ("fill", "-2.2,46 2.2,46 4,64 -4,64", "accent"),
        ("fill", "-3.4,42.4 3.4,42.4 2.2,47 -2.2,47", "dark_accent"),
        ("fill", _SHIRT_WING, (255, 253, 248)),
        ("fill", mirrored(_SHIRT_WING), (248, 240, 236)),
        ("fill", _LAPEL, "light_20"),
        ("fill", mirrored(_LAPEL), "light_10"),
    ],
    "dungarees": _CREW,
    "dots": [("stroke", "-12.5,38 -7,44 0,46 7,44 12.5,38", "accent", 3.4)],
    "scarf": [
        ("blob", "4,40 14,40 16,62 6,62", "end"),
        ("blob", "-15,34 0,37 15,34 17,42 0,48 -17,42", "accent"),
        ("stroke", "-14,39 -4,42.5 8,42", "dark_accent", 1.4),
    ],
}

# What a person is made of, from back to front.
_LAYERS = (
    hair.draw_back_hair,
    draw_body,  # which is not tilted with the head
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
