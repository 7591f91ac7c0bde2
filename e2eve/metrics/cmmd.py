"""CMMD: maximum mean discrepancy of CLIP's embeddings of edits and of real images.

Jayasumana et al. 2024, "Rethinking FID" (arXiv 2401.09603). As in its authors' code an image also
counts as a pair with itself, so that the value is never negative and zero for the same set only.
"""

import math

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from e2eve.metrics.base import EvaluatedBatch, MetricInfo
from e2eve.metrics.feature_distances import Frechet, check_features

SIGMA, SCALE = 10.0, 1000.0  # of the Gaussian kernel; and of the number, to be read easily


def cmmd(a: Float[Tensor, "count_a dim_a"], b: Float[Tensor, "count_b dim_b"]) -> float:
    """SCALE (E k(a, a') + E k(b, b') - 2 E k(a, b)), k(x, y) = exp(-‖x - y‖² / 2 SIGMA²); float64.

    Features are brought to unit length first. The means are over all pairs.

    Raises:
        ValueError: for fewer than 2 features, or sets of different dimension.
    """
    check_features(a, b)
    a, b = (functional.normalize(features.double()) for features in (a, b))

    def mean(x: Tensor, y: Tensor) -> float:
        # ‖x - y‖² = 2 - 2 x·y; what is near 1 in the kernel is left out, for its digits' sake.
        return ((x @ y.T - 1) / SIGMA**2).expm1().mean().item()

    return max(0.0, SCALE * math.fsum((mean(a, a), mean(b, b), -2 * mean(a, b))))


class CMMD(Frechet):
    """CMMD of edits and real images, where the validation set was built with CLIP.

    The name alone stands for ViT-L/14 at 336 pixels; with other weights it is followed by theirs.
    """

    info = MetricInfo(
        "cmmd",
        "CMMD",
        best="low",
        aspect="naturalness",
        note="maximum mean discrepancy of CLIP's embeddings of edits and of real images",
        shown=True,
    )
    distance = staticmethod(cmmd)

    def measure(self, batch: EvaluatedBatch) -> Float[Tensor, "batch dim"] | None:
        if not (name := batch.networks.extractor.cmmd_name):
            return None
        self.info = self.info.renamed("CMMD", name)
        return super().measure(batch)
