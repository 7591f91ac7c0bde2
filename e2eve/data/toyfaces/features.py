"""The head itself: skull, ears, cheeks, nose, eyes and eyebrows.

Head coordinates: the origin is between the eyes, x to the right, y down; the skull is about
26 units wide on each side, its top near y = -32 and the chin near y = 30.
"""

from collections.abc import Callable

import numpy as np

from e2eve.data.toyfaces.attributes import FaceAttributes
from e2eve.data.toyfaces.curves import (
    Number,
    Outline,
    closed_curve,
    ellipse,
    mirrored,
    points,
    symmetric,
)
from e2eve.data.toyfaces.palette import (
    HAIR,
    INK,
    IRIS,
    RGB,
    SKIN,
    WHITE,
    lit,
    mix,
    shaded,
    skin_shade,
)
from e2eve.data.toyfaces.pen import Pen

_SKULLS = {
    "oval": "0,-32 13,-30 23,-19 25,-4 23,11 16,23 8,29.5 0,31",
    "round": "0,-31 14,-29 24.5,-18 27,-2 26,11 19,23 10,28.5 0,30",
    "square": "0,-31 15,-29.5 24,-18 25,-2 24.5,12 21,23 12,29.5 0,31",
    "heart": "0,-31 14,-29.5 25,-18 26.5,-3 22,12 13,24 6,30 0,31.5",
    "long": "0,-33 13,-31 22.5,-20 24,-3 23,13 17,26 9,32.5 0,34",
}
_OUTLINES = {name: closed_curve(symmetric(half)) for name, half in _SKULLS.items()}


def outline(face: FaceAttributes) -> Outline:
    """Edge of the face, in head coordinates."""
    return _OUTLINES[face.face_shape]


def draw_ears(pen: Pen, face: FaceAttributes) -> None:
    skin = SKIN[face.skin]
    x = 24.5 if face.face_shape in ("oval", "long") else 26
    for side, colour in ((-1, skin), (1, mix(skin, skin_shade(skin), 0.5))):
        pen.ellipse(side * x, 3, 5, 6.5, colour)
        pen.ellipse(side * (x + 0.5), 3.3, 2.6, 4, skin_shade(skin))


def draw_skull(pen: Pen, face: FaceAttributes) -> None:
    """The face, with the side away from the light in shade."""
    skin = SKIN[face.skin]
    edge = outline(face)
    pen.fill(edge, mix(skin, skin_shade(skin), 0.75))
    narrowed = np.where(edge[:, :1] > 0, edge * (0.88, 1), edge)
    pen.fill(np.where(edge[:, 1:] > 0, narrowed * (1, 0.965), narrowed), skin)


def draw_cheeks(pen: Pen, face: FaceAttributes) -> None:
    if face.cheeks != "none":
        _CHEEKS[face.cheeks](pen, SKIN[face.skin])


def _blush(pen: Pen, skin: RGB) -> None:
    for x in (-16, 16):
        pen.ellipse(x, 11, 5.2, 3.4, mix(skin, (248, 92, 104), 0.38))


def _rouge(pen: Pen, skin: RGB) -> None:
    for x in (-16, 16):
        pen.disc(x, 11.5, 4.6, mix(skin, (240, 66, 92), 0.62))
        pen.disc(x - 1.4, 10, 1.2, mix(skin, WHITE, 0.6))


def _freckles(pen: Pen, skin: RGB) -> None:
    for x, y in ((12, 9), (16, 8.5), (20, 10), (14, 12.5), (18, 13)):
        for side in (-1, 1):
            pen.disc(side * x, y, 1, mix(skin, (140, 60, 30), 0.55))


def _mole(pen: Pen, skin: RGB) -> None:
    _blush(pen, skin)
    pen.disc(12, 14.5, 1.3, mix(skin, INK, 0.75))


def _plaster(pen: Pen, skin: RGB) -> None:
    strip = pen.moved(16, 10.5, 1, -24)
    strip.stroke("-4.4,0 4.4,0", (255, 206, 150), 5)
    strip.fill("-2,-2.4 2,-2.4 2,2.4 -2,2.4", (240, 170, 110))


_CHEEKS: dict[str, Callable[[Pen, RGB], None]] = {
    "blush": _blush,
    "rouge": _rouge,
    "freckles": _freckles,
    "mole": _mole,
    "plaster": _plaster,
}


def draw_nose(pen: Pen, face: FaceAttributes) -> None:
    skin = SKIN[face.skin]
    _NOSES[face.nose](pen.moved(0, 4, face.nose_scale), skin_shade(skin), lit(skin, 0.3))


def _button(pen: Pen, dark: RGB, light: RGB) -> None:
    pen.ellipse(0, 4, 3.6, 2.9, dark)
    pen.ellipse(-0.9, 3.3, 1.3, 0.9, light)


def _round_nose(pen: Pen, dark: RGB, light: RGB) -> None:
    pen.disc(0, 3.4, 5.2, dark)
    pen.disc(-1.6, 1.8, 1.7, light)


def _pointed(pen: Pen, dark: RGB, light: RGB) -> None:
    pen.fill("0.5,-8 6,6 -1.5,6.8", dark)


def _long_nose(pen: Pen, dark: RGB, light: RGB) -> None:
    pen.blob("1,-9 3,-2 5,4 3,7.5 -2.5,7.5 -4,5 -0.5,2", dark)


def _wide_nose(pen: Pen, dark: RGB, light: RGB) -> None:
    pen.blob("0,0 5,2.6 7,5.2 4,7 0,6.3 -4,7 -7,5.2 -5,2.6", dark)
    pen.ellipse(-0.8, 3, 1.8, 1, light)


def _snub(pen: Pen, dark: RGB, light: RGB) -> None:
    pen.stroke("-4,2.5 -2.4,5.4 0,5.9 2.4,5.4 4,2.5", dark, 2)


_NOSES: dict[str, Callable[[Pen, RGB, RGB], None]] = {
    "button": _button,
    "round": _round_nose,
    "pointed": _pointed,
    "long": _long_nose,
    "wide": _wide_nose,
    "snub": _snub,
}


def draw_eyes(pen: Pen, face: FaceAttributes) -> None:
    for side in (-1, 1):
        eye = pen.moved(side * face.eye_distance, -1, face.eye_scale)
        _EYES[face.eyes](eye, face, side)


def _iris(eye: Pen, face: FaceAttributes, radius: Number) -> None:
    colour = IRIS[face.iris]
    iris = eye.moved(1.5 * face.gaze_x, 1.2 * face.gaze_y)
    iris.disc(0, 0, radius, shaded(colour, 0.35))
    iris.disc(0, 0.4, radius * 0.82, colour)
    iris.disc(0, 0, radius * 0.5, INK)
    iris.disc(-0.35 * radius, -0.4 * radius, radius * 0.32, WHITE)


def _eyeball(eye: Pen, face: FaceAttributes, shape: Outline, radius: Number) -> None:
    eye.fill(shape, WHITE)
    with eye.inside(shape):
        _iris(eye, face, radius)
        eye.moved(0, -0.2).stroke(_TOPS, shaded(SKIN[face.skin], 0.5), 1.2)


_ROUND = ellipse(0, 0, 6, 6.6)
_WIDE = ellipse(0, 0, 7.6, 8)
_ALMOND = closed_curve("-7.2,1.2 -4,-3.6 1,-4.8 5.4,-3 7.4,-1.2 4,3.6 -2,4.2")
_TOPS = "-7,-3 0,-8.2 7,-3"


def _round_eye(eye: Pen, face: FaceAttributes, side: int) -> None:
    _eyeball(eye, face, _ROUND, 4.1)


def _wide_eye(eye: Pen, face: FaceAttributes, side: int) -> None:
    _eyeball(eye, face, _WIDE, 3.6)


def _almond(eye: Pen, face: FaceAttributes, side: int) -> None:
    shape = _ALMOND if side > 0 else mirrored(_ALMOND)
    _eyeball(eye, face, shape, 4)
    lid = points("-7.4,1.2 -4,-3.9 1,-5.2 5.6,-3.6 8.2,-2")
    eye.stroke(lid * (side, 1), INK, 1.3)


def _dot(eye: Pen, face: FaceAttributes, side: int) -> None:
    eye.ellipse(0.8 * face.gaze_x, 0, 3.5, 4.4, INK)
    eye.disc(0.8 * face.gaze_x - 1.1, -1.7, 1.2, WHITE)


def _happy(eye: Pen, face: FaceAttributes, side: int) -> None:
    eye.stroke("-6,2.4 -3.6,-2 0,-3.6 3.6,-2 6,2.4", INK, 2.5)


def _sleepy(eye: Pen, face: FaceAttributes, side: int) -> None:
    _round_eye(eye, face, side)
    lid = "-7.2,0.2 -6.4,-5 0,-7.8 6.4,-5 7.2,0.2 0,0.8"
    eye.blob(lid, mix(SKIN[face.skin], skin_shade(SKIN[face.skin]), 0.7))
    eye.stroke("-6.8,0.2 0,0.9 6.8,0.2", INK, 1.5)


def _wink(eye: Pen, face: FaceAttributes, side: int) -> None:
    if side > 0:
        eye.stroke("-6,-1.5 -3,1.6 0,2.4 3,1.6 6,-1.5", INK, 2.5)
    else:
        _round_eye(eye, face, side)


def _lashes(eye: Pen, face: FaceAttributes, side: int) -> None:
    _round_eye(eye, face, side)
    lid = points("-6,-2.6 -3,-6.3 2,-6.6 6.4,-2.4")
    eye.stroke(lid * (side, 1), INK, 1.8)
    for x, y in ((8.6, -4.6), (6.8, -7.4), (3.6, -9.2)):
        eye.stroke([(0.66 * x * side, 0.66 * y), (x * side, y)], INK, 1.4, 0.7)


_EYES: dict[str, Callable[[Pen, FaceAttributes, int], None]] = {
    "round": _round_eye,
    "wide": _wide_eye,
    "almond": _almond,
    "dots": _dot,
    "happy": _happy,
    "sleepy": _sleepy,
    "wink": _wink,
    "lashes": _lashes,
}

# Right eyebrow, from the nose outwards, and its width at both ends.
_BROWS = {
    "thin": ("-5,0.5 0,-1.6 6,0.4", 1.3, 1.0),
    "flat": ("-6,0 6,0", 2.6, 2.2),
    "thick": ("-6.4,0.4 0,-1.2 7,0.8", 4.4, 3.2),
    "arched": ("-5.4,1 2,-3.4 7,1", 2.8, 1.3),
    "angry": ("-6.6,3.4 0,0.2 6.6,-2.2", 3.4, 2.4),
    "worried": ("-6,-3.2 0,-0.6 6.4,2.4", 2.8, 2.0),
}


def draw_brows(pen: Pen, face: FaceAttributes) -> None:
    if face.brows == "none":
        return
    line, start, end = _BROWS[face.brows]
    colour = shaded(HAIR[face.hair_colour], 0.3)
    for side in (-1, 1):
        brow = pen.moved(side * face.eye_distance, -6 - 6.6 * face.eye_scale)
        brow.stroke(points(line) * (side, 1), colour, start, end)
