"""Mouths, beards and moustaches, in head coordinates."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from e2eve.data.toyfaces.attributes import FaceAttributes
from e2eve.data.toyfaces.curves import closed_curve, mirrored, points, symmetric
from e2eve.data.toyfaces.features import outline
from e2eve.data.toyfaces.palette import (
    HAIR,
    MOUTH,
    RGB,
    SKIN,
    TEETH,
    TONGUE,
    lit,
    mix,
    mouth_line,
    shaded,
)
from e2eve.data.toyfaces.pen import Pen

_MOUTH_Y = 17.5


class Lips(NamedTuple):
    """The colours of closed and of full lips."""

    line: RGB
    full: RGB


def draw_mouth(pen: Pen, face: FaceAttributes) -> None:
    skin = SKIN[face.skin]
    tones = Lips(mouth_line(skin), mix(skin, (206, 46, 78), 0.6))
    _MOUTHS[face.mouth](pen.moved(0, _MOUTH_Y, face.mouth_scale), tones)


def _smile(pen: Pen, lips: Lips) -> None:
    pen.stroke("-9,-1.5 -5,2.4 0,3.6 5,2.4 9,-1.5", lips.line, 2.4)


def _grin(pen: Pen, lips: Lips) -> None:
    edge = closed_curve("-11,-2.6 -11,-2.6 0,-1 11,-2.6 11,-2.6 6.6,4.6 0,6.4 -6.6,4.6")
    pen.fill(edge, TEETH)
    with pen.inside(edge):
        for x in (-6.6, -2.2, 2.2, 6.6):
            pen.fill([(x - 0.3, -4), (x + 0.3, -4), (x + 0.3, 8), (x - 0.3, 8)], (206, 190, 196))
    pen.ring(edge, lips.line, 1.5)


def _laugh(pen: Pen, lips: Lips) -> None:
    edge = closed_curve("-10.5,-3 -10.5,-3 0,-1.8 10.5,-3 10.5,-3 7.4,5.4 0,8.8 -7.4,5.4")
    pen.fill(edge, MOUTH)
    with pen.inside(edge):
        pen.fill("-9,-4 9,-4 8,0.8 -8,0.8", TEETH)
        pen.ellipse(0.5, 8.4, 6, 4.2, TONGUE)


def _frown(pen: Pen, lips: Lips) -> None:
    pen.stroke("-8,4 -4.4,0.6 0,-0.4 4.4,0.6 8,4", lips.line, 2.5)


def _smirk(pen: Pen, lips: Lips) -> None:
    pen.stroke("-7,2 0,2.6 5,1 9.4,-3.4", lips.line, 2.4)
    pen.stroke("8,-4.8 10.8,-2.6", lips.line, 1.5)


def _surprise(pen: Pen, lips: Lips) -> None:
    pen.ellipse(0, 2, 5.6, 6.8, lips.full)
    pen.ellipse(0, 2, 4, 5.2, MOUTH)
    pen.ellipse(0, 5, 2.6, 1.8, TONGUE)


def _lips(pen: Pen, lips: Lips) -> None:
    red = mix(lips.full, (206, 30, 62), 0.5)
    pen.blob("-9.5,0.4 -9.5,0.4 -3.4,-4.2 0,-2.8 3.4,-4.2 9.5,0.4 9.5,0.4 4.6,5 0,6 -4.6,5", red)
    pen.stroke("-8.4,0.4 -3,0.2 0,1 3,0.2 8.4,0.4", shaded(red, 0.55), 1.1)
    pen.ellipse(-1.6, 3.4, 2.8, 0.9, lit(red, 0.55))


def _tongue(pen: Pen, lips: Lips) -> None:
    pen.blob("-1,1.4 7,0.4 7.6,6 4,10 0,7.4", TONGUE)
    pen.stroke("3.4,2.4 3.7,6.4", shaded(TONGUE, 0.3), 1)
    pen.stroke("-9,-1.4 -5,1.6 0,2.4 5,1.6 9,-1.4", lips.line, 2.4)


def _flat(pen: Pen, lips: Lips) -> None:
    pen.stroke("-7.4,1.2 7.4,1.2", lips.line, 2.5)


def _gap(pen: Pen, lips: Lips) -> None:
    edge = closed_curve("-8.4,-1.6 -8.4,-1.6 0,-0.2 8.4,-1.6 8.4,-1.6 5,3.8 0,5.4 -5,3.8")
    pen.fill(edge, MOUTH)
    with pen.inside(edge):
        for x in (-2.5, 2.5):
            pen.fill([(x - 2, -3), (x + 2, -3), (x + 1.8, 3.2), (x - 1.8, 3.2)], TEETH)


def _kiss(pen: Pen, lips: Lips) -> None:
    red = mix(lips.full, (214, 36, 76), 0.5)
    pen.blob("0,-2.4 3,-4 5,-1 3.2,1.2 5,3.4 2.6,6 -2.6,6 -5,3.4 -3.2,1.2 -5,-1 -3,-4", red)
    pen.stroke("-2.6,1.2 2.6,1.2", shaded(red, 0.6), 1.2)


_MOUTHS: dict[str, Callable[[Pen, Lips], None]] = {
    "smile": _smile,
    "grin": _grin,
    "laugh": _laugh,
    "frown": _frown,
    "smirk": _smirk,
    "surprise": _surprise,
    "lips": _lips,
    "tongue": _tongue,
    "flat": _flat,
    "gap": _gap,
    "kiss": _kiss,
}


def draw_beard(pen: Pen, face: FaceAttributes) -> None:
    if face.beard == "none":
        return
    hair, skin = HAIR[face.hair_colour], SKIN[face.skin]
    colour = mix(skin, shaded(hair, 0.3), 0.3) if face.beard == "stubble" else hair
    if face.beard in ("stubble", "full"):
        _full_beard(pen, face, colour)
    else:
        _BEARDS[face.beard](pen, colour)


def _full_beard(pen: Pen, face: FaceAttributes, colour: RGB) -> None:
    edge = outline(face) * (1.03, 1.05) if face.beard == "full" else outline(face)
    rim = edge[edge[:, 1] > 4]  # one piece, clockwise from the right ear
    top = "-19,13 -12,12 -6,10.5 0,11.5 6,10.5 12,12 19,13"
    pen.fill(np.concatenate([rim, points(top)]), colour)


def _long_beard(pen: Pen, colour: RGB) -> None:
    edge = symmetric("0,11.5 6,10.5 12,12 19,12 25,3 25,15 20,28 10,44 0,50")
    pen.blob(edge, colour)
    for x, y in ((-8, 38), (0, 43), (8, 38)):
        pen.stroke([(0.9 * x, 29), (x, y)], shaded(colour, 0.22), 1.3)


def _goatee(pen: Pen, colour: RGB) -> None:
    pen.blob(symmetric("0,23.5 6,22 9,26 6,34 0,38"), colour)


def _chops(pen: Pen, colour: RGB) -> None:
    chop = "-26,-2 -21.5,-2 -20,8 -12,14 -10,20 -16,24 -23,17 -26,8"
    pen.blob(chop, colour)
    pen.fill(mirrored(closed_curve(chop)), shaded(colour, 0.12))


_BEARDS: dict[str, Callable[[Pen, RGB], None]] = {
    "long": _long_beard,
    "goatee": _goatee,
    "chops": _chops,
}

# Left half of each moustache.
_MOUSTACHES = {
    "handlebar": "0,12 -6,11.6 -12,14.6 -16.5,10 -18,12 -13,18.6 -5,16.6 0,15",
    "walrus": "0,11 -7,11 -13,15.5 -14,21.5 -9,19.6 -4,19 0,18",
    "pencil": "0,13 -5,12.6 -11,15.4 -5,14.8 0,15",
    "chevron": "0,11.4 -5,11.2 -11,16 -10,17.6 -4,16.4 0,16.2",
}


def draw_moustache(pen: Pen, face: FaceAttributes) -> None:
    if face.moustache == "none":
        return
    colour = HAIR[face.hair_colour]
    left = closed_curve(_MOUSTACHES[face.moustache])
    pen.fill(mirrored(left), shaded(colour, 0.3))
    pen.fill(left, shaded(colour, 0.12))
