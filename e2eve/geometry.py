"""Boxes: the one rectangle type of the project, with named edges."""

import sys
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Shaped

from e2eve.checks import whole_number


@dataclass(frozen=True, slots=True)
class Box:
    """Axis-aligned rectangle in pixels; `left` and `top` are inside, `right` and `bottom` outside.

    Raises:
        ValueError: when it is empty or inside out, or an edge is no whole number.
    """

    left: int
    top: int
    right: int
    bottom: int

    def __post_init__(self) -> None:
        for edge in ("left", "top", "right", "bottom"):
            whole = whole_number(edge, getattr(self, edge), "give whole pixels", -sys.maxsize)
            object.__setattr__(self, edge, whole)
        if self.right <= self.left or self.bottom <= self.top:
            raise ValueError(
                f"{self} is empty: right must exceed left and bottom must exceed top, in pixels."
            )

    @classmethod
    def around(cls, mask: Bool[np.ndarray, "height width"]) -> "Box":
        """The smallest box that holds every True pixel of the mask."""
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if not rows.size:
            raise ValueError("The mask marks no pixel, paint at least one white pixel to edit.")
        return cls(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def area(self) -> int:
        return self.width * self.height

    @property
    def centre(self) -> tuple[float, float]:
        """(x, y) of the middle, in pixels."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    def contains(self, other: "Box") -> bool:
        return (
            self.left <= other.left
            and self.top <= other.top
            and other.right <= self.right
            and other.bottom <= self.bottom
        )

    def shifted(self, right: int, down: int) -> "Box":
        return Box(self.left + right, self.top + down, self.right + right, self.bottom + down)

    def clipped(self, width: int, height: int) -> "Box":
        """The part inside an image of `width` × `height` pixels; an error where there is none."""
        return Box(
            max(self.left, 0), max(self.top, 0), min(self.right, width), min(self.bottom, height)
        )

    def scaled(self, horizontal: float, vertical: float) -> "Box":
        """The box in an image resized by these factors; never less than a pixel wide."""
        left, top = round(self.left * horizontal), round(self.top * vertical)
        right = max(left + 1, round(self.right * horizontal))
        return Box(left, top, right, max(top + 1, round(self.bottom * vertical)))

    @property
    def square(self) -> "Box":
        """The square around it, as wide as its longer side; it may reach out of an image."""
        side = max(self.width, self.height)
        left = self.left - (side - self.width) // 2
        top = self.top - (side - self.height) // 2
        return Box(left, top, left + side, top + side)

    def mask(self, width: int, height: int) -> Bool[np.ndarray, "height width"]:
        """True inside the box, in an image of `width` × `height` pixels."""
        mask = np.zeros((height, width), dtype=bool)
        mask[self.top : self.bottom, self.left : self.right] = True
        return mask

    def crop(
        self, array: Shaped[np.ndarray, "height width *channels"]
    ) -> Shaped[np.ndarray, "box_height box_width *channels"]:
        """What the box holds of an image, mask or map (a view)."""
        return array[self.top : self.bottom, self.left : self.right]

    def padded_crop(
        self, image: Shaped[np.ndarray, "height width channels"]
    ) -> Shaped[np.ndarray, "side side channels"]:
        """What the box holds of an image, padded to `square` by repeating its border pixels."""
        square = self.square
        rows = (self.top - square.top, square.bottom - self.bottom)
        columns = (self.left - square.left, square.right - self.right)
        return np.pad(self.crop(image), (rows, columns, (0, 0)), "edge")
