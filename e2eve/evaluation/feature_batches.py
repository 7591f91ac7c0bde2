"""Features of many pictures, computed where the extractor is."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from e2eve.data.images import to_tensor
from e2eve.features import FeatureExtractor
from e2eve.geometry import Box
from e2eve.metrics import crop_and_resize

AT_ONCE = 16
"""Pictures that an extractor reads at once: with 64, a CPU takes twice as long for each."""


def features_of(
    extractor: FeatureExtractor,
    images: Iterable[UInt8[np.ndarray, "side side 3"]],
    batch_size: int = AT_ONCE,
) -> Float[Tensor, "images dim"]:
    """Features of pictures of one size, on the CPU; computed where the extractor is."""
    parts = to_tensor(np.stack(list(images))).split(batch_size)
    device = device_of(extractor)
    return torch.cat([extractor(part.to(device)).float().cpu() for part in parts])


def region_features(
    extractor: FeatureExtractor,
    images: Float[Tensor, "batch 3 side side"],
    boxes: Sequence[Box],
) -> Float[Tensor, "batch dim"]:
    """Features of one box of each image, enlarged to the image's size."""
    crops = crop_and_resize(images, [[box] for box in boxes], images.shape[-1])
    return extractor(crops[:, 0])


def device_of(extractor: FeatureExtractor) -> torch.device:
    return next(extractor.buffers()).device
