"""Outlines: written as text, smoothed, mirrored, thickened. All arrays hold (x, y) in rows."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from jaxtyping import Float

Number = int | float
Outline = Float[np.ndarray, "_ 2"]
Points = str | Sequence[tuple[Number, Number]] | Outline
"""Text like "0,-32 13,-30 23,-19" (as in SVG), a list of pairs, or an array."""

_STEPS = 8  # of a curve, from each of its points to the next


def points(given: Points) -> Outline:
    """The points as an array; text is parsed once, into a read-only array."""
    if isinstance(given, str):
        return _parsed(given)
    return np.asarray(given, dtype=float)


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
