"""Rank and keep: draw many samples, show the few that look most like the driver."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor


class Kept(NamedTuple):
    """The samples kept of each input, best first."""

    indices: Int[Tensor, "batch kept"]
    distances: Float[Tensor, "batch kept"]


def rank_and_keep(
    samples: Float[Tensor, "batch samples dim"], drivers: Float[Tensor, "batch dim"], keep: int
) -> Kept:
    """The `keep` samples of each input nearest (Euclidean) to its driver; ties in drawing order.

    Raises:
        ValueError: when `keep` is below 1 or above the number of samples.
    """
    if not 1 <= keep <= samples.shape[1]:
        raise ValueError(
            f"Cannot keep {keep} of {samples.shape[1]} samples, keep between 1 and "
            f"{samples.shape[1]} or draw more."
        )
    distances = torch.linalg.vector_norm(samples - drivers[:, None], dim=-1)
    ranked, order = distances.sort(dim=1, stable=True)
    return Kept(order[:, :keep], ranked[:, :keep])
