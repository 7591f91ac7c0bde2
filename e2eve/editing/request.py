"""One edit that a person asks for: source, driver and region, ready for an editor."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from torch import Tensor

from e2eve.data.images import resize, square, to_tensor
from e2eve.editing.given import Picture, Region, as_image, as_region
from e2eve.editing.paste import pasted
from e2eve.editing.ranking import driver_distances
from e2eve.editing.result import Edits
from e2eve.editing.window import composed, cut, reduced, stencil, window_around
from e2eve.features import FeatureExtractor
from e2eve.geometry import Box

FEATHER = 1 / 128
"""Width of the rim inside the region in which source and edit mix, as a share of the window."""


class EditTensors(NamedTuple):
    """A batch of one, as `Editor.condition` and `Editor.draft` take it."""

    sources: Float[Tensor, "1 3 side side"]
    regions: Bool[Tensor, "1 1 side side"]
    drivers: Float[Tensor, "1 3 driver_side driver_side"]
    pastes: Float[Tensor, "1 3 side side"]


@dataclass(frozen=True, eq=False)
class EditRequest:
    """`source` and `region` are as given; `window_*` and `driver` as the editor sees them.

    Of a driver that is not square the largest centred square is used.
    """

    source: UInt8[np.ndarray, "height width 3"]
    region: Bool[np.ndarray, "height width"]
    window: Box
    window_image: UInt8[np.ndarray, "side side 3"]
    window_region: Bool[np.ndarray, "side side"]
    driver: UInt8[np.ndarray, "driver_side driver_side 3"]

    @classmethod
    def of(
        cls, source: Picture, driver: Picture, region: Region, image_size: int, driver_size: int
    ) -> "EditRequest":
        """Read the pictures, choose the window and resize it to `image_size` pixels.

        Raises:
            ValueError: when one of them cannot be used; the sentence says what to give.
        """
        image = as_image(source, "source")
        height, width = image.shape[:2]
        mask = as_region(region, width, height)
        window = window_around(Box.around(mask), width, height)
        return cls(
            source=image,
            region=mask,
            window=window,
            window_image=resize(cut(image, window), image_size, image_size),
            window_region=reduced(cut(mask.view(np.uint8), window).view(np.bool_), image_size),
            driver=square(as_image(driver, "driver"), driver_size),
        )

    def tensors(self, device: torch.device, dtype: torch.dtype) -> EditTensors:
        region, driver = self.window_region, self.driver
        paste = pasted(self.window_image, region, Box.around(region), driver)
        return EditTensors(
            to_tensor(self.window_image)[None].to(device, dtype),
            torch.from_numpy(region)[None, None].to(device),
            to_tensor(driver)[None].to(device, dtype),
            to_tensor(paste)[None].to(device, dtype),
        )

    def ranked(
        self,
        painted: Sequence[UInt8[np.ndarray, "side side 3"]],
        seed: int,
        extractor: FeatureExtractor,
    ) -> Edits:
        """What an editor painted into the window, put into the source and ranked.

        Args:
            painted: samples 0, 1, … of the seed; only what lies inside the region is used.
        """
        box = Box.around(self.window_region)
        distances = driver_distances(extractor, painted, box, self.driver)
        order = np.argsort(distances, kind="stable")
        cut_out = stencil(self.region, FEATHER * self.window.width)
        return Edits(
            images=[
                Image.fromarray(composed(self.source, cut_out, self.window, painted[number]))
                for number in order
            ],
            scores=[-float(distances[number]) for number in order],
            numbers=[int(number) for number in order],
            seed=seed,
            region=self.region,
            source=self.source,
            driver=self.driver,
        )
