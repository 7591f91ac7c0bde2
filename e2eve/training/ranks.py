"""Which process of a training this is."""

from pytorch_lightning.utilities import rank_zero_only


def leads() -> bool:
    """Whether it is the first one, which keeps the run folder; known before any training starts."""
    return getattr(rank_zero_only, "rank", 0) == 0
