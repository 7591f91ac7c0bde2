"""Hair styles: what hangs behind the head, and what lies on it, in head coordinates."""

from contextlib import nullcontext

import numpy as np

from e2eve.data.toyfaces.accessories import COVERING
from e2eve.data.toyfaces.attributes import FaceAttributes
from e2eve.data.toyfaces.head import outline
from e2eve.data.toyfaces.palette import HAIR, SKIN, Number, lit, mix, shaded, skin_shade
from e2eve.data.toyfaces.pen import Marks, Outline, Pen, closed_curve, mirrored, symmetric

_BELOW_THE_BRIM = symmetric(
    [(0, -16), (26, -16), (33, -12), (38, -6), (41, 4), (44, 30), (44, 200), (0, 200)]
)


def draw_back_hair(pen: Pen, face: FaceAttributes) -> None:
    """The part behind neck and face."""
    _draw_below_brim(pen, face, _BACK)


def draw_front_hair(pen: Pen, face: FaceAttributes) -> None:
    """The part on the skull."""
    _draw_below_brim(pen, face, _FRONT)


def draw_shadows(pen: Pen, face: FaceAttributes) -> None:
    """What hair and hat cast on the face."""
    skin = SKIN[face.skin]
    shadow = mix(skin, skin_shade(skin), 0.8)
    with pen.inside(outline(face)):
        tones = dict.fromkeys(("base", "shade", "light"), shadow)
        pen.moved(0.6, 2).draw(_FRONT.get(face.hair, ()), **tones)
        if face.hat in COVERING:
            pen.blob("-30,-20 30,-20 30,-8 14,-9.6 0,-10 -14,-9.6 -30,-8", shadow)


def _draw_below_brim(pen: Pen, face: FaceAttributes, styles: dict[str, Marks]) -> None:
    """The hair; of it only what is below the brim of a hat that covers the skull."""
    base = HAIR[face.hair_colour]
    with pen.inside(_BELOW_THE_BRIM) if face.hat in COVERING else nullcontext():
        marks = styles.get(face.hair, ())
        pen.draw(marks, base=base, shade=shaded(base, 0.28), light=lit(base, 0.3))


def _curtain(bottom: Number, width: Number) -> Outline:
    skull = "0,-37 16,-34 27,-20 30,0"
    ends = f"{width},{0.6 * bottom} {width - 3},{bottom} 0,{bottom}"
    return symmetric(f"{skull} {ends}")


_BACK: dict[str, Marks] = {
    "bob": [("blob", _curtain(26, 32), "shade")],
    "long": [("blob", _curtain(62, 32), "shade")],
    "wavy": [
        (
            "blob",
            symmetric("0,-37 17,-34 28,-22 29,-10 33,-1 30,10 35,20 31,31 36,42 32,54 0,56"),
            "shade",
        )
    ],
    "afro": [
        *(
            ("disc", 29 * np.cos(angle), -8 + 27 * np.sin(angle), 11.5, "shade")
            for angle in np.linspace(-3.7, 0.56, 11)
        ),
        ("disc", 0, -8, 33, "shade"),
    ],
    "bun": [
        ("disc", 0, -36.5, 10, "base"),
        ("disc", -1.4, -38.2, 7, "light"),
        ("disc", 0.4, -36.4, 7.4, "base"),
        ("stroke", "-6,-32 0,-31 6,-32", "shade", 2.6),
    ],
    "pigtails": [
        ("twins", "-24,-14 -33,-18 -42,-8 -42,8 -36,20 -32,8 -28,-2", "shade"),
        ("twins", "-25,-14 -33,-17 -40,-7 -39,5 -35,13 -33,3 -29,-4", "base"),
        *(("disc", side * 26.5, -12, 4, (236, 84, 104)) for side in (-1, 1)),
    ],
    "mohawk": [
        ("fill", "-9,-24 -13,-40 -7,-38 -5,-46 0,-40 5,-46 7,-38 13,-40 9,-24", "base"),
    ],
    "curly": [
        ("disc", x, y, 7.5, "shade")
        for x, y in ((-25, -12), (25, -12), (-26, -2), (26, -2), (-22, -22), (22, -22))
    ],
}

# Outlines of the front hair run clockwise along the skull and back along the hairline.
_OVER = "-27,2 -28,-14 -21,-29 -8,-36 8,-36 21,-29 28,-14 27,2"
_GLOSS = ("stroke", "-20,-21 -15,-27 -7,-31", "light", 2.6, 1.2)
_CURTAIN = closed_curve(
    "0.4,-37 -20,-32 -29,-16 -31,4 -32,24 -31,50 -25,50 -25,22 -24.5,2 -20,-12 -8,-20 0,-27 0.4,-27"
)

_FRONT: dict[str, Marks] = {
    "balding": [("twins", "-25,4 -29,-1 -30,-10 -26,-18 -22,-16 -23,-6", "base")],
    "buzz": [
        (
            "blob",
            "-25.5,-4 -26,-15 -19,-28 -8,-33.4 8,-33.4 19,-28 26,-15 25.5,-4 23,-10 19,-18 9,-21 "
            "-9,-21 -19,-18 -23,-10",
            "base",
        )
    ],
    "side_part": [
        ("blob", f"{_OVER} 24,-8 20,-14 8,-15 -6,-19 -13,-25 -18,-15 -23,-8", "base"),
        ("stroke", "-13,-26 -4,-31 8,-31", "light", 2.2, 1),
    ],
    "quiff": [
        (
            "blob",
            "-26,0 -28,-14 -27,-28 -20,-41 -2,-46 14,-42 25,-33 28,-14 26,0 23.5,-10 20,-18 "
            "10,-22 -8,-23 -19,-18 -23,-10",
            "base",
        ),
        *(
            ("stroke", [(x, y), (x - 1, top + 5), (right, top)], "light", 2.2, 1)
            for x, y, right, top in ((-16, -24, -13, -37), (-5, -25, 1, -39), (7, -25, 14, -36))
        ),
    ],
    "spiky": [
        (
            "fill",
            "-26,0 -32,-12 -27,-16 -31,-29 -21,-28 -20,-42 -10,-34 -3,-47 3,-35 14,-44 15,-33 "
            "28,-34 25,-23 33,-18 28,-10 26,0 23,-10 17,-20 12,-14 6,-22 0,-14 -6,-22 -12,-14 "
            "-17,-20 -23,-10",
            "base",
        ),
        ("fill", "-17,-27 -13,-35 -10,-28", "light"),
        ("fill", "-4,-28 -2,-38 2,-29", "light"),
    ],
    "curly": [
        ("disc", -22, -20, 8, "base"),
        ("disc", 22, -20, 8, "base"),
        ("disc", -14, -29, 9, "base"),
        ("disc", 14, -29, 9, "base"),
        ("disc", 0, -32, 10, "base"),
        ("disc", -6, -22, 7, "base"),
        ("disc", 7, -22, 7, "base"),
        ("disc", -16, -18, 6, "base"),
        ("disc", 17, -18, 6, "base"),
        *(
            ("stroke", [(x - 2.6, y + 1.4), (x - 1, y - 1.8), (x + 2, y - 2)], "light", 1.8)
            for x, y in ((-16, -30), (-2, -35), (12, -31), (-24, -21))
        ),
    ],
    "afro": [
        *(
            ("disc", x, y, 8, "base")
            for x, y in ((-21, -17), (-13, -23), (-4, -26), (5, -26), (14, -23), (22, -17))
        ),
        ("blob", "-24,-14 -33,-20 -26,-34 -10,-41 10,-41 26,-34 33,-20 24,-14 0,-22", "base"),
        ("stroke", "-25,-25 -18,-33 -8,-37", "light", 3, 1.6),
    ],
    "bob": [
        (
            "blob",
            "-27,22 -32,6 -29,-16 -20,-31 0,-38 20,-31 29,-16 32,6 27,22 24,20 24.5,2 22,-12 "
            "14,-14 0,-13 -14,-14 -22,-12 -24.5,2 -24,20",
            "base",
        ),
        _GLOSS,
    ],
    "long": [
        ("fill", mirrored(_CURTAIN), "base"),
        ("fill", _CURTAIN, "base"),
        ("stroke", "0,-36 0,-27", "shade", 0.9),
        _GLOSS,
    ],
    "wavy": [
        (
            "blob",
            "-6,-36 -20,-32 -29,-18 -31,-4 -29,6 -33,18 -30,30 -34,42 -27,48 -26,36 -28,26 "
            "-25,14 -25,0 -20,-11 -4,-19 8,-28 8,-36",
            "base",
        ),
        (
            "blob",
            "6,-36 21,-31 29,-18 31,-4 29,6 33,18 30,30 34,42 27,48 26,36 28,26 25,14 25,0 "
            "21,-13 10,-22 4,-28",
            "base",
        ),
        _GLOSS,
    ],
    "bun": [
        ("blob", f"{_OVER} 24,-6 20,-17 10,-23 -10,-23 -20,-17 -24,-6", "base"),
        _GLOSS,
        ("stroke", "6,-25 3,-30 1,-34", "shade", 0.9),
    ],
    "pigtails": [
        ("blob", f"{_OVER} 24,-6 20,-14 10,-13 0,-20 -10,-13 -20,-14 -24,-6", "base"),
        _GLOSS,
    ],
    "mohawk": [
        ("blob", "-9,-30 -7,-35 7,-35 9,-30 5,-20 0,-16 -5,-20", "base"),
        ("stroke", "-3,-22 -4,-31 -3,-41", "light", 2, 0.8),
    ],
    "bowl": [
        (
            "blob",
            "-28,3 -30,-12 -23,-30 -8,-38 8,-38 23,-30 30,-12 28,3 25,4 24,-9 12,-10.5 "
            "-12,-10.5 -24,-9 -25,4",
            "base",
        ),
        ("stroke", "-22,-19 -16,-27 -6,-32 5,-32.6", "light", 3.2, 1),
    ],
}
