"""Contact sheets: images in rows and columns with headings, labels and captions.

Text is set in the typeface inside Pillow, so that any machine draws the same.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image, ImageDraw, ImageFont

from e2eve.geometry import Box

PAPER = (255, 255, 255)
INK = (31, 36, 48)
FAINT = (107, 114, 128)
HAIRLINE = (214, 218, 226)
EDIT = (255, 45, 149)
DRIVER = (0, 158, 222)

Colour = tuple[int, int, int]
GridImage = np.ndarray | None  # an image or a mask; None leaves its place empty
Face = ImageFont.FreeTypeFont | ImageFont.ImageFont

# Signs that the typeface lacks: multiplication sign, en dash, em dash, minus sign, arrow.
REPLACEMENTS = {0x00D7: "x", 0x2013: "-", 0x2014: "-", 0x2212: "-", 0x2192: ">"}


@dataclass(frozen=True)
class GridLayout:
    """Where things lie on a sheet, in pixels."""

    cell: int  # side of an image
    gutter: int  # between images
    text_size: int
    line_height: int
    row_height: int  # from the top of one row of images to the top of the next
    origin: tuple[int, int]  # (left, top) of the first image
    size: tuple[int, int]  # (width, height) of the sheet

    def box(self, row: int, column: int) -> Box:
        """The square that holds one image."""
        left = self.origin[0] + column * (self.cell + self.gutter)
        top = self.origin[1] + row * self.row_height
        return Box(left, top, left + self.cell, top + self.cell)


def grid_layout(
    rows: Sequence[Sequence[GridImage]],
    headings: Sequence[str],
    labels: Sequence[str] | None,
    cell: int,
    captions: Sequence[Sequence[str | None]] | None = None,
) -> GridLayout:
    """The layout `image_grid` draws with.

    Raises ValueError without rows, or if labels or captions don't match the rows.
    """
    if not rows or not max(len(row) for row in rows):
        raise ValueError("An image grid needs an image, none was given.")
    for name, given in (("labels", labels), ("captions", captions)):
        if given is not None and len(given) != len(rows):
            raise ValueError(f"{len(given)} {name} for {len(rows)} rows of images, give as many.")
    gutter, text_size = max(4, cell // 16), int(np.clip(cell // 10, 12, 18))
    face, line_height = font(text_size), round(1.3 * text_size)
    widths = [
        int(face.getlength(line)) + 1 + gutter
        for text in labels or []
        for line in wrapped(text, face, 1.2 * cell, 4)
    ]
    above = max((len(wrapped(text, face, cell)) for text in headings if text), default=0)
    texts = [text for row in captions or [] for text in row if text]
    below = max((len(wrapped(text, face, cell)) for text in texts), default=0)
    left = 2 * gutter + max(widths, default=0)
    top = 2 * gutter + (above * line_height + gutter if above else 0)
    row_height = cell + gutter + (below * line_height + gutter // 2 if below else 0)
    columns = max(len(headings), *(len(row) for row in rows))
    size = (left + columns * (cell + gutter) + gutter, top + len(rows) * row_height + gutter)
    return GridLayout(cell, gutter, text_size, line_height, row_height, (left, top), size)


def image_grid(
    rows: Sequence[Sequence[GridImage]],
    headings: Sequence[str] = (),
    labels: Sequence[str] | None = None,
    cell: int = 160,
    captions: Sequence[Sequence[str | None]] | None = None,
) -> Image.Image:
    """A sheet of images on white.

    Args:
        rows: images, `uint8` (height, width, 3), or masks, `bool` (height, width); any size,
            fitted into the cell; None leaves a place empty.
        headings: a text above each column.
        labels: a text at the left of each row.
        cell: side of an image on the sheet, in pixels.
        captions: a text under each image, None for no text.
    """
    layout = grid_layout(rows, headings, labels, cell, captions)
    sheet = Image.new("RGB", layout.size, PAPER)
    draw, face, gutter = ImageDraw.Draw(sheet), font(layout.text_size), layout.gutter
    for column, heading in enumerate(headings):
        lines = wrapped(heading, face, cell)
        top = layout.origin[1] - gutter - len(lines) * layout.line_height
        _write(draw, layout, lines, (layout.box(0, column).centre[0], top), INK)
    for row, images in enumerate(rows):
        if labels is not None:
            box, lines = layout.box(row, 0), wrapped(labels[row], face, 1.2 * cell, 4)
            middle = box.centre[1] - len(lines) * layout.line_height / 2
            _write(draw, layout, lines, (box.left - gutter, middle), INK, FAINT, anchor="ra")
        for column, image in enumerate(images):
            if image is not None:
                _paste(sheet, draw, fitted(image, cell), layout.box(row, column))
        for column, caption in enumerate(captions[row] if captions else ()):
            box, lines = layout.box(row, column), wrapped(caption or "", face, cell)
            _write(draw, layout, lines, (box.centre[0], box.bottom + gutter // 2), FAINT)
    return sheet


def _paste(sheet: Image.Image, draw: ImageDraw.ImageDraw, image: np.ndarray, box: Box) -> None:
    height, width = image.shape[:2]
    left, top = box.left + (box.width - width) // 2, box.top + (box.height - height) // 2
    draw.rectangle((left - 1, top - 1, left + width, top + height), outline=HAIRLINE)
    sheet.paste(Image.fromarray(image), (left, top))


# Lines below each other; the last colour is for all that follow.
def _write(
    draw: ImageDraw.ImageDraw,
    layout: GridLayout,
    lines: Sequence[str],
    position: tuple[float, float],
    *colours: Colour,
    anchor: str = "ma",
) -> None:
    for number, line in enumerate(lines):
        place = (position[0], position[1] + number * layout.line_height)
        colour = colours[min(number, len(colours) - 1)]
        draw.text(place, line, fill=colour, font=font(layout.text_size), anchor=anchor)


def fitted(image: np.ndarray, side: int) -> UInt8[np.ndarray, "height width 3"]:
    """An image or mask with its longer edge `side` pixels long.

    Images are resized smoothly, masks stay black and white.
    """
    is_mask = image.dtype == np.bool_
    image = mask_image(image) if is_mask else image
    scale = side / max(image.shape[:2])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    smooth = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(image, size, interpolation=cv2.INTER_NEAREST if is_mask else smooth)


def mask_image(mask: Bool[np.ndarray, "height width"]) -> UInt8[np.ndarray, "height width 3"]:
    """White where the mask says edit, black where it says keep."""
    return np.repeat(np.where(mask, 255, 0).astype(np.uint8)[..., None], 3, axis=2)


def outlined(
    image: UInt8[np.ndarray, "height width 3"],
    mask: Bool[np.ndarray, "height width"],
    colour: Colour = EDIT,
) -> UInt8[np.ndarray, "height width 3"]:
    """A copy with the rim of the mask coloured, a 64th of the image wide.

    The rim lies inside the mask: every pixel outside it, and its interior, stays as it was.
    """
    thickness = max(1, round(max(mask.shape) / 64))
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (2 * thickness + 1, 2 * thickness + 1))
    border = cv2.erode(mask.astype(np.uint8), kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    result = image.copy()
    result[mask & (border == 0)] = colour
    return result


@cache
def font(size: int) -> Face:
    """The built-in typeface, `size` pixels high."""
    return ImageFont.load_default(size)


@cache
def _has_glyph(character: str) -> bool:
    face = font(16)
    return character == " " or bytes(face.getmask(character)) != bytes(face.getmask("\uffff"))


def printable(text: str) -> str:
    """The text in letters the built-in typeface has: accents dropped, others become `?`."""
    plain = unicodedata.normalize("NFKD", text.translate(REPLACEMENTS))
    return "".join(c if _has_glyph(c) else "?" for c in plain if not unicodedata.combining(c))


def wrapped(text: str, face: Face, width: float, lines: int = 2) -> list[str]:
    """At most `lines` lines of at most `width` pixels, broken at spaces and newlines."""
    result: list[str] = []
    for paragraph in map(printable, text.split("\n") if text else ()):
        result.append("")
        for word in paragraph.split():
            longer = f"{result[-1]} {word}".strip()
            if result[-1] and face.getlength(longer) > width:
                result.append(word)
            else:
                result[-1] = longer
    if len(result) > lines:
        result = [*result[: lines - 1], " ".join(result[lines - 1 :])]
    return [_shortened(line, face, width) for line in result]


# The text, or its beginning and an ellipsis where it is wider than `width` pixels.
def _shortened(text: str, face: Face, width: float) -> str:
    if face.getlength(text) <= width:
        return text
    while text and face.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"
