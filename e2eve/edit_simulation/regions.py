"""Edit regions: which pixels of a square image are to be edited. All sizes are shares of the image.

A region sampler is a callable `(side, rng) -> Region`. `Block` and `Mixed` are here, `FreeForm` and
`Brush` in modules of their own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool

from e2eve.edit_simulation.checks import check_range
from e2eve.geometry import Box


class Region(NamedTuple):
    """The pixels to edit (True), and the smallest box that holds them."""

    mask: Bool[np.ndarray, "side side"]
    box: Box

    @classmethod
    def of_mask(cls, mask: Bool[np.ndarray, "side side"]) -> "Region":
        return cls(mask, Box.around(mask))

    @property
    def is_block(self) -> bool:
        """Whether the mask fills its box."""
        return int(np.count_nonzero(self.mask)) == self.box.area


@runtime_checkable
class RegionSampler(Protocol):
    """Draws an edit region for an image of `side` pixels a side; never an empty one."""

    def __call__(self, side: int, rng: np.random.Generator) -> Region: ...


@dataclass(frozen=True)
class Block:
    """A square around a point drawn uniformly from the image, clipped to the image.

    Args:
        min_side, max_side: range of the side before clipping, as a share of the image side.
    """

    min_side: float = 0.4
    max_side: float = 0.6

    def __post_init__(self) -> None:
        check_range("block side", self.min_side, self.max_side, 0.05, 1)

    def __call__(self, side: int, rng: np.random.Generator) -> Region:
        block = max(1, round(side * rng.uniform(self.min_side, self.max_side)))
        corner = np.rint(rng.uniform(0, side, size=2) - block / 2)
        left, top = corner.clip(1 - block, side - 1).astype(int).tolist()
        box = Box(left, top, left + block, top + block).clipped(side, side)
        return Region(box.mask(side, side), box)


@dataclass(frozen=True)
class Mixed:
    """Each time one of several samplers.

    Args:
        regions: samplers by name.
        weights: how often each is chosen, by the same names; relative, they need not add up to 1.
    """

    regions: Mapping[str, RegionSampler]
    weights: Mapping[str, float]

    def __post_init__(self) -> None:
        if set(self.regions) != set(self.weights):
            raise ValueError(
                f"The mixed regions are {', '.join(self.regions)} and the weights are for "
                f"{', '.join(self.weights)}, give one weight for each region."
            )
        if min(self.weights.values(), default=0) < 0 or sum(self.weights.values()) <= 0:
            raise ValueError(
                f"The weights of the mixed regions are {dict(self.weights)}, give numbers from 0 "
                f"on, at least one of them above 0."
            )

    def __call__(self, side: int, rng: np.random.Generator) -> Region:
        names = list(self.regions)
        weights = np.array([self.weights[name] for name in names], dtype=float)
        chosen = rng.choice(len(names), p=weights / weights.sum())
        return self.regions[names[chosen]](side, rng)
