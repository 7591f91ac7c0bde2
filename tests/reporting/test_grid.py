"""Image grids: sizes as computed, pixels where they should be, outlines inside the mask."""

import numpy as np
import pytest

from e2eve.geometry import Box
from e2eve.reporting.grid import (
    EDIT,
    HAIRLINE,
    PAPER,
    fitted,
    font,
    grid_layout,
    image_grid,
    mask_image,
    outlined,
    printable,
    wrapped,
)


def plain(colour: tuple[int, int, int], height: int = 8, width: int = 8) -> np.ndarray:
    return np.full((height, width, 3), colour, dtype=np.uint8)


COLOURS = [[(200, 10, 10), (10, 200, 10), (10, 10, 200)], [(90, 90, 0), (0, 90, 90), (90, 0, 90)]]


@pytest.mark.parametrize("headings", [(), ("a", "a long heading that needs two lines", "c")])
@pytest.mark.parametrize("labels", [None, ["first", "second\nwith a name"]])
@pytest.mark.parametrize("captions", [None, [[None, "0.5", None], ["x", None, "y"]]])
def test_every_image_fills_its_cell_and_nothing_else(headings, labels, captions):
    rows = [[plain(c) for c in row] for row in COLOURS]
    sheet = image_grid(rows, headings, labels, 48, captions)
    layout = grid_layout(rows, headings, labels, 48, captions)
    assert sheet.size == layout.size
    pixels = np.asarray(sheet)
    for row, colours in enumerate(COLOURS):
        for column, colour in enumerate(colours):
            box = layout.box(row, column)
            assert (box.width, box.height) == (48, 48)
            assert (box.crop(pixels) == colour).all()
            assert (pixels == colour).all(-1).sum() == 48 * 48
            assert tuple(pixels[box.top - 1, box.left]) == HAIRLINE
            assert tuple(pixels[box.top - 2, box.right + 1]) == PAPER


def test_a_missing_image_stays_white():
    rows = [[plain((9, 9, 9)), None]]
    layout = grid_layout(rows, (), None, 32)
    assert (layout.box(0, 1).crop(np.asarray(image_grid(rows, cell=32))) == 255).all()


def test_tall_images_keep_their_shape_and_are_centred():
    pixels = np.asarray(image_grid([[plain((9, 9, 9), height=40, width=20)]], cell=32))
    box = Box.around((pixels == 9).all(-1))
    cell = grid_layout([[plain((9, 9, 9))]], (), None, 32).box(0, 0)
    assert (box.width, box.height) == (16, 32)
    assert box.centre == cell.centre


def test_masks_are_shown_black_and_white_at_any_size():
    mask = Box(1, 2, 4, 5).mask(6, 6)
    assert np.array_equal(mask_image(mask)[..., 0] == 255, mask)
    assert set(np.unique(fitted(mask, 31))) == {0, 255}


def test_an_outline_changes_only_the_rim_inside_the_mask():
    image, mask = plain((50, 60, 70), 64, 64), Box(0, 10, 30, 40).mask(64, 64)
    result = outlined(image, mask)
    changed = (result != image).any(-1)
    assert (result[changed] == EDIT).all()
    assert not (changed & ~mask).any()
    assert not changed[Box(1, 11, 29, 39).mask(64, 64)].any()
    assert changed[20, 0] and changed[10, 15] and changed[39, 29]
    assert (image == (50, 60, 70)).all()


def test_text_that_the_typeface_lacks_is_replaced():
    assert printable("Zoë \N{MULTIPLICATION SIGN} 2 \N{EM DASH} 道") == "Zoe x 2 - ?"


def test_wrapped_lines_fit():
    face = font(12)
    lines = wrapped("a rather long heading for such a narrow column of images", face, 60, 3)
    assert len(lines) == 3
    assert all(face.getlength(line) <= 60 for line in lines)
    assert lines[-1].endswith("…")


def test_wrong_grids_are_refused():
    with pytest.raises(ValueError, match="needs an image"):
        image_grid([[]])
    with pytest.raises(ValueError, match="1 labels for 2 rows"):
        image_grid([[plain((0, 0, 0))]] * 2, labels=["one"])
