"""A data set."""

import numpy as np


class Discs:
    """Coloured discs on coloured grounds: image n is the same whenever it is asked for."""

    def __init__(self, split: str, size: int, length: int) -> None:
        self.split, self.size, self.length = split, size, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> np.ndarray:
        rng = np.random.default_rng((self.split == "val", index))
        places = np.moveaxis(np.indices((self.size, self.size)), 0, -1)
        inside = ((places - rng.uniform(0, self.size, 2)) ** 2).sum(-1) < (self.size / 3) ** 2
        ground, disc = rng.integers(0, 256, (2, 3), dtype=np.uint8)
        return np.where(inside[..., None], disc, ground)

    def name(self, index: int) -> str:
        return f"disc-{self.split}-{index}"
