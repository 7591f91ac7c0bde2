"""What an editor was trained on, in a few numbers, and what it says of anything else."""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from e2eve.checks import require
from e2eve.tokenizers import Tokenizer

MARGIN = (
    1.5  # an image is unlike those of the training when its error exceeds their largest so much
)
REMEDY = (
    "Train one on such images: python -m e2eve.train dataset=image_folder dataset.root=<folder>."
)


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

    def remarks(
        self,
        regions: Bool[Tensor, "1 1 side side"],
        source_error: float,
        driver_error: float,
    ) -> list[str]:
        """Sentences about what is unlike the training."""
        share, (least, largest) = float(regions.float().mean()), self.region_shares
        found = []
        if not least <= share <= largest:
            found.append(
                f"The region takes {share:.1%} of the square that the editor works on, and it was "
                f"trained on {least:.1%} to {largest:.1%}: expect less of the edit."
            )
        for what, error, known in (
            ("source", source_error, self.source_error),
            ("driver", driver_error, self.driver_error),
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
    errors = (tokenizer.decode(tokenizer.encode(images)) - images).abs().mean(1, keepdim=True)
    weights = torch.ones_like(errors) if seen is None else seen.to(errors)
    return (errors * weights).sum((1, 2, 3)) / weights.sum((1, 2, 3)).clamp(min=1)
