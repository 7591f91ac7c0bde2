"""What an editor was trained on, in a few numbers, and what it says of anything else."""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from e2eve.checks import require
from e2eve.conditioning import EditBatch, EditInputs
from e2eve.tokenizers import Tokenizer

# An image is unlike those of the training from so many times their largest error.
MARGIN = 1.5
IMAGES = 32  # whose errors are measured
REMEDY = "Train one on such images: python -m e2eve.train dataset=image_folder dataset.root=…."


@dataclass(frozen=True)
class TrainedOn:
    """Of simulated edits of validation images.

    Attributes:
        region_shares: the least and the largest share of an image's pixels that a region takes.
        source_error, driver_error: the largest mean absolute difference between an image in
            [-1, 1] and what its tokenizer makes of it.
    """

    region_shares: tuple[float, float]
    source_error: float
    driver_error: float

    def describe(self) -> dict[str, Any]:
        """For a bundle's config."""
        return {**asdict(self), "region_shares": list(self.region_shares)}

    @classmethod
    def from_description(cls, given: Any) -> "TrainedOn":
        """Raises ValueError for anything that `describe` does not give."""
        try:
            least, largest = map(float, given["region_shares"])
            errors = (float(given[name]) for name in ("source_error", "driver_error"))
            return cls((least, largest), *errors)
        except (KeyError, TypeError, ValueError):
            require(False, "trained_on of the bundle is", given, "what save_pretrained writes")
            raise

    @classmethod
    def measured(
        cls, source_tokenizer: Tokenizer, driver_tokenizer: Tokenizer, edits: EditBatch
    ) -> "TrainedOn":
        """Of simulated edits; errors of the first `IMAGES` of them."""
        shares = edits.regions.float().mean((1, 2, 3))
        errors = (
            reading_errors(source_tokenizer, edits.targets[:IMAGES]),
            reading_errors(driver_tokenizer, edits.drivers[:IMAGES]),
        )
        largest = (float(error.max()) for error in errors)
        return cls((float(shares.min()), float(shares.max())), *largest)

    def remarks(
        self, source_tokenizer: Tokenizer, driver_tokenizer: Tokenizer, inputs: EditInputs
    ) -> list[str]:
        """Sentences about what of one input is unlike the training."""
        share, (least, largest) = float(inputs.regions.float().mean()), self.region_shares
        found = []
        if not least <= share <= largest:
            found.append(
                f"The region takes {share:.1%} of the square that the editor works on, and it was "
                f"trained on {least:.1%} to {largest:.1%}: expect less of the edit."
            )
        source = reading_errors(source_tokenizer, inputs.sources, ~inputs.regions)
        driver = reading_errors(driver_tokenizer, inputs.drivers)
        for what, error, known in (
            ("source", float(source), self.source_error),
            ("driver", float(driver), self.driver_error),
        ):
            if error > MARGIN * known:
                found.append(
                    f"The {what} is unlike the images that the editor was trained on: what it "
                    f"reads of it is off by {error / known:.1f} times their largest error. {REMEDY}"
                )
        return found


@torch.no_grad()
def reading_errors(
    tokenizer: Tokenizer,
    images: Float[Tensor, "batch 3 side side"],
    seen: Bool[Tensor, "batch 1 side side"] | None = None,
) -> Float[Tensor, " batch"]:
    """Mean absolute difference between each image and what the tokenizer makes of it.

    Args:
        seen: which pixels count; None: all.
    """
    weight = next(tokenizer.parameters())
    images = images.to(weight.device, weight.dtype)
    errors = (tokenizer.decode(tokenizer.encode(images)) - images).abs().mean(1, keepdim=True)
    weights = torch.ones_like(errors) if seen is None else seen.to(errors)
    return (errors * weights).sum((1, 2, 3)) / weights.sum((1, 2, 3)).clamp(min=1)
