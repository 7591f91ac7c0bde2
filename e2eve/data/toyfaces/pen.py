"""Antialiased filled shapes and strokes, in units that do not depend on the image's size."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from e2eve.data.toyfaces.outlines import (
    Number,
    Points,
    closed_curve,
    ellipse,
    mirrored,
    open_curve,
    parallel,
    points,
    ribbon,
)
from e2eve.data.toyfaces.palette import RGB

Marks = Sequence[tuple[Any, ...]]
"""What `Pen.draw` draws, one after the other."""

_FRACTION_BITS = 4  # sub-pixel precision of OpenCV's drawing functions
_UNIT = 1 << _FRACTION_BITS


class Pen:
    """Draws on `pixels` in its own coordinates: x to the right, y down, placed by a similarity.

    Attributes:
        pixels: UInt8 "height width 3", shared by all pens made with `moved`.
    """

    def __init__(
        self, pixels: UInt8[np.ndarray, "height width 3"], turn: complex, origin: complex
    ) -> None:
        """`turn` takes the pen's unit x step to pixels, `origin` is its zero in pixels."""
        self.pixels = pixels
        self._turn = turn
        self._origin = origin
        self._matrix = _UNIT * np.array([[turn.real, turn.imag], [-turn.imag, turn.real]])
        # OpenCV counts from the centre of the first pixel; the last half makes casting round.
        self._offset = _UNIT * (np.array([origin.real, origin.imag]) - 0.5) + 0.5

    def moved(
        self, right: Number = 0, down: Number = 0, scale: Number = 1, degrees: Number = 0
    ) -> "Pen":
        """A pen whose origin, unit and axes are moved, scaled and turned clockwise."""
        turn = self._turn * scale * complex(np.exp(1j * np.deg2rad(degrees)))
        return Pen(self.pixels, turn, self._origin + self._turn * complex(right, down))

    def draw(self, marks: Marks, **colours: RGB) -> None:
        """Draws each mark: the name of a method of the pen, and its arguments.

        Args:
            marks: in ("inside", outline, marks) and ("moved", right, down, …, marks) the last
                argument is drawn inside the outline, or by the moved pen.
            colours: stand in for their names among the arguments.
        """
        for method, *given in marks:
            if method == "inside":
                with self.inside(given[0]):
                    self.draw(given[1], **colours)
            elif method == "moved":
                self.moved(*given[:-1]).draw(given[-1], **colours)
            else:
                named = (colours.get(one, one) if isinstance(one, str) else one for one in given)
                getattr(self, method)(*named)

    def gradient(self, top: RGB, bottom: RGB) -> None:
        """Covers everything with colours that change from top to bottom."""
        share = np.linspace(0, 1, len(self.pixels))[:, None, None]
        self.pixels[:] = np.rint(np.array(top) * (1 - share) + np.array(bottom) * share)

    def fill(self, outline: Points, colour: RGB, opacity: Number = 1) -> None:
        """Fills a polygon; `opacity` from 0 to 1."""
        below = self.pixels.copy() if opacity < 1 else None
        self._paint([self._corners(outline)], colour)
        if below is not None:
            cv2.addWeighted(self.pixels, opacity, below, 1 - opacity, 0, self.pixels)

    def blob(self, outline: Points, colour: RGB) -> None:
        """Fills the closed curve through the points."""
        self.fill(closed_curve(outline), colour)

    def twins(self, outline: Points, colour: RGB) -> None:
        """Fills the closed curve through the points, and its mirror image."""
        self.blob(outline, colour)
        self.fill(mirrored(closed_curve(outline)), colour)

    def ellipse(
        self, x: Number, y: Number, radius_x: Number, radius_y: Number, colour: RGB
    ) -> None:
        self.fill(ellipse(x, y, radius_x, radius_y), colour)

    def disc(self, x: Number, y: Number, radius: Number, colour: RGB) -> None:
        self.fill(ellipse(x, y, radius, radius), colour)

    def stroke(
        self, line: Points, colour: RGB, width: Number, last_width: Number | None = None
    ) -> None:
        """Draws a curve through the points, with round ends; its width may change on the way."""
        last = width if last_width is None else last_width
        self.fill(ribbon(open_curve(line), width, last), colour)

    def ring(self, outline: Points, colour: RGB, width: Number) -> None:
        """Draws the edge of a polygon."""
        edge = points(outline)
        rims = [self._corners(parallel(edge, side * width / 2)) for side in (-1, 1)]
        self._paint(rims, colour)

    @contextmanager
    def inside(self, outline: Points) -> Iterator[None]:
        """Whatever is drawn in the block shows only inside the polygon."""
        before = self.pixels.copy()
        yield
        outside = np.full(self.pixels.shape[:2], 255, dtype=np.uint8)
        cv2.fillPoly(outside, [self._corners(outline)], (0,), cv2.LINE_8, _FRACTION_BITS)
        cv2.copyTo(before, outside, self.pixels)

    def _paint(self, polygons: list[np.ndarray], colour: RGB) -> None:
        cv2.fillPoly(self.pixels, polygons, colour, cv2.LINE_AA, _FRACTION_BITS)

    def _corners(self, outline: Points) -> np.ndarray:
        return (points(outline) @ self._matrix + self._offset).astype(np.int32)
