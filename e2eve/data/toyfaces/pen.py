"""Outlines, and the pen that draws them antialiased, in units that follow no image size.

Outlines are written as text, smoothed, mirrored, thickened. All arrays hold (x, y) in rows.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from e2eve.data.toyfaces.palette import RGB, Number

Outline = Float[np.ndarray, "_ 2"]
Points = str | Sequence[tuple[Number, Number]] | Outline
"""Text like "0,-32 13,-30 23,-19" (as in SVG), a list of pairs, or an array."""

Marks = Sequence[tuple[Any, ...]]
"""What `Pen.draw` draws, one after the other."""

_FRACTION_BITS = 4  # sub-pixel precision of OpenCV's drawing functions
_UNIT = 1 << _FRACTION_BITS
_STEPS = 8  # of a curve, from each of its points to the next


def points(given: Points) -> Outline:
    """The points as an array; text is parsed once, into a read-only array."""
    return _parsed(given) if isinstance(given, str) else np.asarray(given, dtype=float)


def closed_curve(given: Points) -> Outline:
    """Closed Catmull-Rom curve through the points; a point given twice is a corner."""
    if isinstance(given, str):
        return _parsed_curve(given)
    corners = points(given)
    return _basis(len(corners), closed=True) @ corners


def open_curve(given: Points) -> Outline:
    """Catmull-Rom curve from the first point to the last."""
    corners = points(given)
    return _basis(len(corners), closed=False) @ corners


def mirrored(given: Points) -> Outline:
    """The points on the other side of the vertical axis x = 0."""
    return points(given) * (-1.0, 1.0)


def symmetric(right: Points) -> Outline:
    """The outline whose right half is given from top to bottom, with both ends on the axis."""
    half = points(right)
    return np.concatenate([half, mirrored(half[-2:0:-1])])


def ellipse(x: Number, y: Number, radius_x: Number, radius_y: Number) -> Outline:
    """Polygon of an ellipse along the axes."""
    return _CIRCLE * (radius_x, radius_y) + (x, y)


def ribbon(line: Outline, first_width: Number, last_width: Number) -> Outline:
    """Outline of a line with round ends, whose width changes evenly from point to point."""
    path = line[:, 0] + 1j * line[:, 1]
    steps = np.empty_like(path)
    steps[1:-1] = path[2:] - path[:-2]
    steps[0], steps[-1] = path[1] - path[0], path[-1] - path[-2]
    widths = first_width + (last_width - first_width) * np.linspace(0, 1, len(path))
    normal = 0.5j * widths * steps / np.maximum(np.abs(steps), 1e-9)
    start, end = path[0] - normal[0] * _HALF_TURN, path[-1] + normal[-1] * _HALF_TURN
    edge = np.concatenate([path + normal, end, (path - normal)[::-1], start])
    return edge.view(float).reshape(-1, 2)


def parallel(outline: Outline, distance: Number) -> Outline:
    """A closed outline moved sideways; outwards when it runs clockwise and `distance` > 0."""
    steps = np.roll(outline, -1, axis=0) - np.roll(outline, 1, axis=0)
    lengths = np.maximum(np.hypot(steps[:, 0], steps[:, 1]), 1e-9)[:, None]
    return outline + distance * steps[:, ::-1] * (1, -1) / lengths


@lru_cache(maxsize=1024)
def _parsed(text: str) -> Outline:
    return _frozen(np.array([pair.split(",") for pair in text.split()], dtype=float))


@lru_cache(maxsize=1024)
def _parsed_curve(text: str) -> Outline:
    return _frozen(closed_curve(_parsed(text)))


def _frozen(array: Outline) -> Outline:
    array.flags.writeable = False
    return array


@lru_cache
def _basis(count: int, closed: bool) -> Float[np.ndarray, "curve points"]:
    """Weights of the points in each point of the curve; an open one's ends count twice."""
    t = np.arange(_STEPS) / _STEPS
    catmull_rom = 0.5 * np.stack(
        [-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2]
    )
    basis = np.zeros((count, _STEPS, count))
    for start in range(count):
        for place, weights in zip(range(start - 1, start + 3), catmull_rom, strict=True):
            basis[start, :, place % count if closed else min(max(place, 0), count - 1)] += weights
    curve = basis.reshape(-1, count)
    return curve if closed else curve[: 1 - _STEPS]  # which ends with the last point itself


_ANGLES = np.linspace(0, 2 * np.pi, 36, endpoint=False)
_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)
_HALF_TURN = np.exp(-1j * np.linspace(0, np.pi, 8)[1:-1])


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
