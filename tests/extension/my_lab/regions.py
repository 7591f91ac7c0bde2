"""A mask type."""

from dataclasses import dataclass

import numpy as np

from e2eve.edit_simulation import Region


@dataclass(frozen=True)
class Ellipse:
    """An upright ellipse inside the image; radii are shares of the image's side."""

    min_radius: float = 0.2
    max_radius: float = 0.35

    def __call__(self, side: int, rng: np.random.Generator) -> Region:
        radii = side * rng.uniform(self.min_radius, self.max_radius, size=2)
        centre = rng.uniform(radii, side - radii)
        places = np.moveaxis(np.indices((side, side)), 0, -1) + 0.5
        return Region.of_mask((((places - centre) / radii) ** 2).sum(-1) < 1)
