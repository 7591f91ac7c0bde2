"""The head itself: skull, ears, cheeks, nose, mouth, beard, eyes and eyebrows.

Head coordinates: the origin is between the eyes, x to the right, y down; the skull is about
26 units wide on each side, its top near y = -32 and the chin near y = 30.
"""

import numpy as np

from e2eve.data.toyfaces.attributes import FaceAttributes
from e2eve.data.toyfaces.palette import (
    HAIR,
    INK,
    IRIS,
    MOUTH,
    SKIN,
    TEETH,
    TONGUE,
    WHITE,
    Number,
    lit,
    mix,
    shaded,
    skin_shade,
)
from e2eve.data.toyfaces.pen import (
    Marks,
    Outline,
    Pen,
    closed_curve,
    ellipse,
    mirrored,
    points,
    symmetric,
)

_OUTLINES = {
    "oval": closed_curve(symmetric("0,-32 13,-30 23,-19 25,-4 23,11 16,23 8,29.5 0,31")),
    "round": closed_curve(symmetric("0,-31 14,-29 24.5,-18 27,-2 26,11 19,23 10,28.5 0,30")),
    "square": closed_curve(symmetric("0,-31 15,-29.5 24,-18 25,-2 24.5,12 21,23 12,29.5 0,31")),
    "heart": closed_curve(symmetric("0,-31 14,-29.5 25,-18 26.5,-3 22,12 13,24 6,30 0,31.5")),
    "long": closed_curve(symmetric("0,-33 13,-31 22.5,-20 24,-3 23,13 17,26 9,32.5 0,34")),
}


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
    skin = SKIN[face.skin]
    pen.draw(
        _CHEEKS.get(face.cheeks, ()),
        blush=mix(skin, (248, 92, 104), 0.38),
        rouge=mix(skin, (240, 66, 92), 0.62),
        shine=mix(skin, WHITE, 0.6),
        freckle=mix(skin, (140, 60, 30), 0.55),
        mole=mix(skin, INK, 0.75),
    )


_BLUSH: Marks = [("ellipse", x, 11, 5.2, 3.4, "blush") for x in (-16, 16)]

_CHEEKS: dict[str, Marks] = {
    "blush": _BLUSH,
    "rouge": [
        mark
        for x in (-16, 16)
        for mark in (("disc", x, 11.5, 4.6, "rouge"), ("disc", x - 1.4, 10, 1.2, "shine"))
    ],
    "freckles": [
        ("disc", side * x, y, 1, "freckle")
        for x, y in ((12, 9), (16, 8.5), (20, 10), (14, 12.5), (18, 13))
        for side in (-1, 1)
    ],
    "mole": [*_BLUSH, ("disc", 12, 14.5, 1.3, "mole")],
    "plaster": [
        ("moved", 16, 10.5, 1, -24, [
            ("stroke", "-4.4,0 4.4,0", (255, 206, 150), 5),
            ("fill", "-2,-2.4 2,-2.4 2,2.4 -2,2.4", (240, 170, 110)),
        ]),
    ],
}  # fmt: skip


def draw_nose(pen: Pen, face: FaceAttributes) -> None:
    skin = SKIN[face.skin]
    nose = pen.moved(0, 4, face.nose_scale)
    nose.draw(_NOSES[face.nose], dark=skin_shade(skin), light=lit(skin, 0.3))


_NOSES: dict[str, Marks] = {
    "button": [("ellipse", 0, 4, 3.6, 2.9, "dark"), ("ellipse", -0.9, 3.3, 1.3, 0.9, "light")],
    "round": [("disc", 0, 3.4, 5.2, "dark"), ("disc", -1.6, 1.8, 1.7, "light")],
    "pointed": [("fill", "0.5,-8 6,6 -1.5,6.8", "dark")],
    "long": [("blob", "1,-9 3,-2 5,4 3,7.5 -2.5,7.5 -4,5 -0.5,2", "dark")],
    "wide": [
        ("blob", "0,0 5,2.6 7,5.2 4,7 0,6.3 -4,7 -7,5.2 -5,2.6", "dark"),
        ("ellipse", -0.8, 3, 1.8, 1, "light"),
    ],
    "snub": [("stroke", "-4,2.5 -2.4,5.4 0,5.9 2.4,5.4 4,2.5", "dark", 2)],
}


def draw_mouth(pen: Pen, face: FaceAttributes) -> None:
    skin = SKIN[face.skin]
    full = mix(skin, (206, 46, 78), 0.6)
    red, pink = mix(full, (206, 30, 62), 0.5), mix(full, (214, 36, 76), 0.5)
    pen.moved(0, 17.5, face.mouth_scale).draw(
        _MOUTHS[face.mouth],
        line=mix(MOUTH, (58, 12, 34), min(1, 1.8 * (1 - skin[0] / 255))),  # seen on every skin
        full=full,
        red=red,
        between=shaded(red, 0.55),
        gloss=lit(red, 0.55),
        pink=pink,
        between_pink=shaded(pink, 0.6),
    )


_GRIN = closed_curve("-11,-2.6 -11,-2.6 0,-1 11,-2.6 11,-2.6 6.6,4.6 0,6.4 -6.6,4.6")
_LAUGH = closed_curve("-10.5,-3 -10.5,-3 0,-1.8 10.5,-3 10.5,-3 7.4,5.4 0,8.8 -7.4,5.4")
_GAP = closed_curve("-8.4,-1.6 -8.4,-1.6 0,-0.2 8.4,-1.6 8.4,-1.6 5,3.8 0,5.4 -5,3.8")

_MOUTHS: dict[str, Marks] = {
    "smile": [("stroke", "-9,-1.5 -5,2.4 0,3.6 5,2.4 9,-1.5", "line", 2.4)],
    "grin": [
        ("fill", _GRIN, TEETH),
        ("inside", _GRIN, [
            ("fill", [(x - 0.3, -4), (x + 0.3, -4), (x + 0.3, 8), (x - 0.3, 8)], (206, 190, 196))
            for x in (-6.6, -2.2, 2.2, 6.6)
        ]),
        ("ring", _GRIN, "line", 1.5),
    ],
    "laugh": [
        ("fill", _LAUGH, MOUTH),
        ("inside", _LAUGH, [
            ("fill", "-9,-4 9,-4 8,0.8 -8,0.8", TEETH),
            ("ellipse", 0.5, 8.4, 6, 4.2, TONGUE),
        ]),
    ],
    "frown": [("stroke", "-8,4 -4.4,0.6 0,-0.4 4.4,0.6 8,4", "line", 2.5)],
    "smirk": [
        ("stroke", "-7,2 0,2.6 5,1 9.4,-3.4", "line", 2.4),
        ("stroke", "8,-4.8 10.8,-2.6", "line", 1.5),
    ],
    "surprise": [
        ("ellipse", 0, 2, 5.6, 6.8, "full"),
        ("ellipse", 0, 2, 4, 5.2, MOUTH),
        ("ellipse", 0, 5, 2.6, 1.8, TONGUE),
    ],
    "lips": [
        (
            "blob",
            "-9.5,0.4 -9.5,0.4 -3.4,-4.2 0,-2.8 3.4,-4.2 9.5,0.4 9.5,0.4 4.6,5 0,6 -4.6,5",
            "red",
        ),
        ("stroke", "-8.4,0.4 -3,0.2 0,1 3,0.2 8.4,0.4", "between", 1.1),
        ("ellipse", -1.6, 3.4, 2.8, 0.9, "gloss"),
    ],
    "tongue": [
        ("blob", "-1,1.4 7,0.4 7.6,6 4,10 0,7.4", TONGUE),
        ("stroke", "3.4,2.4 3.7,6.4", shaded(TONGUE, 0.3), 1),
        ("stroke", "-9,-1.4 -5,1.6 0,2.4 5,1.6 9,-1.4", "line", 2.4),
    ],
    "flat": [("stroke", "-7.4,1.2 7.4,1.2", "line", 2.5)],
    "gap": [
        ("fill", _GAP, MOUTH),
        ("inside", _GAP, [
            ("fill", [(x - 2, -3), (x + 2, -3), (x + 1.8, 3.2), (x - 1.8, 3.2)], TEETH)
            for x in (-2.5, 2.5)
        ]),
    ],
    "kiss": [
        ("blob", "0,-2.4 3,-4 5,-1 3.2,1.2 5,3.4 2.6,6 -2.6,6 -5,3.4 -3.2,1.2 -5,-1 -3,-4", "pink"),
        ("stroke", "-2.6,1.2 2.6,1.2", "between_pink", 1.2),
    ],
}  # fmt: skip


def draw_beard(pen: Pen, face: FaceAttributes) -> None:
    hair, skin = HAIR[face.hair_colour], SKIN[face.skin]
    if face.beard in ("stubble", "full"):
        edge = outline(face) * (1.03, 1.05) if face.beard == "full" else outline(face)
        rim = edge[edge[:, 1] > 4]  # one piece, clockwise from the right ear
        top = points("-19,13 -12,12 -6,10.5 0,11.5 6,10.5 12,12 19,13")
        colour = mix(skin, shaded(hair, 0.3), 0.3) if face.beard == "stubble" else hair
        pen.fill(np.concatenate([rim, top]), colour)
    strand, chop = shaded(hair, 0.22), shaded(hair, 0.12)
    pen.draw(_BEARDS.get(face.beard, ()), hair=hair, strand=strand, chop=chop)


_CHOP = closed_curve("-26,-2 -21.5,-2 -20,8 -12,14 -10,20 -16,24 -23,17 -26,8")

_BEARDS: dict[str, Marks] = {
    "long": [
        ("blob", symmetric("0,11.5 6,10.5 12,12 19,12 25,3 25,15 20,28 10,44 0,50"), "hair"),
        *(
            ("stroke", [(0.9 * x, 29), (x, y)], "strand", 1.3)
            for x, y in ((-8, 38), (0, 43), (8, 38))
        ),
    ],
    "goatee": [("blob", symmetric("0,23.5 6,22 9,26 6,34 0,38"), "hair")],
    "chops": [("fill", _CHOP, "hair"), ("fill", mirrored(_CHOP), "chop")],
}


def draw_moustache(pen: Pen, face: FaceAttributes) -> None:
    hair = HAIR[face.hair_colour]
    marks = _MOUSTACHES.get(face.moustache, ())
    pen.draw(marks, left=shaded(hair, 0.12), right=shaded(hair, 0.3))


_MOUSTACHES: dict[str, Marks] = {
    name: [("fill", mirrored(closed_curve(left)), "right"), ("blob", left, "left")]
    for name, left in {
        "handlebar": "0,12 -6,11.6 -12,14.6 -16.5,10 -18,12 -13,18.6 -5,16.6 0,15",
        "walrus": "0,11 -7,11 -13,15.5 -14,21.5 -9,19.6 -4,19 0,18",
        "pencil": "0,13 -5,12.6 -11,15.4 -5,14.8 0,15",
        "chevron": "0,11.4 -5,11.2 -11,16 -10,17.6 -4,16.4 0,16.2",
    }.items()
}


def draw_eyes(pen: Pen, face: FaceAttributes) -> None:
    skin, dot = SKIN[face.skin], 0.8 * face.gaze_x
    lid = mix(skin, skin_shade(skin), 0.7)
    for side in (-1, 1):
        eye = pen.moved(side * face.eye_distance, -1, face.eye_scale)
        kind = "round" if face.eyes == "wink" and side < 0 else face.eyes
        if kind in _EYEBALLS:
            left, right, radius = _EYEBALLS[kind]
            _eyeball(eye, face, left if side < 0 else right, radius)
        if kind == "dots":
            eye.draw([("ellipse", dot, 0, 3.5, 4.4, INK), ("disc", dot - 1.1, -1.7, 1.2, WHITE)])
        eye.draw(_LIDS[side].get(kind, ()), lid=lid)


def _eyeball(eye: Pen, face: FaceAttributes, shape: Outline, radius: Number) -> None:
    colour, rim = IRIS[face.iris], shaded(SKIN[face.skin], 0.5)
    iris: Marks = [
        ("disc", 0, 0, radius, shaded(colour, 0.35)),
        ("disc", 0, 0.4, radius * 0.82, colour),
        ("disc", 0, 0, radius * 0.5, INK),
        ("disc", -0.35 * radius, -0.4 * radius, radius * 0.32, WHITE),
    ]
    inside: Marks = [
        ("moved", 1.5 * face.gaze_x, 1.2 * face.gaze_y, iris),
        ("moved", 0, -0.2, [("stroke", "-7,-3 0,-8.2 7,-3", rim, 1.2)]),
    ]
    eye.draw([("fill", shape, WHITE), ("inside", shape, inside)])


_ROUND = ellipse(0, 0, 6, 6.6)
_WIDE = ellipse(0, 0, 7.6, 8)
_ALMOND = closed_curve("-7.2,1.2 -4,-3.6 1,-4.8 5.4,-3 7.4,-1.2 4,3.6 -2,4.2")

# Outlines of the left and the right eye, and the radius of the iris.
_EYEBALLS = {
    "round": (_ROUND, _ROUND, 4.1),
    "wide": (_WIDE, _WIDE, 3.6),
    "almond": (mirrored(_ALMOND), _ALMOND, 4),
    "sleepy": (_ROUND, _ROUND, 4.1),
    "lashes": (_ROUND, _ROUND, 4.1),
}


# What is drawn over the left and the right eye, or in its place.
_LIDS: dict[int, dict[str, Marks]] = {
    side: {
        "almond": [
            ("stroke", points("-7.4,1.2 -4,-3.9 1,-5.2 5.6,-3.6 8.2,-2") * (side, 1), INK, 1.3)
        ],
        "happy": [("stroke", "-6,2.4 -3.6,-2 0,-3.6 3.6,-2 6,2.4", INK, 2.5)],
        "sleepy": [
            ("blob", "-7.2,0.2 -6.4,-5 0,-7.8 6.4,-5 7.2,0.2 0,0.8", "lid"),
            ("stroke", "-6.8,0.2 0,0.9 6.8,0.2", INK, 1.5),
        ],
        "wink": [("stroke", "-6,-1.5 -3,1.6 0,2.4 3,1.6 6,-1.5", INK, 2.5)],
        "lashes": [
            ("stroke", points("-6,-2.6 -3,-6.3 2,-6.6 6.4,-2.4") * (side, 1), INK, 1.8),
            *(
                ("stroke", [(0.66 * x * side, 0.66 * y), (x * side, y)], INK, 1.4, 0.7)
                for x, y in ((8.6, -4.6), (6.8, -7.4), (3.6, -9.2))
            ),
        ],
    }
    for side in (-1, 1)
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
