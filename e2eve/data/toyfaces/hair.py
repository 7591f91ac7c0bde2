"""Hair styles: what hangs behind the head, and what lies on it, in head coordinates."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from e2eve.data.toyfaces.attributes import FaceAttributes
from e2eve.data.toyfaces.curves import Number, closed_curve, mirrored, symmetric
from e2eve.data.toyfaces.palette import HAIR, RGB, lit, shaded
from e2eve.data.toyfaces.pen import Pen


class Tones(NamedTuple):
    """The colours of one head of hair."""

    base: RGB
    shade: RGB
    light: RGB


def tones(face: FaceAttributes) -> Tones:
    base = HAIR[face.hair_colour]
    return Tones(base, shaded(base, 0.28), lit(base, 0.3))


def draw_back_hair(pen: Pen, face: FaceAttributes) -> None:
    """The part behind neck and face."""
    if face.hair in _BACK:
        _BACK[face.hair](pen, tones(face))


def draw_front_hair(pen: Pen, face: FaceAttributes, colours: Tones) -> None:
    """The part on the skull; with three equal tones it is its own shadow."""
    if face.hair in _FRONT:
        _FRONT[face.hair](pen, colours)


def _curtain(pen: Pen, hair: Tones, bottom: Number, width: Number) -> None:
    skull = "0,-37 16,-34 27,-20 30,0"
    ends = f"{width},{0.6 * bottom} {width - 3},{bottom} 0,{bottom}"
    pen.blob(symmetric(f"{skull} {ends}"), hair.shade)


def _bob_back(pen: Pen, hair: Tones) -> None:
    _curtain(pen, hair, 26, 32)


def _long_back(pen: Pen, hair: Tones) -> None:
    _curtain(pen, hair, 62, 32)


def _wavy_back(pen: Pen, hair: Tones) -> None:
    half = "0,-37 17,-34 28,-22 29,-10 33,-1 30,10 35,20 31,31 36,42 32,54 0,56"
    pen.blob(symmetric(half), hair.shade)


def _afro_back(pen: Pen, hair: Tones) -> None:
    for angle in np.linspace(-3.7, 0.56, 11):
        pen.disc(29 * np.cos(angle), -8 + 27 * np.sin(angle), 11.5, hair.shade)
    pen.disc(0, -8, 33, hair.shade)


def _bun_back(pen: Pen, hair: Tones) -> None:
    pen.disc(0, -36.5, 10, hair.base)
    pen.disc(-1.4, -38.2, 7, hair.light)
    pen.disc(0.4, -36.4, 7.4, hair.base)
    pen.stroke("-6,-32 0,-31 6,-32", hair.shade, 2.6)


def _pigtails_back(pen: Pen, hair: Tones) -> None:
    tail = "-24,-14 -33,-18 -42,-8 -42,8 -36,20 -32,8 -28,-2"
    pen.twins(tail, hair.shade)
    pen.twins("-25,-14 -33,-17 -40,-7 -39,5 -35,13 -33,3 -29,-4", hair.base)
    for side in (-1, 1):
        pen.disc(side * 26.5, -12, 4, (236, 84, 104))


def _mohawk_back(pen: Pen, hair: Tones) -> None:
    spikes = "-9,-24 -13,-40 -7,-38 -5,-46 0,-40 5,-46 7,-38 13,-40 9,-24"
    pen.fill(spikes, hair.base)


def _curly_back(pen: Pen, hair: Tones) -> None:
    for x, y in ((-25, -12), (25, -12), (-26, -2), (26, -2), (-22, -22), (22, -22)):
        pen.disc(x, y, 7.5, hair.shade)


_BACK: dict[str, Callable[[Pen, Tones], None]] = {
    "bob": _bob_back,
    "long": _long_back,
    "wavy": _wavy_back,
    "afro": _afro_back,
    "bun": _bun_back,
    "pigtails": _pigtails_back,
    "mohawk": _mohawk_back,
    "curly": _curly_back,
}

# Outlines of the front hair run clockwise along the skull and back along the hairline.
_OVER = "-27,2 -28,-14 -21,-29 -8,-36 8,-36 21,-29 28,-14 27,2"


def _gloss(pen: Pen, hair: Tones) -> None:
    pen.stroke("-20,-21 -15,-27 -7,-31", hair.light, 2.6, 1.2)


def _buzz(pen: Pen, hair: Tones) -> None:
    over = "-25.5,-4 -26,-15 -19,-28 -8,-33.4 8,-33.4 19,-28 26,-15 25.5,-4"
    pen.blob(f"{over} 23,-10 19,-18 9,-21 -9,-21 -19,-18 -23,-10", hair.base)


def _balding(pen: Pen, hair: Tones) -> None:
    pen.twins("-25,4 -29,-1 -30,-10 -26,-18 -22,-16 -23,-6", hair.base)


def _side_part(pen: Pen, hair: Tones) -> None:
    pen.blob(f"{_OVER} 24,-8 20,-14 8,-15 -6,-19 -13,-25 -18,-15 -23,-8", hair.base)
    pen.stroke("-13,-26 -4,-31 8,-31", hair.light, 2.2, 1)


def _quiff(pen: Pen, hair: Tones) -> None:
    pen.blob(
        (
            "-26,0 -28,-14 -27,-28 -20,-41 -2,-46 14,-42 25,-33 28,-14 26,0 23.5,-10 20,-18 "
            "10,-22 -8,-23 -19,-18 -23,-10"
        ),
        hair.base,
    )
    for start, end in (((-16, -24), (-13, -37)), ((-5, -25), (1, -39)), ((7, -25), (14, -36))):
        pen.stroke([start, (start[0] - 1, end[1] + 5), end], hair.light, 2.2, 1)


def _spiky(pen: Pen, hair: Tones) -> None:
    tips = (
        "-26,0 -32,-12 -27,-16 -31,-29 -21,-28 -20,-42 -10,-34 -3,-47 3,-35 14,-44 "
        "15,-33 28,-34 25,-23 33,-18 28,-10 26,0"
    )
    line = "23,-10 17,-20 12,-14 6,-22 0,-14 -6,-22 -12,-14 -17,-20 -23,-10"
    pen.fill(f"{tips} {line}", hair.base)
    pen.fill("-17,-27 -13,-35 -10,-28", hair.light)
    pen.fill("-4,-28 -2,-38 2,-29", hair.light)


_CURLS = (
    (-22, -20, 8), (22, -20, 8), (-14, -29, 9), (14, -29, 9), (0, -32, 10),
    (-6, -22, 7), (7, -22, 7), (-16, -18, 6), (17, -18, 6),
)  # fmt: skip


def _curly(pen: Pen, hair: Tones) -> None:
    for x, y, radius in _CURLS:
        pen.disc(x, y, radius, hair.base)
    for x, y in ((-16, -30), (-2, -35), (12, -31), (-24, -21)):
        pen.stroke([(x - 2.6, y + 1.4), (x - 1, y - 1.8), (x + 2, y - 2)], hair.light, 1.8)


def _afro(pen: Pen, hair: Tones) -> None:
    for x, y in ((-21, -17), (-13, -23), (-4, -26), (5, -26), (14, -23), (22, -17)):
        pen.disc(x, y, 8, hair.base)
    pen.blob("-24,-14 -33,-20 -26,-34 -10,-41 10,-41 26,-34 33,-20 24,-14 0,-22", hair.base)
    pen.stroke("-25,-25 -18,-33 -8,-37", hair.light, 3, 1.6)


def _bob(pen: Pen, hair: Tones) -> None:
    pen.blob(
        (
            "-27,22 -32,6 -29,-16 -20,-31 0,-38 20,-31 29,-16 32,6 27,22 24,20 24.5,2 "
            "22,-12 14,-14 0,-13 -14,-14 -22,-12 -24.5,2 -24,20"
        ),
        hair.base,
    )
    _gloss(pen, hair)


def _centre_part(pen: Pen, hair: Tones) -> None:
    half = (
        "0.4,-37 -20,-32 -29,-16 -31,4 -32,24 -31,50 -25,50 -25,22 -24.5,2 -20,-12 -8,-20 "
        "0,-27 0.4,-27"
    )
    edge = closed_curve(half)
    pen.fill(mirrored(edge), hair.base)
    pen.fill(edge, hair.base)
    pen.stroke("0,-36 0,-27", hair.shade, 0.9)
    _gloss(pen, hair)


def _wavy(pen: Pen, hair: Tones) -> None:
    edge = (
        "-6,-36 -20,-32 -29,-18 -31,-4 -29,6 -33,18 -30,30 -34,42 -27,48 -26,36 -28,26 "
        "-25,14 -25,0 -20,-11 -4,-19 8,-28 8,-36"
    )
    pen.blob(edge, hair.base)
    pen.blob(
        (
            "6,-36 21,-31 29,-18 31,-4 29,6 33,18 30,30 34,42 27,48 26,36 28,26 25,14 25,0 "
            "21,-13 10,-22 4,-28"
        ),
        hair.base,
    )
    _gloss(pen, hair)


def _swept_up(pen: Pen, hair: Tones) -> None:
    pen.blob(f"{_OVER} 24,-6 20,-17 10,-23 -10,-23 -20,-17 -24,-6", hair.base)
    _gloss(pen, hair)
    pen.stroke("6,-25 3,-30 1,-34", hair.shade, 0.9)


def _pigtails(pen: Pen, hair: Tones) -> None:
    pen.blob(f"{_OVER} 24,-6 20,-14 10,-13 0,-20 -10,-13 -20,-14 -24,-6", hair.base)
    _gloss(pen, hair)


def _mohawk(pen: Pen, hair: Tones) -> None:
    pen.blob("-9,-30 -7,-35 7,-35 9,-30 5,-20 0,-16 -5,-20", hair.base)
    pen.stroke("-3,-22 -4,-31 -3,-41", hair.light, 2, 0.8)


def _bowl(pen: Pen, hair: Tones) -> None:
    pen.blob(
        (
            "-28,3 -30,-12 -23,-30 -8,-38 8,-38 23,-30 30,-12 28,3 25,4 24,-9 12,-10.5 "
            "-12,-10.5 -24,-9 -25,4"
        ),
        hair.base,
    )
    pen.stroke("-22,-19 -16,-27 -6,-32 5,-32.6", hair.light, 3.2, 1)


_FRONT: dict[str, Callable[[Pen, Tones], None]] = {
    "balding": _balding,
    "buzz": _buzz,
    "side_part": _side_part,
    "quiff": _quiff,
    "spiky": _spiky,
    "curly": _curly,
    "afro": _afro,
    "bob": _bob,
    "long": _centre_part,
    "wavy": _wavy,
    "bun": _swept_up,
    "pigtails": _pigtails,
    "mohawk": _mohawk,
    "bowl": _bowl,
}
