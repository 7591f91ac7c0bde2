"""The square window of a source that an editor works on, and the edit put back into the source.

A window is a `Box` in pixels of the source; it may reach outside an image that is too narrow.
"""

from collections.abc import Callable

import cv2
import numpy as np
from jaxtyping import Bool, Float, Shaped, UInt8

from e2eve.data.images import resize
from e2eve.geometry import Box

FEATHER = 1 / 128  # width of the rim in which source and edit mix, as a share of the window
BORDER = 8  # pixels by which an image is continued before it is blended
SMALLEST_CLONE = 3  # a region less wide or high has no interior whose colours could be fitted
REACH = 2  # pixels to each side that cubic interpolation looks at


def window_around(region: Box, width: int, height: int) -> Box:
    """The square window of a source of `width` × `height` pixels that contains the region.

    The largest square that fits into the source, with the region as near to its middle as the
    source's borders allow. A region wider or higher than that gets a square of its own length,
    which reaches outside the source, evenly, along the shorter side.
    """
    side = max(min(width, height), region.width, region.height)

    def start(first: int, end: int, length: int) -> int:
        if side > length:
            return (length - side) // 2
        return min(max((first + end - side) // 2, 0), length - side)

    left = start(region.left, region.right, width)
    top = start(region.top, region.bottom, height)
    return Box(left, top, left + side, top + side)


def cut(
    array: Shaped[np.ndarray, "height width *channels"], window: Box
) -> Shaped[np.ndarray, "window_height window_width *channels"]:
    """The window's content; outside the image its border pixels are repeated."""
    height, width = array.shape[:2]
    if Box(0, 0, width, height).contains(window):
        return window.crop(array)
    rows = np.arange(window.top, window.bottom).clip(0, height - 1)
    columns = np.arange(window.left, window.right).clip(0, width - 1)
    return array[rows[:, None], columns]


def reduced(
    mask: Bool[np.ndarray, "old_side old_side"], side: int
) -> Bool[np.ndarray, "side side"]:
    """The mask at the size of a resized image: True for every pixel that shows any of it.

    So no region vanishes, and what a resized image shows outside is free of what lay inside.
    """
    if side > len(mask):
        reach = np.ones((2 * REACH + 1, 2 * REACH + 1), np.uint8)
        grown = cv2.dilate(mask.astype(np.uint8), reach)
        return cv2.resize(grown, (side, side), interpolation=cv2.INTER_NEAREST_EXACT) > 0
    return cv2.resize(mask.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA) > 0


def edit_weights(
    region: Bool[np.ndarray, "height width"], feather: float
) -> Float[np.ndarray, "box_height box_width"]:
    """How much of an edit shows, from 0 outside the region to 1, in the region's bounding box.

    In a rim inside the region, `feather` pixels wide, the weight grows with the Euclidean distance
    to the nearest pixel outside it. The image's border is no such pixel.
    """
    height, width = region.shape
    box = Box.around(region)
    if region.all():  # nothing outside that a distance could be measured to
        return np.ones(region.shape, np.float32)
    ring = Box(box.left - 1, box.top - 1, box.right + 1, box.bottom + 1).clipped(width, height)
    levels = ring.crop(region).astype(np.uint8)
    distances = cv2.distanceTransform(levels, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.minimum(box.shifted(-ring.left, -ring.top).crop(distances) / (1 + feather), 1)


def composed(
    source: Shaped[np.ndarray, "height width channels"],
    box: Box,
    weights: Float[np.ndarray, "box_height box_width"],
    window: Box,
    edit: UInt8[np.ndarray, "side side 3"],
    convert: Callable[[np.ndarray], np.ndarray] = lambda colours: colours,
    opacity: bool = False,
) -> Shaped[np.ndarray, "height width channels"]:
    """The source with the edit of its window inside the region; outside, the very same values.

    Args:
        box: bounding box of the region, in pixels of the source.
        weights: of the region, see `edit_weights`.
        convert: makes values as the source's of the edit's colours.
        opacity: whether the last channel is one; colours then count as much as they are seen.
    """
    colours = resize(edit, window.width, window.height)
    patch = convert(box.shifted(-window.left, -window.top).crop(colours))
    result = source.copy()
    place = box.crop(result)
    rim = (weights > 0) & (weights < 1)  # alone computed with: it is thin, and images are large
    old, new, weight = place[rim], patch[rim].astype(np.float32), weights[rim, None]
    if opacity:
        top = np.iinfo(source.dtype).max
        remains = (1 - weight) * (old[:, -1:] / top)
        seen = remains + weight
        mixed = (old * remains + new * weight) / seen
        mixed[:, -1:] = seen * top
    else:
        mixed = old + weight * (new - old)
    place[rim] = np.rint(mixed).astype(source.dtype)
    np.copyto(place, patch, where=weights[..., None] == 1)
    return result


def put_back(
    source: UInt8[np.ndarray, "side side 3"],
    region: Bool[np.ndarray, "side side"],
    edits: UInt8[np.ndarray, "edits side side 3"],
) -> UInt8[np.ndarray, "edits side side 3"]:
    """Edits of a source of the editor's own size, each put into it as a person gets it."""
    height, width = region.shape
    box, weights = Box.around(region), edit_weights(region, FEATHER * width)
    window = Box(0, 0, width, height)
    return np.stack([composed(source, box, weights, window, edit) for edit in edits])


def pasted(
    source: UInt8[np.ndarray, "height width 3"],
    region: Bool[np.ndarray, "height width"],
    box: Box,
    driver: UInt8[np.ndarray, "driver_height driver_width 3"],
) -> UInt8[np.ndarray, "height width 3"]:
    """The simplest edit: the driver resized to the region's bounding box `box`, shown inside it."""
    edit = source.copy()
    shown = box.crop(region)[..., None]
    np.copyto(box.crop(edit), resize(driver, box.width, box.height), where=shown)
    return edit


def blended(
    source: UInt8[np.ndarray, "height width 3"],
    region: Bool[np.ndarray, "height width"],
    box: Box,
    driver: UInt8[np.ndarray, "driver_height driver_width 3"],
) -> UInt8[np.ndarray, "height width 3"]:
    """The paste with its gradients kept and its colours fitted to the source around the region.

    Seamless cloning of Pérez, Gangnet and Blake, "Poisson Image Editing", 2003, by OpenCV. A region
    that touches the image's border is fitted to the border pixels there: the source is continued
    by repeating them. A region below `SMALLEST_CLONE` pixels stays a paste.
    """
    paste = pasted(source, region, box, driver)
    if min(box.width, box.height) < SMALLEST_CLONE:
        return paste
    sides = (BORDER, BORDER, BORDER, BORDER)
    patch, around = (
        cv2.copyMakeBorder(image, *sides, cv2.BORDER_REPLICATE) for image in (paste, source)
    )
    shown = 255 * region.astype(np.uint8)
    mask = cv2.copyMakeBorder(shown, *sides, cv2.BORDER_CONSTANT, value=0)
    # OpenCV centres the mask's bounding box on a point, which rounds down for odd sizes.
    centre = (BORDER + box.left + box.width // 2, BORDER + box.top + box.height // 2)
    cloned = cv2.seamlessClone(patch, around, mask, centre, cv2.NORMAL_CLONE)
    return np.where(region[..., None], cloned[BORDER:-BORDER, BORDER:-BORDER], source)
