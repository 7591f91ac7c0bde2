"""The plainest edit: the driver itself, enlarged and put where the region is."""

import numpy as np
from jaxtyping import Bool, UInt8

from e2eve.data.images import resize
from e2eve.geometry import Box


def pasted(
    source: UInt8[np.ndarray, "height width 3"],
    region: Bool[np.ndarray, "height width"],
    box: Box,
    driver: UInt8[np.ndarray, "driver_side driver_side 3"],
) -> UInt8[np.ndarray, "height width 3"]:
    """The driver resized to the region's bounding box `box`, shown where the region is."""
    edit = source.copy()
    shown = region[box.top : box.bottom, box.left : box.right, None]
    np.copyto(box.crop(edit), resize(driver, box.width, box.height), where=shown)
    return edit
