"""Antialiased filled shapes and strokes in picture-independent units."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import Float, UInt8

Number = int | float
RGB = tuple[int, int, int]
Points = Sequence[tuple[Number, Number]] | Float[np.ndarray, "points 2"]
_FRACTION_BITS = 4  # sub-pixel precision of OpenCV's drawing functions
_UNIT = 1 << _FRACTION_BITS


def closed_curve(points: Points) -> Float[np.ndarray, "curve 2"]:
    """Closed Catmull-Rom curve through the points; a point given twice is a corner."""
    if isinstance(points, np.ndarray):
        return _closed_basis(len(points)) @ points
    return _known_curve(tuple(points))


def open_curve(points: Points) -> Float[np.ndarray, "curve 2"]:
    """Catmull-Rom curve from the first point to the last."""
    return _open_basis(len(points)) @ np.asarray(points, dtype=float)


def mirrored(points: Points) -> Float[np.ndarray, "points 2"]:
    """The points on the other side of the vertical axis x = 0."""
    return np.asarray(points, dtype=float) * (-1.0, 1.0)


def symmetric(right: Points) -> Float[np.ndarray, "both 2"]:
    """The outline whose right half is given from top to bottom, with both ends on the axis."""
    half = np.asarray(right, dtype=float)
    return np.concatenate([half, mirrored(half[-2:0:-1])])


def ribbon(line: Float[np.ndarray, "line 2"], widths: np.ndarray) -> Float[np.ndarray, "edge 2"]:
    """Outline of a line with these widths at its points and round ends."""
    path = line[:, 0] + 1j * line[:, 1]
    steps = np.empty_like(path)
    steps[1:-1] = path[2:] - path[:-2]
    steps[0], steps[-1] = path[1] - path[0], path[-1] - path[-2]
    normal = 0.5j * widths * steps / np.maximum(np.abs(steps), 1e-9)
    start, end = path[0] - normal[0] * _HALF_TURN, path[-1] + normal[-1] * _HALF_TURN
    edge = np.concatenate([path + normal, end, (path - normal)[::-1], start])
    return edge.view(float).reshape(-1, 2)


def parallel(
    outline: Float[np.ndarray, "points 2"], distance: Number
) -> Float[np.ndarray, "points 2"]:
    """A closed outline moved sideways; outwards when it runs clockwise and `distance` > 0."""
    steps = np.roll(outline, -1, axis=0) - np.roll(outline, 1, axis=0)
    lengths = np.maximum(np.hypot(steps[:, 0], steps[:, 1]), 1e-9)[:, None]
    return outline + distance * steps[:, ::-1] * (1, -1) / lengths


class Pen:
    """Draws on `pixels` in its own coordinates: x to the right, y down, placed by a similarity.

    Attributes:
        pixels: UInt8 "height width 3", shared by all pens made with `moved`.
    """

    def __init__(
        self, pixels: UInt8[np.ndarray, "height width 3"], turn: complex, origin: complex
    ) -> None:
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

    def fill(self, points: Points, colour: RGB, opacity: Number = 1) -> None:
        """Fills a polygon; `opacity` from 0 to 1."""
        corners = self._corners(points)
        if opacity == 1:
            cv2.fillPoly(self.pixels, [corners], colour, cv2.LINE_AA, _FRACTION_BITS)
            return
        below = self.pixels.copy()
        cv2.fillPoly(self.pixels, [corners], colour, cv2.LINE_AA, _FRACTION_BITS)
        cv2.addWeighted(self.pixels, opacity, below, 1 - opacity, 0, self.pixels)

    def blob(self, points: Points, colour: RGB, opacity: Number = 1) -> None:
        """Fills the closed curve through the points."""
        self.fill(closed_curve(points), colour, opacity)

    def twins(self, points: Points, colour: RGB) -> None:
        """Fills the closed curve through the points, and its mirror image."""
        curve = closed_curve(points)
        self.fill(curve, colour)
        self.fill(mirrored(curve), colour)

    def ellipse(
        self,
        x: Number,
        y: Number,
        radius_x: Number,
        radius_y: Number,
        colour: RGB,
        opacity: Number = 1,
    ) -> None:
        self.fill(ellipse(x, y, radius_x, radius_y), colour, opacity)

    def disc(self, x: Number, y: Number, radius: Number, colour: RGB, opacity: Number = 1) -> None:
        self.fill(ellipse(x, y, radius, radius), colour, opacity)

    def stroke(
        self, points: Points, colour: RGB, width: Number, end_width: Number | None = None
    ) -> None:
        """Draws a curve through the points, with round ends, growing to `end_width` if given."""
        line = open_curve(points)
        end = width if end_width is None else end_width
        self.fill(ribbon(line, width + (end - width) * _ramp(len(line))), colour)

    def ring(self, points: Points, colour: RGB, width: Number) -> None:
        """Draws the outline of a polygon."""
        edge = np.asarray(points, dtype=float)
        rims = [self._corners(parallel(edge, side * width / 2)) for side in (-1, 1)]
        cv2.fillPoly(self.pixels, rims, colour, cv2.LINE_AA, _FRACTION_BITS)

    @contextmanager
    def inside(self, points: Points) -> Iterator[None]:
        """Whatever is drawn in the block shows only inside the polygon."""
        before = self.pixels.copy()
        yield
        outside = np.full(self.pixels.shape[:2], 255, dtype=np.uint8)
        cv2.fillPoly(outside, [self._corners(points)], (0,), cv2.LINE_8, _FRACTION_BITS)
        cv2.copyTo(before, outside, self.pixels)

    def _corners(self, points: Points) -> np.ndarray:
        return (np.asarray(points, dtype=float) @ self._matrix + self._offset).astype(np.int32)


def ellipse(
    x: Number, y: Number, radius_x: Number, radius_y: Number
) -> Float[np.ndarray, "points 2"]:
    """Polygon of an axis-aligned ellipse."""
    return _CIRCLE * (radius_x, radius_y) + (x, y)


def mix(first: RGB, second: RGB, share: Number) -> RGB:
    """The colour that has this share, from 0 to 1, of the second."""
    keep = 1 - share
    return (
        round(first[0] * keep + second[0] * share),
        round(first[1] * keep + second[1] * share),
        round(first[2] * keep + second[2] * share),
    )


@lru_cache(maxsize=512)
def _known_curve(points: tuple[tuple[Number, Number], ...]) -> Float[np.ndarray, "curve 2"]:
    """The curves written out in the code are worked out once, and are read-only."""
    curve = _closed_basis(len(points)) @ np.array(points, dtype=float)
    curve.flags.writeable = False
    return curve


@lru_cache
def _ramp(count: int) -> Float[np.ndarray, "count"]:
    return np.linspace(0, 1, count)


@lru_cache
def _closed_basis(count: int) -> Float[np.ndarray, "curve points"]:
    """Weights of the points in the curve, eight steps from each point to the next."""
    basis = np.zeros((count, 8, count))
    for start in range(count):
        for offset, weights in zip(range(-1, 3), _catmull_rom(8), strict=True):
            basis[start, :, (start + offset) % count] += weights
    return basis.reshape(-1, count)


@lru_cache
def _open_basis(count: int) -> Float[np.ndarray, "curve points"]:
    basis = np.zeros((count - 1, 8, count))
    for start in range(count - 1):
        for offset, weights in zip(range(-1, 3), _catmull_rom(8), strict=True):
            basis[start, :, min(max(start + offset, 0), count - 1)] += weights
    return np.concatenate([basis.reshape(-1, count), np.eye(count)[-1:]])


def _catmull_rom(steps: int) -> Float[np.ndarray, "4 steps"]:
    t = np.arange(steps) / steps
    return 0.5 * np.stack(
        [-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2]
    )


_ANGLES = np.linspace(0, 2 * np.pi, 36, endpoint=False)
_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)
_HALF_TURN = np.exp(-1j * np.linspace(0, np.pi, 8)[1:-1])
