"""Edits without a network: what a learned editor has to beat.

All take a batch of inputs and return pictures whose pixels outside the region are the source's.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

from e2eve.editing.compositing import pasted
from e2eve.geometry import Box

Sources = UInt8[np.ndarray, "inputs side side 3"]
Regions = Bool[np.ndarray, "inputs side side"]
Drivers = UInt8[np.ndarray, "inputs driver_side driver_side 3"]
Baseline = Callable[[Sources, Regions, Sequence[Box], Drivers], Sources]

BORDER = 8
"""Pixels by which a picture is continued before it is blended."""

SMALLEST_CLONE = 3
"""A region less wide or high, in pixels, has no interior whose colours could be fitted."""


def unchanged(
    sources: Sources, regions: Regions, region_boxes: Sequence[Box], drivers: Drivers
) -> Sources:
    """The source itself: perfectly natural and local, ignores the driver."""
    return sources.copy()


def paste(
    sources: Sources, regions: Regions, region_boxes: Sequence[Box], drivers: Drivers
) -> Sources:
    """The driver resized to the region's bounding box, shown where the region is."""
    inputs = zip(sources, regions, region_boxes, drivers, strict=True)
    return np.stack([pasted(*item) for item in inputs])


def poisson(
    sources: Sources, regions: Regions, region_boxes: Sequence[Box], drivers: Drivers
) -> Sources:
    """The paste with its gradients kept and its colours fitted to the source around the region.

    Seamless cloning of Pérez, Gangnet and Blake, "Poisson Image Editing", 2003, by OpenCV. A region
    that touches the picture's border is fitted to the border pixels there: the source is continued
    by repeating them. A region below `SMALLEST_CLONE` pixels stays a plain paste.
    """
    edits = sources.copy()
    pasted = paste(sources, regions, region_boxes, drivers)
    for edit, region, box, patch in zip(edits, regions, region_boxes, pasted, strict=True):
        fits = min(box.width, box.height) >= SMALLEST_CLONE
        blend = _cloned(patch, edit, region, box) if fits else patch
        np.copyto(edit, blend, where=region[..., None])
    return edits


def _cloned(
    patch: UInt8[np.ndarray, "side side 3"],
    source: UInt8[np.ndarray, "side side 3"],
    region: Bool[np.ndarray, "side side"],
    box: Box,
) -> UInt8[np.ndarray, "side side 3"]:
    """OpenCV centres the mask's bounding box on a point, which rounds down for odd sizes."""
    sides = (BORDER, BORDER, BORDER, BORDER)
    patch, source = (
        cv2.copyMakeBorder(image, *sides, cv2.BORDER_REPLICATE) for image in (patch, source)
    )
    mask = cv2.copyMakeBorder(255 * region.astype(np.uint8), *sides, cv2.BORDER_CONSTANT, value=0)
    centre = (BORDER + box.left + box.width // 2, BORDER + box.top + box.height // 2)
    blend = cv2.seamlessClone(patch, source, mask, centre, cv2.NORMAL_CLONE)
    return blend[BORDER:-BORDER, BORDER:-BORDER]
