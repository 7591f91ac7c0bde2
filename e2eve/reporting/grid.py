"""Contact sheets: images in rows and columns with headings, labels and captions."""

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
GridImage = np.ndarray | None
"""An image or a mask; None leaves its place empty."""

Face = ImageFont.FreeTypeFont | ImageFont.ImageFont

REPLACEMENTS = {
    0x00D7: "x",  # multiplication sign
    0x2013: "-",  # en dash
    0x2014: "-",  # em dash
    0x2212: "-",  # minus sign
    0x2192: ">",  # arrow
}


@dataclass(frozen=True)
class GridLayout:
    """Where things lie on a sheet, in pixels.

    `heading_lines` and `caption_lines` are the text lines above each column and under each
    image; `label_width` is the width of the column of row labels, 0 without labels.
    """

    rows: int
    columns: int
    cell: int
    label_width: int = 0
    heading_lines: int = 0
    caption_lines: int = 0

    @property
    def gutter(self) -> int:
        return max(4, self.cell // 16)

    @property
    def margin(self) -> int:
        return 2 * self.gutter

    @property
    def text_size(self) -> int:
        return int(np.clip(self.cell // 10, 12, 18))

    @property
    def line_height(self) -> int:
        return round(1.3 * self.text_size)

    @property
    def row_height(self) -> int:
        """From the top of one row of images to the top of the next."""
        captions = self.caption_lines * self.line_height
        return self.cell + self.gutter + captions + (self.gutter // 2 if captions else 0)

    @property
    def origin(self) -> tuple[int, int]:
        """(left, top) of the first image."""
        label = self.label_width + self.gutter if self.label_width else 0
        heading = self.heading_lines * self.line_height + self.gutter if self.heading_lines else 0
        return self.margin + label, self.margin + heading

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the sheet."""
        left, top = self.origin
        width = left + self.columns * (self.cell + self.gutter) - self.gutter + self.margin
        return width, top + self.rows * self.row_height - self.gutter + self.margin

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

    Raises:
        ValueError: without rows, or where labels or captions don't match the rows.
    """
    if not rows or not max(len(row) for row in rows):
        raise ValueError("An image grid needs an image, none was given.")
    for name, given in (("labels", labels), ("captions", captions)):
        if given is not None and len(given) != len(rows):
            raise ValueError(f"{len(given)} {name} for {len(rows)} rows of images, give as many.")
    columns = max(len(headings), *(len(row) for row in rows))
    face = font(GridLayout(len(rows), columns, cell).text_size)
    label_lines = [line for text in labels or [] for line in wrapped(text, face, 1.2 * cell, 4)]
    texts = [text for row in captions or [] for text in row if text]
    return GridLayout(
        len(rows),
        columns,
        cell,
        label_width=max((int(face.getlength(line)) + 1 for line in label_lines), default=0),
        heading_lines=max((len(wrapped(text, face, cell)) for text in headings if text), default=0),
        caption_lines=max((len(wrapped(text, face, cell)) for text in texts), default=0),
    )


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
    draw = ImageDraw.Draw(sheet)
    for column, heading in enumerate(headings):
        _write_heading(draw, layout, column, heading)
    for row, images in enumerate(rows):
        if labels is not None:
            _write_label(draw, layout, row, labels[row])
        for column, image in enumerate(images):
            if image is not None:
                _paste(sheet, draw, fitted(image, cell), layout.box(row, column))
        for column, caption in enumerate(captions[row] if captions else ()):
            _write_caption(draw, layout, layout.box(row, column), caption)
    return sheet


def _paste(sheet: Image.Image, draw: ImageDraw.ImageDraw, image: np.ndarray, box: Box) -> None:
    height, width = image.shape[:2]
    left, top = box.left + (box.width - width) // 2, box.top + (box.height - height) // 2
    draw.rectangle((left - 1, top - 1, left + width, top + height), outline=HAIRLINE)
    sheet.paste(Image.fromarray(image), (left, top))


def _write_heading(draw: ImageDraw.ImageDraw, layout: GridLayout, column: int, text: str) -> None:
    box, face = layout.box(0, column), font(layout.text_size)
    lines = wrapped(text, face, layout.cell)
    top = layout.margin + (layout.heading_lines - len(lines)) * layout.line_height
    for number, line in enumerate(lines):
        position = (box.centre[0], top + number * layout.line_height)
        draw.text(position, line, fill=INK, font=face, anchor="ma")


def _write_label(draw: ImageDraw.ImageDraw, layout: GridLayout, row: int, text: str) -> None:
    box, face = layout.box(row, 0), font(layout.text_size)
    lines = wrapped(text, face, 1.2 * layout.cell, 4)
    top = box.centre[1] - len(lines) * layout.line_height / 2
    for number, line in enumerate(lines):
        position = (box.left - layout.gutter, top + number * layout.line_height)
        draw.text(position, line, fill=INK if number == 0 else FAINT, font=face, anchor="ra")


def _write_caption(
    draw: ImageDraw.ImageDraw, layout: GridLayout, box: Box, text: str | None
) -> None:
    face = font(layout.text_size)
    for number, line in enumerate(wrapped(text, face, layout.cell) if text else ()):
        top = box.bottom + layout.gutter // 2 + number * layout.line_height
        draw.text((box.centre[0], top), line, fill=FAINT, font=face, anchor="ma")


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
    missing = bytes(face.getmask("\uffff"))
    return character == " " or bytes(face.getmask(character)) != missing


def printable(text: str) -> str:
    """The text in letters the built-in typeface has: accents dropped, others become `?`."""
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


picture_grid, mask_picture = image_grid, mask_image  # until call sites follow
