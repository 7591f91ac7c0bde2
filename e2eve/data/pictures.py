"""The earlier name of `e2eve.data.splits.Images`."""

from e2eve.data.splits import Images as Pictures

__all__ = ["Pictures"]
