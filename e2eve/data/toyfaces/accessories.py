"""Glasses, hats and earrings, in head coordinates."""

from collections.abc import Callable

import numpy as np

from e2eve.data.toyfaces.attributes import FaceAttributes
from e2eve.data.toyfaces.curves import Number, Outline, closed_curve, ellipse, points, symmetric
from e2eve.data.toyfaces.palette import CLOTH, GOLD, INK, RGB, WHITE, lit, mix, shaded
from e2eve.data.toyfaces.pen import Pen

COVERING = ("beanie", "cap", "fedora", "top_hat", "straw", "beret")
"""The hats that hide the hair on the skull."""


def draw_glasses(pen: Pen, face: FaceAttributes) -> None:
    if face.glasses != "none":
        _GLASSES[face.glasses](pen.moved(0, -0.5), face.eye_distance, CLOTH[face.glasses_colour])


def _bridge(pen: Pen, inner: Number, outer: Number, colour: RGB) -> None:
    pen.stroke([(-inner, -1.5), (0, -3), (inner, -1.5)], colour, 2)
    for side in (-1, 1):
        pen.stroke([(side * outer, -2), (side * 26, -3)], colour, 2)


def _framed(pen: Pen, lens: Outline, x: Number, colour: RGB, width: Number) -> None:
    """Two clear lenses with a highlight; `lens` is the right one around its own centre."""
    reach = float(lens[:, 0].max())
    _bridge(pen, x - reach, x + reach, colour)
    for side in (-1, 1):
        glass = pen.moved(side * x, 0)
        shape = lens * (side, 1)
        glass.fill(shape, WHITE, 0.22)
        glass.ring(shape, colour, width)


def _round_glasses(pen: Pen, x: Number, colour: RGB) -> None:
    _framed(pen, ellipse(0, 0, 9.6, 9.6), x, colour, 2.3)


def _square_glasses(pen: Pen, x: Number, colour: RGB) -> None:
    lens = closed_curve("-9.4,-6.4 -8,-8 8,-8 9.4,-6.4 9.4,6 7,8 -7,8 -9.4,6")
    _framed(pen, lens, x, colour, 3)


def _cat_eye(pen: Pen, x: Number, colour: RGB) -> None:
    lens = closed_curve("-9,-4.6 0,-6.4 9,-9 14,-12 14,-12 11.6,-3 8.4,5 0,8 -7.6,5")
    _framed(pen, lens, x, colour, 2.7)


def _dark(pen: Pen, lens: Outline, x: Number, glass: RGB, frame: RGB) -> None:
    _bridge(pen, x - 7, x + 7, frame)
    for side in (-1, 1):
        shape = lens * (side, 1)
        spot = pen.moved(side * x, 0)
        spot.fill(shape, glass)
        with spot.inside(shape):
            spot.fill("-5,-12 0,-12 -9,12 -14,12", lit(glass, 0.3))
        spot.ring(shape, frame, 1.7)


def _aviator(pen: Pen, x: Number, colour: RGB) -> None:
    lens = closed_curve("-8.6,-6 0,-7.4 9,-6 10,-1 7,7.4 1,9.6 -5.4,6.4 -9,-1")
    pen.stroke("-5,-7 0,-8 5,-7", GOLD, 1.5)
    _dark(pen, lens, x, shaded(colour, 0.3), GOLD)


def _shades(pen: Pen, x: Number, colour: RGB) -> None:
    lens = closed_curve("-10,-7 -9,-7.6 9.6,-7.6 10.6,-7 9.4,4 5,8 -4,8 -8.4,4")
    _dark(pen, lens, x, (54, 46, 66), shaded(colour, 0.1))


def _hearts(pen: Pen, x: Number, colour: RGB) -> None:
    lens = closed_curve(
        "0,-5 0,-5 4.6,-9.4 9.8,-7 9.6,-1 5,5 0,10 0,10 -5,5 -9.6,-1 -9.8,-7 -4.6,-9.4"
    )
    _dark(pen, lens, x, mix((240, 78, 116), colour, 0.4), lit(colour, 0.15))


def _visor(pen: Pen, x: Number, colour: RGB) -> None:
    edge = closed_curve(symmetric("0,-9 14,-9.4 25,-7 26,0 20,8.4 8,8 0,5.4"))
    pen.fill(edge, colour)
    with pen.inside(edge):
        pen.fill("-14,-12 -7,-12 -17,12 -24,12", lit(colour, 0.55))
        pen.fill("12,-12 15,-12 5,12 2,12", lit(colour, 0.4))
    pen.ring(edge, shaded(colour, 0.45), 1.8)


def _monocle(pen: Pen, x: Number, colour: RGB) -> None:
    glass = pen.moved(x, 0)
    glass.stroke("8,6 13,18 11,32", GOLD, 1.1)
    glass.fill(ellipse(0, 0, 9.4, 9.4), WHITE, 0.28)
    glass.ring(ellipse(0, 0, 9.4, 9.4), GOLD, 2.4)


def _patch(pen: Pen, x: Number, colour: RGB) -> None:
    pen.stroke([(-26, 2), (-x, -5), (4, -13), (22, -24)], INK, 1.8)
    pen.moved(-x, 0).blob("-8.6,-6 0,-7.6 8.6,-6 8,3 0,9 -8,3", INK)
    pen.moved(-x, 0).stroke("-5,-4 0,-5", lit(INK, 0.35), 1.4)


_GLASSES: dict[str, Callable[[Pen, float, RGB], None]] = {
    "round": _round_glasses,
    "square": _square_glasses,
    "cat_eye": _cat_eye,
    "aviator": _aviator,
    "shades": _shades,
    "hearts": _hearts,
    "visor": _visor,
    "monocle": _monocle,
    "patch": _patch,
}


def draw_hat(pen: Pen, face: FaceAttributes) -> None:
    if face.hat != "none":
        _HATS[face.hat](pen, CLOTH[face.hat_colour], CLOTH[face.accent_colour])


def _domed(pen: Pen, edge: Outline, colour: RGB) -> None:
    """A hat's body with its right side in shade."""
    pen.fill(edge, shaded(colour, 0.2))
    x, y = edge.T
    pen.fill(np.stack([np.where(x > 4, 4 + 0.72 * (x - 4), x), y], axis=1), colour)


def _beanie(pen: Pen, colour: RGB, accent: RGB) -> None:
    pen.disc(0, -41, 6.6, accent)
    pen.disc(-1.5, -42.4, 3.8, lit(accent, 0.35))
    _domed(pen, closed_curve(symmetric("0,-40 14,-37.5 25,-27 28,-13 0,-14")), colour)
    pen.blob(symmetric("0,-21 18,-19.6 28.5,-16 29,-9 18,-12 0,-13"), accent)
    for x in (-18, -9, 0, 9, 18):
        rib = [(x, -18.5 + abs(x) / 12), (1.03 * x, -14.6 + abs(x) / 9)]
        pen.stroke(rib, shaded(accent, 0.2), 1.3)


def _cap(pen: Pen, colour: RGB, accent: RGB) -> None:
    _domed(pen, closed_curve(symmetric("0,-40 15,-37 25,-27 27.6,-13 0,-15")), colour)
    pen.disc(0, -40, 2.4, shaded(colour, 0.3))
    pen.disc(0, -27, 6.4, accent)
    pen.fill(_STAR * 5 + (0, -27), colour)
    pen.blob(
        ("-27,-14 -14,-20 14,-20 27,-14 31,-9 18,-12 0,-13.4 -18,-12 -31,-9"), shaded(colour, 0.4)
    )


def _brimmed(pen: Pen, crown: Outline, brim: np.ndarray, colour: RGB, band: RGB) -> None:
    _domed(pen, crown, colour)
    with pen.inside(crown):
        pen.fill("-40,-24 40,-24 40,-10 -40,-10", band)
    pen.moved(0, 1.6).fill(brim, shaded(colour, 0.35))
    pen.fill(brim, lit(colour, 0.08))


def _fedora(pen: Pen, colour: RGB, accent: RGB) -> None:
    crown = closed_curve(symmetric("0,-39 10,-43 20,-38 24.5,-16 0,-15"))
    brim = closed_curve(symmetric("0,-19 20,-19 36,-20 37,-17 22,-12.6 0,-12"))
    _brimmed(pen, crown, brim, colour, accent)


def _top_hat(pen: Pen, colour: RGB, accent: RGB) -> None:
    crown = symmetric("0,-46 24,-46 24,-16 0,-15")
    brim = closed_curve(symmetric("0,-18.6 22,-18.6 32,-20.4 32.4,-16 20,-12.6 0,-12"))
    _brimmed(pen, crown, brim, colour, accent)


def _straw(pen: Pen, colour: RGB, accent: RGB) -> None:
    crown = closed_curve(symmetric("0,-40 13,-38 21.5,-29 23.5,-16 0,-15"))
    _brimmed(pen, crown, ellipse(0, -17, 43, 6), (244, 208, 132), colour)


def _beret(pen: Pen, colour: RGB, accent: RGB) -> None:
    pen.stroke("4,-42 6,-47", shaded(colour, 0.3), 2.4)
    pen.blob("-26,-17 -33,-24 -24,-37 0,-44 24,-40 36,-27 28,-17 0,-21", shaded(colour, 0.2))
    pen.blob("-26,-17 -33,-24 -24,-37 0,-44 20,-40 27,-30 18,-22 0,-22", colour)


def _crown(pen: Pen, colour: RGB, accent: RGB) -> None:
    edge = "-21,-21 -25,-40 -13,-32 -7,-44 0,-33 7,-44 13,-32 25,-40 21,-21 11,-18 0,-17 -11,-18"
    pen.fill(edge, GOLD)
    pen.fill("7,-44 13,-32 25,-40 21,-21 11,-18 6,-17.4", shaded(GOLD, 0.16))
    for x, y in ((-25, -40), (-7, -44), (7, -44), (25, -40)):
        pen.disc(x, y, 2.6, lit(GOLD, 0.35))
    for x, y, gem in ((-13, -24, colour), (0, -23, accent), (13, -24, colour)):
        pen.disc(x, y, 3.2, gem)


def _party(pen: Pen, colour: RGB, accent: RGB) -> None:
    edge = points("-17,-23 2,-48 17,-23 9,-20 0,-19 -9,-20")
    pen.fill(edge, colour)
    with pen.inside(edge):
        for y in (-40, -30, -20):
            pen.stroke([(-22, y + 5), (22, y - 5)], accent, 4)
        pen.fill("2,-50 20,-20 8,-18", shaded(colour, 0.5), 0.25)
    pen.disc(2, -45, 4.4, lit(accent, 0.5))


def _headband(pen: Pen, colour: RGB, accent: RGB) -> None:
    pen.blob(symmetric("0,-25 15,-24 26.5,-17 27.6,-10 15,-17 0,-18"), colour)
    for side in (-1, 1):
        pen.blob([(18, -27), (18 + 10 * side, -35), (18 + 12 * side, -22)], accent)
    pen.disc(18, -27.4, 3.2, shaded(accent, 0.3))


def _headphones(pen: Pen, colour: RGB, accent: RGB) -> None:
    arch = "-29,-2 -30,-18 -20,-35 0,-41 20,-35 30,-18 29,-2"
    pen.stroke(arch, shaded(colour, 0.35), 5)
    for side in (-1, 1):
        pen.ellipse(side * 28.5, 2, 6.4, 10, colour)
        pen.ellipse(side * 31, 2, 4, 7, shaded(accent, 0.1))


def _headscarf(pen: Pen, colour: RGB, accent: RGB) -> None:
    edge = closed_curve(symmetric("0,-40 16,-37 28,-24 31,-4 28,16 24,32 33,48 40,80 0,80"))
    hole = closed_curve(symmetric("0,-19 12,-17 20,-8 22,4 19,17 10,27 0,30"))
    whole = np.concatenate([edge, edge[:1], hole[:1], hole[::-1]])
    pen.fill(whole, colour)
    pen.ring(hole, accent, 2.4)
    pen.stroke("-20,18 -4,34 18,38", shaded(colour, 0.25), 1.8)
    pen.stroke("20,20 10,31 -4,35", shaded(colour, 0.25), 1.8)


_HATS: dict[str, Callable[[Pen, RGB, RGB], None]] = {
    "beanie": _beanie,
    "cap": _cap,
    "fedora": _fedora,
    "top_hat": _top_hat,
    "straw": _straw,
    "beret": _beret,
    "crown": _crown,
    "party": _party,
    "headband": _headband,
    "headphones": _headphones,
    "headscarf": _headscarf,
}


def draw_earrings(pen: Pen, face: FaceAttributes) -> None:
    x = 25.5 if face.face_shape in ("oval", "long") else 27
    for side in (-1, 1):
        ear = pen.moved(side * x, 9.5)
        if face.earrings == "stud":
            ear.disc(0, 0, 2.1, GOLD)
        elif face.earrings == "hoop":
            ear.ring(ellipse(0, 4.4, 4, 4.8), GOLD, 1.6)
        elif face.earrings == "drop":
            ear.disc(0, 0, 1.4, GOLD)
            ear.blob("0,2 0,2 2.8,7 0,9.6 -2.8,7", CLOTH[face.accent_colour])


_STAR = np.array(
    [
        ((1 if i % 2 == 0 else 0.45) * np.sin(i * np.pi / 5),
         -(1 if i % 2 == 0 else 0.45) * np.cos(i * np.pi / 5))
        for i in range(10)
    ]
)  # fmt: skip
