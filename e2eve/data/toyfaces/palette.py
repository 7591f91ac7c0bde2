"""Colours of the toy faces, chosen to go together; shades lean to violet, lights to cream."""

Number = int | float
RGB = tuple[int, int, int]

INK: RGB = (58, 42, 60)
WHITE: RGB = (255, 252, 246)
TEETH: RGB = (255, 253, 248)
MOUTH: RGB = (122, 38, 58)
TONGUE: RGB = (238, 116, 124)
GOLD: RGB = (247, 196, 84)

SKIN: dict[str, RGB] = {
    "porcelain": (255, 224, 205),
    "ivory": (252, 209, 178),
    "beige": (241, 189, 150),
    "honey": (226, 166, 118),
    "tan": (203, 139, 92),
    "caramel": (172, 110, 70),
    "chestnut": (148, 94, 64),
    "espresso": (118, 74, 58),
}
HAIR: dict[str, RGB] = {
    "black": (48, 40, 52),
    "brown": (92, 58, 44),
    "chestnut": (132, 76, 48),
    "auburn": (158, 62, 44),
    "ginger": (226, 116, 46),
    "blond": (243, 198, 98),
    "platinum": (248, 229, 184),
    "grey": (176, 174, 184),
    "pink": (244, 130, 166),
    "blue": (74, 120, 206),
    "teal": (52, 168, 162),
    "violet": (136, 92, 188),
}
IRIS: dict[str, RGB] = {
    "brown": (112, 66, 40),
    "hazel": (160, 108, 44),
    "green": (72, 150, 92),
    "blue": (64, 138, 208),
    "grey": (118, 134, 150),
    "violet": (134, 96, 190),
}
CLOTH: dict[str, RGB] = {
    "red": (222, 74, 78),
    "orange": (244, 138, 66),
    "mustard": (240, 184, 70),
    "green": (84, 160, 104),
    "teal": (44, 150, 156),
    "blue": (76, 134, 220),
    "navy": (52, 66, 120),
    "violet": (138, 98, 186),
    "pink": (246, 142, 164),
    "white": (250, 244, 234),
    "charcoal": (72, 68, 84),
}
BACKGROUND: dict[str, tuple[RGB, RGB]] = {
    "cream": ((253, 240, 214), (248, 222, 180)),
    "peach": ((255, 216, 190), (252, 192, 160)),
    "rose": ((253, 206, 212), (248, 180, 192)),
    "lavender": ((220, 208, 246), (198, 182, 236)),
    "sky": ((190, 226, 250), (158, 206, 242)),
    "mint": ((196, 238, 216), (164, 222, 194)),
    "sage": ((206, 220, 184), (182, 202, 156)),
    "butter": ((255, 232, 150), (252, 216, 112)),
    "teal": ((98, 188, 186), (70, 166, 168)),
    "coral": ((250, 146, 124), (240, 120, 104)),
    "navy": ((74, 92, 150), (58, 72, 126)),
}
"""A light and a deeper tone of each."""


def mix(first: RGB, second: RGB, share: Number) -> RGB:
    """The colour that has this share, from 0 to 1, of the second."""
    keep = 1 - share
    return (
        round(first[0] * keep + second[0] * share),
        round(first[1] * keep + second[1] * share),
        round(first[2] * keep + second[2] * share),
    )


def shaded(colour: RGB, strength: Number = 0.2) -> RGB:
    """The colour on the side away from the light."""
    return mix(colour, (72, 26, 84), strength)


def lit(colour: RGB, strength: Number = 0.25) -> RGB:
    """The colour where light falls on it."""
    return mix(colour, (255, 246, 224), strength)


def skin_shade(colour: RGB) -> RGB:
    """Skin in shadow stays warm."""
    return mix(colour, (150, 40, 50), 0.2)
