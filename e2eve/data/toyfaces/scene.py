"""What is behind and below the head: backgrounds, neck and clothes."""

from collections.abc import Callable

import numpy as np

from e2eve.data.toyfaces.attributes import FaceAttributes
from e2eve.data.toyfaces.curves import closed_curve, mirrored, points, symmetric
from e2eve.data.toyfaces.palette import BACKGROUND, CLOTH, RGB, SKIN, lit, mix, shaded, skin_shade
from e2eve.data.toyfaces.pen import Pen

# The background is drawn in hundredths of the picture, from its top left corner.


def draw_background(pen: Pen, face: FaceAttributes) -> None:
    light, deep = BACKGROUND[face.background_colour]
    pen.pixels[:] = light
    _BACKGROUNDS[face.background](pen, light, deep)


def _plain(pen: Pen, light: RGB, deep: RGB) -> None:
    pass


def _gradient(pen: Pen, light: RGB, deep: RGB) -> None:
    bottom = np.array(shaded(deep, 0.08))
    share = np.linspace(0, 1, len(pen.pixels))[:, None, None]
    pen.pixels[:] = np.rint(np.array(lit(light, 0.4)) * (1 - share) + bottom * share)


def _halo(pen: Pen, light: RGB, deep: RGB) -> None:
    pen.pixels[:] = deep
    pen.disc(50, 50, 43, light)


def _stripes(pen: Pen, light: RGB, deep: RGB) -> None:
    for x in range(-96, 100, 24):
        pen.fill([(x, 100), (x + 12, 100), (x + 112, 0), (x + 100, 0)], deep)


def _dots(pen: Pen, light: RGB, deep: RGB) -> None:
    for row in range(6):
        for column in range(6):
            pen.disc(20 * column + 10 * (row % 2), 20 * row, 3.6, deep)


def _sunburst(pen: Pen, light: RGB, deep: RGB) -> None:
    for angle in np.arange(0.1, 6.3, np.pi / 7):
        ends = np.array([angle, angle + np.pi / 14])
        (x, right), (y, low) = 50 + 90 * np.cos(ends), 50 + 90 * np.sin(ends)
        pen.fill([(50, 50), (x, y), (right, low)], deep)


def _hills(pen: Pen, light: RGB, deep: RGB) -> None:
    pen.disc(82, 20, 9, lit(light, 0.6))
    pen.ellipse(18, 96, 52, 42, deep)
    pen.ellipse(88, 104, 46, 38, shaded(deep, 0.12))


def _checks(pen: Pen, light: RGB, deep: RGB) -> None:
    for row in range(6):
        for column in range(row % 2, 6, 2):
            x, y = column * 50 / 3, row * 50 / 3
            pen.fill([(x, y), (x + 16.7, y), (x + 16.7, y + 16.7), (x, y + 16.7)], deep)


def _clouds(pen: Pen, light: RGB, deep: RGB) -> None:
    pen.pixels[:] = deep
    for x, y, size in ((14, 24, 1.0), (88, 14, 0.8), (92, 60, 1.1), (6, 68, 0.8)):
        cloud = pen.moved(x, y, size)
        cloud.disc(-7, 1, 6, lit(light, 0.5))
        cloud.disc(1, -3, 8, lit(light, 0.5))
        cloud.disc(9, 1, 6, lit(light, 0.5))
        cloud.ellipse(0, 4, 13, 4, lit(light, 0.5))


def _waves(pen: Pen, light: RGB, deep: RGB) -> None:
    x = np.linspace(-5, 105, 40)
    for row, share in enumerate((0.35, 0.7, 1.0)):
        y = 30 + 26 * row + 4 * np.sin(x / 9 + 2 * row)
        top = np.stack([x, y], axis=1)
        pen.fill(np.concatenate([top, points("105,105 -5,105")]), mix(light, deep, share))


_BACKGROUNDS: dict[str, Callable[[Pen, RGB, RGB], None]] = {
    "plain": _plain,
    "gradient": _gradient,
    "halo": _halo,
    "stripes": _stripes,
    "dots": _dots,
    "sunburst": _sunburst,
    "hills": _hills,
    "checks": _checks,
    "clouds": _clouds,
    "waves": _waves,
}

# The body is drawn upright, from the middle of the head; the chin is near y = 30.
_NECK = symmetric("0,16 9.5,16 9.5,36 12.5,38.5 6.5,44 0,46")
_SHOULDERS = closed_curve(symmetric("0,37.5 11,37.5 22,40.5 34,46 39.5,58 41,80 0,80"))
_SHADED_SIDE = points("18,30 60,30 60,90 25,90 26,56")


def draw_body(pen: Pen, face: FaceAttributes) -> None:
    """Neck and clothes."""
    cloth, accent = CLOTH[face.clothes_colour], CLOTH[face.accent_colour]
    skin = SKIN[face.skin]
    pen.fill(_SHOULDERS, cloth)
    with pen.inside(_SHOULDERS):
        pattern = _PATTERNS.get(face.clothes)
        if pattern:
            pattern(pen, accent)
        pen.fill(_SHADED_SIDE, shaded((0, 0, 0), 0.6), 0.13)
    pen.fill(_NECK, skin)
    pen.blob("-9.8,22 0,20 9.8,22 9.8,37 4,36 -4,33", skin_shade(skin))
    _COLLARS[face.clothes](pen, cloth, accent)


def _striped(pen: Pen, accent: RGB) -> None:
    for y in (43, 51, 59):
        pen.fill([(-50, y), (50, y), (50, y + 4), (-50, y + 4)], accent)


def _dotted(pen: Pen, accent: RGB) -> None:
    for x, y in ((-30, 50), (-20, 44), (-18, 55), (-7, 50), (5, 55), (7, 46), (18, 51), (30, 55)):
        pen.disc(x, y, 2.3, accent)


def _straps(pen: Pen, accent: RGB) -> None:
    for side in (-1, 1):
        pen.fill([(side * 17, 36), (side * 23, 36), (side * 22, 70), (side * 15, 70)], accent)
        pen.disc(side * 19, 53, 1.8, (250, 210, 100))
    pen.fill("-20,54 20,54 20,80 -20,80", accent)


_PATTERNS: dict[str, Callable[[Pen, RGB], None]] = {
    "stripes": _striped,
    "dots": _dotted,
    "dungarees": _straps,
}


def _crew(pen: Pen, cloth: RGB, accent: RGB) -> None:
    pen.stroke("-12.5,38 -7,44 0,46 7,44 12.5,38", shaded(cloth, 0.25), 3)


def _contrast_crew(pen: Pen, cloth: RGB, accent: RGB) -> None:
    pen.stroke("-12.5,38 -7,44 0,46 7,44 12.5,38", accent, 3.4)


def _shirt(pen: Pen, cloth: RGB, accent: RGB) -> None:
    wing = points("0,47 -5,54 -15,42 -11,34.5")
    pen.fill(wing, lit(cloth, 0.45))
    pen.fill(mirrored(wing), lit(cloth, 0.3))
    for y in (54, 61):
        pen.disc(0, y, 1.1, accent)


def _vneck(pen: Pen, cloth: RGB, accent: RGB) -> None:
    pen.stroke("-12.5,38 -6,44.6 0,49", accent, 3.6)
    pen.stroke("12.5,38 6,44.6 0,49", accent, 3.6)


def _hoodie(pen: Pen, cloth: RGB, accent: RGB) -> None:
    roll = "-11,33 -18,35 -20,42 -10,49 0,52 0,46 -8,42"
    pen.blob(roll, lit(cloth, 0.22))
    pen.fill(mirrored(closed_curve(roll)), lit(cloth, 0.1))
    for side in (-1, 1):
        pen.stroke([(side * 5, 49), (side * 5.5, 58)], (252, 248, 240), 1.5)


def _turtleneck(pen: Pen, cloth: RGB, accent: RGB) -> None:
    pen.blob("-11,32 0,34 11,32 13,42 0,46.5 -13,42", lit(cloth, 0.2))
    pen.stroke("-11.5,39 0,42 11.5,39", shaded(cloth, 0.22), 1.4)


def _lapels(pen: Pen, cloth: RGB, accent: RGB) -> None:
    pen.fill("-12.5,38 0,43.5 12.5,38 6,64 -6,64", (240, 232, 226))
    pen.fill("-2.2,46 2.2,46 4,64 -4,64", accent)
    pen.fill("-3.4,42.4 3.4,42.4 2.2,47 -2.2,47", shaded(accent))
    wing = points("-11,35.5 -1,43.4 -7.5,48 -13.5,40")
    pen.fill(wing, (255, 253, 248))
    pen.fill(mirrored(wing), (248, 240, 236))
    lapel = points("-12.5,37.5 -18,42 -15,50 -3,66")
    pen.fill(lapel, lit(cloth, 0.2))
    pen.fill(mirrored(lapel), lit(cloth, 0.1))


def _scarf(pen: Pen, cloth: RGB, accent: RGB) -> None:
    pen.blob("4,40 14,40 16,62 6,62", shaded(accent, 0.18))
    pen.blob("-15,34 0,37 15,34 17,42 0,48 -17,42", accent)
    pen.stroke("-14,39 -4,42.5 8,42", shaded(accent), 1.4)


_COLLARS: dict[str, Callable[[Pen, RGB, RGB], None]] = {
    "tee": _crew,
    "stripes": _crew,
    "shirt": _shirt,
    "vneck": _vneck,
    "hoodie": _hoodie,
    "turtleneck": _turtleneck,
    "suit": _lapels,
    "dungarees": _crew,
    "dots": _contrast_crew,
    "scarf": _scarf,
}
