"""The typeface of every picture grid: the one inside Pillow, so that any machine draws the same."""

import unicodedata
from functools import cache

from PIL import ImageFont

REPLACEMENTS = {
    0x00D7: "x",  # multiplication sign
    0x2013: "-",  # en dash
    0x2014: "-",  # em dash
    0x2212: "-",  # minus sign
    0x2192: ">",  # arrow
}


Face = ImageFont.FreeTypeFont | ImageFont.ImageFont


@cache
def font(size: int) -> Face:
    """The built-in typeface, `size` pixels high."""
    return ImageFont.load_default(size)


@cache
def _has_glyph(character: str) -> bool:
    face = font(16)
    missing = bytes(face.getmask("\uffff"))
    return character == " " or bytes(face.getmask(character)) != missing


def printable(text: str) -> str:
    """The text in letters the built-in typeface has: accents dropped, other strangers as `?`."""
    plain = unicodedata.normalize("NFKD", text.translate(REPLACEMENTS))
    kept = (c for c in plain if not unicodedata.combining(c))
    return "".join(c if _has_glyph(c) else "?" for c in kept)


def shortened(text: str, face: Face, width: float) -> str:
    """The text, or its beginning and an ellipsis where it is wider than `width` pixels."""
    if face.getlength(text) <= width:
        return text
    while text and face.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"


def wrapped(text: str, face: Face, width: float, lines: int = 2) -> list[str]:
    """At most `lines` lines of at most `width` pixels, broken at spaces and newlines."""
    result: list[str] = []
    for paragraph in printable_lines(text):
        line = ""
        for word in paragraph.split():
            longer = f"{line} {word}".strip()
            if line and face.getlength(longer) > width:
                result.append(line)
                line = word
            else:
                line = longer
        result.append(line)
    if len(result) > lines:
        result = [*result[: lines - 1], " ".join(result[lines - 1 :])]
    return [shortened(line, face, width) for line in result]


def printable_lines(text: str) -> list[str]:
    return [printable(line) for line in text.split("\n")]
