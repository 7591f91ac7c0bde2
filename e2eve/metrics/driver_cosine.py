"""Faithfulness by the cosine of features: DINO-I, CLIP-I and the like, of driver and region."""

from dataclasses import replace

from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from e2eve.features import crop_and_resize
from e2eve.metrics.base import EditMetric, EvaluatedBatch, MetricInfo


class DriverCosine(EditMetric):
    """Cosine of the validation set's features of the edited region and of the driver.

    Called DINO-I or CLIP-I, and shown from the start, where the extractor is theirs (Ruiz et al.
    2023, arXiv 2208.12242). Preprocessing alone moves it by .02, so compare within one validation
    set.
    """

    info = MetricInfo(
        "driver_cosine",
        "Cosine",
        best="high",
        aspect="faithfulness",
        note="cosine of the features of the edited region and of the driver",
    )

    def measure(self, batch: EvaluatedBatch) -> Float[Tensor, "batch samples"]:
        extractor, inputs, samples = batch.networks.extractor, batch.inputs, batch.edits.shape[1]
        if extractor.cosine_name:
            self.info = replace(self.info.renamed("Cosine", extractor.cosine_name), shown=True)
        images = rearrange(batch.edits, "b n c h w -> (b n) c h w")
        boxes = [[box] for box in inputs.boxes for _ in range(samples)]
        regions = extractor(crop_and_resize(images, boxes, inputs.drivers.shape[-1])[:, 0])
        regions = rearrange(regions, "(b n) d -> b n d", n=samples)
        return functional.cosine_similarity(regions, extractor(inputs.drivers)[:, None], dim=-1)
