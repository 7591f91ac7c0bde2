"""The order of tokens in the editor's sequence: driver, masked source, target."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor


class Sequence(NamedTuple):
    driver_ids: Int[Tensor, "batch driver"]
    source_ids: Int[Tensor, "batch source"]
    target_ids: Int[Tensor, "batch target"]


@dataclass(frozen=True)
class SequenceLayout:
    """How many tokens each part has; source and target have the same grid."""

    driver: int = 16
    source: int = 256

    def __post_init__(self) -> None:
        for name, count in (("driver", self.driver), ("source", self.source)):
            if count < 1 or math.isqrt(count) ** 2 != count:
                raise ValueError(
                    f"The {name} has {count} tokens, which is no square grid: choose a picture "
                    "side that is a multiple of the tokenizer's cell."
                )

    @property
    def target(self) -> int:
        return self.source

    @property
    def conditioning(self) -> int:
        return self.driver + self.source

    @property
    def length(self) -> int:
        return self.conditioning + self.target

    def condition_kinds(self) -> Int[Tensor, "conditioning"]:
        """0 on driver positions, 1 on masked-source positions."""
        return torch.tensor([0] * self.driver + [1] * self.source)

    def join(
        self,
        driver_ids: Int[Tensor, "batch driver"],
        source_ids: Int[Tensor, "batch source"],
        target_ids: Int[Tensor, "batch target"],
    ) -> Int[Tensor, "batch length"]:
        """One sequence; `split` undoes it."""
        parts = {"driver": driver_ids, "source": source_ids, "target": target_ids}
        for name, ids in parts.items():
            if ids.shape[1] != getattr(self, name):
                raise ValueError(
                    f"The {name} has {ids.shape[1]} ids where this editor reads "
                    f"{getattr(self, name)}: encode it at the editor's picture size."
                )
        return torch.cat([driver_ids, source_ids, target_ids], dim=1)

    def split(self, ids: Int[Tensor, "batch length"]) -> Sequence:
        return Sequence(*ids.split([self.driver, self.source, self.target], dim=1))

    def grid_code(self, width: int) -> Float[Tensor, "length width"]:
        """A sinusoidal code of the cell that each position is about.

        A source position is about its own cell, a position that predicts a target token about
        that token's cell, so that a cell and its copy in the source share a code from the start.
        Where the driver goes is not known: its positions have no code.
        """
        source = _grid(math.isqrt(self.source), width)
        driver = torch.zeros(self.driver, width)
        # The last source position predicts target cell 0; the last target position predicts none.
        predicts = torch.cat([source[1:], torch.zeros(1, width)])
        return torch.cat([driver, source, predicts])


def _grid(side: int, width: int) -> Float[Tensor, "cells width"]:
    """Sines and cosines of row and column of a side × side grid, in as many channels as needed."""
    frequencies = math.pi / side * 1.5 ** torch.arange(width // 4)
    frequencies = frequencies[: max(1, int((frequencies <= math.pi).sum()))]
    phases = (torch.arange(side) + 0.5)[:, None] * frequencies
    line = torch.cat([phases.sin(), phases.cos()], dim=1)
    rows, columns = line.repeat_interleave(side, 0), line.repeat(side, 1)
    code = torch.zeros(side * side, width)
    code[:, : 2 * line.shape[1]] = torch.cat([rows, columns], dim=1)[:, :width]
    return code
