"""Glasses, hats and earrings, in head coordinates."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from e2eve.data.toyfaces.attributes import FaceAttributes
from e2eve.data.toyfaces.palette import CLOTH, GOLD, INK, RGB, WHITE, Number, lit, mix, shaded
from e2eve.data.toyfaces.pen import Marks, Outline, Pen, closed_curve, ellipse, points, symmetric

COVERING = ("beanie", "cap", "fedora", "top_hat", "straw", "beret")
"""The hats that hide the hair on the skull."""


# Of the right one of two lenses: its outline around its own centre, colour and width of the ring
# around it, and the colour of the glass, None where that is clear.
_LENSES: dict[str, tuple[Outline, str | RGB, Number, str | RGB | None]] = {
    "round": (ellipse(0, 0, 9.6, 9.6), "colour", 2.3, None),
    "square": (
        closed_curve("-9.4,-6.4 -8,-8 8,-8 9.4,-6.4 9.4,6 7,8 -7,8 -9.4,6"), "colour", 3, None
    ),
    "cat_eye": (
        closed_curve("-9,-4.6 0,-6.4 9,-9 14,-12 14,-12 11.6,-3 8.4,5 0,8 -7.6,5"),
        "colour", 2.7, None,
    ),
    "aviator": (
        closed_curve("-8.6,-6 0,-7.4 9,-6 10,-1 7,7.4 1,9.6 -5.4,6.4 -9,-1"), GOLD, 1.7, "dark"
    ),
    "shades": (
        closed_curve("-10,-7 -9,-7.6 9.6,-7.6 10.6,-7 9.4,4 5,8 -4,8 -8.4,4"),
        "rim", 1.7, (54, 46, 66),
    ),
    "hearts": (
        closed_curve(
            "0,-5 0,-5 4.6,-9.4 9.8,-7 9.6,-1 5,5 0,10 0,10 -5,5 -9.6,-1 -9.8,-7 -4.6,-9.4"
        ),
        "pale", 1.7, "heart",
    ),
}  # fmt: skip

_VISOR = closed_curve(symmetric("0,-9 14,-9.4 25,-7 26,0 20,8.4 8,8 0,5.4"))


def draw_glasses(pen: Pen, face: FaceAttributes) -> None:
    pen, x, colour = pen.moved(0, -0.5), face.eye_distance, CLOTH[face.glasses_colour]
    marks: dict[str, Marks] = {
        "aviator": [("stroke", "-5,-7 0,-8 5,-7", GOLD, 1.5)],
        "visor": [
            ("fill", _VISOR, colour),
            ("inside", _VISOR, [
                ("fill", "-14,-12 -7,-12 -17,12 -24,12", lit(colour, 0.55)),
                ("fill", "12,-12 15,-12 5,12 2,12", lit(colour, 0.4)),
            ]),
            ("ring", _VISOR, shaded(colour, 0.45), 1.8),
        ],
        "monocle": [
            ("moved", x, 0, [
                ("stroke", "8,6 13,18 11,32", GOLD, 1.1),
                ("fill", ellipse(0, 0, 9.4, 9.4), WHITE, 0.28),
                ("ring", ellipse(0, 0, 9.4, 9.4), GOLD, 2.4),
            ]),
        ],
        "patch": [
            ("stroke", [(-26, 2), (-x, -5), (4, -13), (22, -24)], INK, 1.8),
            ("moved", -x, 0, [
                ("blob", "-8.6,-6 0,-7.6 8.6,-6 8,3 0,9 -8,3", INK),
                ("stroke", "-5,-4 0,-5", lit(INK, 0.35), 1.4),
            ]),
        ],
    }  # fmt: skip
    pen.draw(marks.get(face.glasses, ()))
    if face.glasses in _LENSES:
        _draw_lenses(pen, x, colour, *_LENSES[face.glasses])


def _draw_lenses(
    pen: Pen,
    x: Number,
    colour: RGB,
    outline: Outline,
    frame: str | RGB,
    width: Number,
    glass: str | RGB | None,
) -> None:
    """Two lenses with a bridge and temples, whose centres are at x and -x."""
    tones = {
        "colour": colour,
        "dark": shaded(colour, 0.3),
        "rim": shaded(colour, 0.1),
        "heart": mix((240, 78, 116), colour, 0.4),
        "pale": lit(colour, 0.15),
    }
    tint = tones[glass] if isinstance(glass, str) else glass
    reach = 7 if tint else float(outline[:, 0].max())
    marks: list[tuple[Any, ...]] = [
        ("stroke", [(reach - x, -1.5), (0, -3), (x - reach, -1.5)], frame, 2),
        *(("stroke", [(side * (x + reach), -2), (side * 26, -3)], frame, 2) for side in (-1, 1)),
    ]
    for side in (-1, 1):
        edge = outline * (side, 1)
        pane: Marks = [("fill", edge, WHITE, 0.22)]
        if tint:
            shine = ("fill", "-5,-12 0,-12 -9,12 -14,12", lit(tint, 0.3))
            pane = [("fill", edge, tint), ("inside", edge, [shine])]
        marks.append(("moved", side * x, 0, [*pane, ("ring", edge, frame, width)]))
    pen.draw(marks, **tones)


def draw_hat(pen: Pen, face: FaceAttributes) -> None:
    colour, accent = CLOTH[face.hat_colour], CLOTH[face.accent_colour]
    tones = {"colour": colour, "accent": accent, "brim": lit(colour, 0.08)}
    tones |= {f"dark_{n}": shaded(colour, n / 100) for n in (20, 25, 30, 35, 40, 50)}
    tones |= {f"dark_accent_{n}": shaded(accent, n / 100) for n in (10, 20, 30)}
    tones |= {f"light_accent_{n}": lit(accent, n / 100) for n in (35, 50)}
    pen.draw(_HATS.get(face.hat, ()), **tones)


def _domed(edge: Outline, colour: str | RGB = "colour", shade: str | RGB = "dark_20") -> Marks:
    """A hat's body with its right side in shade."""
    x, y = edge.T
    narrowed = np.stack([np.where(x > 4, 4 + 0.72 * (x - 4), x), y], axis=1)
    return [("fill", edge, shade), ("fill", narrowed, colour)]


def _brimmed(
    crown: Outline,
    brim: Outline,
    band: str = "accent",
    body: Sequence[str | RGB] = ("colour", "dark_20"),
    tones: Sequence[str | RGB] = ("brim", "dark_35"),
) -> Marks:
    """A hat's body with a band and a brim: of both their own tone and the shaded one."""
    return [
        *_domed(crown, *body),
        ("inside", crown, [("fill", "-40,-24 40,-24 40,-10 -40,-10", band)]),
        ("moved", 0, 1.6, [("fill", brim, tones[1])]),
        ("fill", brim, tones[0]),
    ]


_STRAW: RGB = (244, 208, 132)
_CONE = points("-17,-23 2,-48 17,-23 9,-20 0,-19 -9,-20")
_SCARF = closed_curve(symmetric("0,-40 16,-37 28,-24 31,-4 28,16 24,32 33,48 40,80 0,80"))
_FACE = closed_curve(symmetric("0,-19 12,-17 20,-8 22,4 19,17 10,27 0,30"))
_STAR = np.array(
    [
        ((1 if i % 2 == 0 else 0.45) * np.sin(i * np.pi / 5),
         -(1 if i % 2 == 0 else 0.45) * np.cos(i * np.pi / 5))
        for i in range(10)
    ]
)  # fmt: skip

_HATS: dict[str, Marks] = {
    "beanie": [
        ("disc", 0, -41, 6.6, "accent"),
        ("disc", -1.5, -42.4, 3.8, "light_accent_35"),
        *_domed(closed_curve(symmetric("0,-40 14,-37.5 25,-27 28,-13 0,-14"))),
        ("blob", symmetric("0,-21 18,-19.6 28.5,-16 29,-9 18,-12 0,-13"), "accent"),
        *(
            (
                "stroke",
                [(x, -18.5 + abs(x) / 12), (1.03 * x, -14.6 + abs(x) / 9)],
                "dark_accent_20",
                1.3,
            )
            for x in (-18, -9, 0, 9, 18)
        ),
    ],
    "cap": [
        *_domed(closed_curve(symmetric("0,-40 15,-37 25,-27 27.6,-13 0,-15"))),
        ("disc", 0, -40, 2.4, "dark_30"),
        ("disc", 0, -27, 6.4, "accent"),
        ("fill", _STAR * 5 + (0, -27), "colour"),
        ("blob", "-27,-14 -14,-20 14,-20 27,-14 31,-9 18,-12 0,-13.4 -18,-12 -31,-9", "dark_40"),
    ],
    "fedora": _brimmed(
        closed_curve(symmetric("0,-39 10,-43 20,-38 24.5,-16 0,-15")),
        closed_curve(symmetric("0,-19 20,-19 36,-20 37,-17 22,-12.6 0,-12")),
    ),
    "top_hat": _brimmed(
        symmetric("0,-46 24,-46 24,-16 0,-15"),
        closed_curve(symmetric("0,-18.6 22,-18.6 32,-20.4 32.4,-16 20,-12.6 0,-12")),
    ),
    "straw": _brimmed(
        closed_curve(symmetric("0,-40 13,-38 21.5,-29 23.5,-16 0,-15")),
        ellipse(0, -17, 43, 6),
        band="colour",
        body=(_STRAW, shaded(_STRAW, 0.2)),
        tones=(lit(_STRAW, 0.08), shaded(_STRAW, 0.35)),
    ),
    "beret": [
        ("stroke", "4,-42 6,-47", "dark_30", 2.4),
        ("blob", "-26,-17 -33,-24 -24,-37 0,-44 24,-40 36,-27 28,-17 0,-21", "dark_20"),
        ("blob", "-26,-17 -33,-24 -24,-37 0,-44 20,-40 27,-30 18,-22 0,-22", "colour"),
    ],
    "crown": [
        (
            "fill",
            "-21,-21 -25,-40 -13,-32 -7,-44 0,-33 7,-44 13,-32 25,-40 21,-21 11,-18 0,-17 -11,-18",
            GOLD,
        ),
        ("fill", "7,-44 13,-32 25,-40 21,-21 11,-18 6,-17.4", shaded(GOLD, 0.16)),
        *(
            ("disc", x, y, 2.6, lit(GOLD, 0.35))
            for x, y in ((-25, -40), (-7, -44), (7, -44), (25, -40))
        ),
        *(
            ("disc", x, y, 3.2, gem)
            for x, y, gem in ((-13, -24, "colour"), (0, -23, "accent"), (13, -24, "colour"))
        ),
    ],
    "party": [
        ("fill", _CONE, "colour"),
        ("inside", _CONE, [
            *(("stroke", [(-22, y + 5), (22, y - 5)], "accent", 4) for y in (-40, -30, -20)),
            ("fill", "2,-50 20,-20 8,-18", "dark_50", 0.25),
        ]),
        ("disc", 2, -45, 4.4, "light_accent_50"),
    ],
    "headband": [
        ("blob", symmetric("0,-25 15,-24 26.5,-17 27.6,-10 15,-17 0,-18"), "colour"),
        *(
            ("blob", [(18, -27), (18 + 10 * side, -35), (18 + 12 * side, -22)], "accent")
            for side in (-1, 1)
        ),
        ("disc", 18, -27.4, 3.2, "dark_accent_30"),
    ],
    "headphones": [
        ("stroke", "-29,-2 -30,-18 -20,-35 0,-41 20,-35 30,-18 29,-2", "dark_35", 5),
        *(
            mark
            for side in (-1, 1)
            for mark in (
                ("ellipse", side * 28.5, 2, 6.4, 10, "colour"),
                ("ellipse", side * 31, 2, 4, 7, "dark_accent_10"),
            )
        ),
    ],
    "headscarf": [
        ("fill", np.concatenate([_SCARF, _SCARF[:1], _FACE[:1], _FACE[::-1]]), "colour"),
        ("ring", _FACE, "accent", 2.4),
        ("stroke", "-20,18 -4,34 18,38", "dark_25", 1.8),
        ("stroke", "20,20 10,31 -4,35", "dark_25", 1.8),
    ],
}  # fmt: skip


def draw_earrings(pen: Pen, face: FaceAttributes) -> None:
    x = 25.5 if face.face_shape in ("oval", "long") else 27
    for side in (-1, 1):
        ear = pen.moved(side * x, 9.5)
        ear.draw(_EARRINGS.get(face.earrings, ()), accent=CLOTH[face.accent_colour])


_EARRINGS: dict[str, Marks] = {
    "stud": [("disc", 0, 0, 2.1, GOLD)],
    "hoop": [("ring", ellipse(0, 4.4, 4, 4.8), GOLD, 1.6)],
    "drop": [("disc", 0, 0, 1.4, GOLD), ("blob", "0,2 0,2 2.8,7 0,9.6 -2.8,7", "accent")],
}
