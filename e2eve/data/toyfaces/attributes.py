"""What a toy face is made of: named choices, a few continuous numbers, and how they are drawn."""

from dataclasses import dataclass, fields
from typing import Any, Literal, get_args, get_origin

import numpy as np

Colour = Literal[
    "red", "orange", "mustard", "green", "teal", "blue", "navy", "violet", "pink", "white",
    "charcoal",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class FaceAttributes:
    """One face. Lengths are in hundredths of the image's side, angles in degrees.

    Raises:
        ValueError: if a named choice does not exist.
    """

    background: Literal[
        "plain", "gradient", "halo", "stripes", "dots", "sunburst", "hills", "checks", "clouds",
        "waves",
    ]  # fmt: skip
    background_colour: Literal[
        "cream", "peach", "rose", "lavender", "sky", "mint", "sage", "butter", "teal", "coral",
        "navy",
    ]  # fmt: skip
    skin: Literal["porcelain", "ivory", "beige", "honey", "tan", "caramel", "chestnut", "espresso"]
    face_shape: Literal["oval", "round", "square", "heart", "long"]
    hair: Literal[
        "bald", "balding", "buzz", "side_part", "quiff", "spiky", "curly", "afro", "bob", "long",
        "wavy", "bun", "pigtails", "mohawk", "bowl",
    ]  # fmt: skip
    hair_colour: Literal[
        "black", "brown", "chestnut", "auburn", "ginger", "blond", "platinum", "grey", "pink",
        "blue", "teal", "violet",
    ]  # fmt: skip
    hat: Literal[
        "none", "beanie", "cap", "fedora", "top_hat", "straw", "beret", "crown", "party",
        "headband", "headphones", "headscarf",
    ]  # fmt: skip
    hat_colour: Colour
    eyes: Literal["round", "wide", "almond", "dots", "happy", "sleepy", "wink", "lashes"]
    iris: Literal["brown", "hazel", "green", "blue", "grey", "violet"]
    brows: Literal["none", "thin", "flat", "thick", "arched", "angry", "worried"]
    glasses: Literal[
        "none", "round", "square", "cat_eye", "aviator", "shades", "hearts", "visor", "monocle",
        "patch",
    ]  # fmt: skip
    glasses_colour: Colour
    nose: Literal["button", "round", "pointed", "long", "wide", "snub"]
    mouth: Literal[
        "smile", "grin", "laugh", "frown", "smirk", "surprise", "lips", "tongue", "flat", "gap",
        "kiss",
    ]  # fmt: skip
    beard: Literal["none", "stubble", "full", "long", "goatee", "chops"]
    moustache: Literal["none", "handlebar", "walrus", "pencil", "chevron"]
    cheeks: Literal["none", "blush", "freckles", "rouge", "mole", "plaster"]
    earrings: Literal["none", "stud", "hoop", "drop"]
    clothes: Literal[
        "tee", "stripes", "shirt", "vneck", "hoodie", "turtleneck", "suit", "dungarees", "dots",
        "scarf",
    ]  # fmt: skip
    clothes_colour: Colour
    accent_colour: Colour
    centre_x: float  # of the head, 46 to 54
    centre_y: float  # of the head, 48.5 to 52
    head_scale: float  # 0.88 to 1
    tilt: float  # of the head, -8 to 8, positive is clockwise
    eye_scale: float  # 0.9 to 1.15
    eye_distance: float  # from the middle of the face to an eye, 10.5 to 12.5
    gaze_x: float  # -1 (left) to 1 (right)
    gaze_y: float  # -1 (up) to 1 (down)
    mouth_scale: float  # 0.9 to 1.2
    nose_scale: float  # 0.9 to 1.2

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"{name}={getattr(self, name)!r} is unknown, use one of {', '.join(choices)}."
                )


CHOICES: dict[str, tuple[str, ...]] = {
    field.name: get_args(field.type)
    for field in fields(FaceAttributes)
    if get_origin(field.type) is Literal
}
"""The named choices of each enumerated field of `FaceAttributes`."""

RANGES: dict[str, tuple[float, float]] = {
    "centre_x": (46, 54),
    "centre_y": (48.5, 52),
    "head_scale": (0.88, 1),
    "tilt": (-8, 8),
    "eye_scale": (0.9, 1.15),
    "eye_distance": (10.5, 12.5),
    "gaze_x": (-1, 1),
    "gaze_y": (-1, 1),
    "mouth_scale": (0.9, 1.2),
    "nose_scale": (0.9, 1.2),
}
"""The range of each continuous field of `FaceAttributes`, drawn uniformly."""

# Probability that an optional feature is there at all; its kind is then uniform.
_PRESENCE = {
    "hat": 0.4,
    "glasses": 0.5,
    "brows": 0.94,
    "beard": 0.25,
    "moustache": 0.22,
    "cheeks": 0.7,
    "earrings": 0.35,
}
_NATURAL, _DYED = CHOICES["hair_colour"][:8], CHOICES["hair_colour"][8:]
_DYED_SHARE = 0.3
# Colours of cloth and of hair that would merge with this background or skin.
_CLASHES = {
    "coral": ("red", "orange", "ginger"),
    "navy": ("navy", "blue", "violet"),
    "teal": ("teal", "green"),
    "cream": ("white", "platinum"),
    "butter": ("mustard", "white", "blond", "platinum"),
    "rose": ("pink",),
    "peach": ("orange",),
    "lavender": ("violet",),
    "porcelain": ("platinum",),
    "ivory": ("platinum",),
    "beige": ("platinum", "blond"),
    "honey": ("blond", "ginger"),
    "tan": ("ginger", "chestnut"),
    "caramel": ("auburn", "chestnut"),
    "chestnut": ("auburn", "chestnut"),
    "espresso": ("brown", "chestnut"),
}


def sample_attributes(rng: np.random.Generator) -> FaceAttributes:
    """A random face: independent choices, but colours that touch differ, and a hat or long
    eyelashes rule out a few things."""
    chosen: dict[str, Any] = {name: _choice(name, rng) for name in CHOICES}
    clashing = {*_CLASHES.get(chosen["background_colour"], ()), *_CLASHES[chosen["skin"]]}
    hair_colours = _DYED if rng.random() < _DYED_SHARE else _NATURAL
    chosen["hair_colour"] = _pick([c for c in hair_colours if c not in clashing], rng)
    taken = set(_CLASHES.get(chosen["background_colour"], ()))
    for name in ("clothes_colour", "accent_colour", "hat_colour"):
        chosen[name] = _pick([c for c in CHOICES[name] if c not in taken], rng)
        taken.add(chosen[name])
    chosen.update(_consequences(chosen))
    chosen.update((name, float(rng.uniform(*ends))) for name, ends in RANGES.items())
    return FaceAttributes(**chosen)


def follows_rules(face: FaceAttributes) -> bool:
    """Whether a face could have been sampled: its choices go together."""
    chosen: dict[str, str] = {name: getattr(face, name) for name in CHOICES}
    around = {*_CLASHES.get(face.background_colour, ())}
    cloth = {face.clothes_colour, face.accent_colour, face.hat_colour}
    return (
        {**chosen, **_consequences(chosen)} == chosen
        and face.hair_colour not in around | {*_CLASHES[face.skin]}
        and len(cloth) == 3
        and not cloth & around
    )


def _consequences(chosen: dict[str, str]) -> dict[str, str]:
    """Choices that follow from others: hidden or unbecoming things are absent."""
    shaven = {"beard": "none", "moustache": "none"}
    if chosen["hat"] == "headscarf":
        return {"hair": "bald", "earrings": "none", **shaven}
    changes = shaven if chosen["eyes"] == "lashes" or chosen["hair"] == "pigtails" else {}
    if chosen["hat"] in ("crown", "party") and chosen["hair"] in ("bun", "mohawk"):
        return {"hair": "buzz", **changes}
    return changes


def _choice(name: str, rng: np.random.Generator) -> str:
    choices = CHOICES[name]
    if name not in _PRESENCE:
        return _pick(choices, rng)
    return _pick(choices[1:], rng) if rng.random() < _PRESENCE[name] else "none"


def _pick(choices: list[str] | tuple[str, ...], rng: np.random.Generator) -> str:
    return choices[int(rng.integers(len(choices)))]
