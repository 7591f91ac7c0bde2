"""The Inception-v3 of the Fréchet inception distance: Heusel et al. 2017 (arXiv 1706.08500).

Network and resizing are torch-fidelity's (the TensorFlow graph of 2015, bilinear to 299 × 299).
"""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from e2eve.features.frozen import FeatureExtractor, freeze, read_weights, weights_path


class InceptionV3(FeatureExtractor):
    """2048 features of the last pooling layer, of images rounded to 8 bits as FID asks."""

    name = "inception_v3"
    dim = 2048
    frechet_name = "FID"

    def __init__(self, weights: str | Path | None = None) -> None:
        super().__init__()
        self.network = load_inception(weights)

    @torch.no_grad()
    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 2048"]:
        pixels = (images.float() * 127.5 + 127.5).round().clamp(0, 255).to(torch.uint8)
        with torch.autocast(images.device.type, enabled=False):
            return self.network(pixels)[0]


def load_inception(weights: str | Path | None) -> nn.Module:
    """The frozen network that gives pooled features.

    Raises:
        ValueError: when the weights are not to be had, or are another network's.
    """
    from torch_fidelity import feature_extractor_inceptionv3 as fidelity

    path = weights_path(weights, fidelity.URL_INCEPTION_V3, "FID (Inception-v3)")
    read_weights(path)  # torch-fidelity unpickles the file without a look at what is in it
    try:
        network = fidelity.FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(path)
        )
    except RuntimeError as error:
        raise ValueError(f"{path} does not hold torch-fidelity's Inception-v3: {error}") from error
    return freeze(network)
