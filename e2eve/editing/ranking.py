"""Which edits show the driver best."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8

from e2eve.data.images import to_tensor
from e2eve.features import FeatureExtractor
from e2eve.geometry import Box
from e2eve.metrics.retrieval import sweep_distances, sweep_features


@torch.no_grad()
def driver_distances(
    extractor: FeatureExtractor,
    edits: Sequence[UInt8[np.ndarray, "side side 3"]],
    region: Box,
    driver: UInt8[np.ndarray, "driver_side driver_side 3"],
) -> Float[np.ndarray, " edits"]:
    """Distance of each edit's region to the driver, in the extractor's feature space.

    As in the metric R@k: the Euclidean distance to the nearest of 14 sub-crops of the region, so
    that an object counts wherever in the region it stands.

    Args:
        region: bounding box of the region, in pixels of the edits.
    """
    device = next(extractor.buffers()).device
    images = to_tensor(np.stack(edits)).to(device)
    queries = sweep_features(extractor, images, [region] * len(edits), side=len(driver))
    target = extractor(to_tensor(driver)[None].to(device))
    distances = sweep_distances(queries, target.expand(len(edits), 1, -1))
    return distances[:, 0].cpu().numpy()
