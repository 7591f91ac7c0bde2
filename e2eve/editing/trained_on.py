"""What an editor was trained on, in a few numbers, and what it says of anything else."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from e2eve.checks import require
from e2eve.conditioning import EditBatch, EditInputs
from e2eve.tokenizers import Tokenizer
from e2eve.transformer import TokenNLL

# An image is unlike those of the training from so many times the largest of them.
NLL_MARGIN, ERROR_MARGIN = 1.05, 1.25
IMAGES = 128  # that are measured
AT_ONCE = 16
REMEDY = "Train one on such images: python -m e2eve.train dataset=image_folder dataset.root=…."


@runtime_checkable
class Reader(Protocol):
    """What is asked of an editor."""

    source_tokenizer: Tokenizer
    driver_size: int
    training: bool

    @property
    def driver_tokenizer(self) -> Tokenizer: ...
    def nll(self, edits: EditInputs) -> TokenNLL: ...
    def train(self, mode: bool = True) -> Any: ...


@dataclass(frozen=True)
class TrainedOn:
    """Of simulated edits of validation images.

    Attributes:
        region_shares: the least and the largest share of an image's pixels that a region takes.
        source_nll: the largest `middle_nll` of an image; infinite where it is not known, as in
            bundles of before.
        driver_error: the largest `reading_errors` of a driver.
    """

    region_shares: tuple[float, float]
    source_nll: float
    driver_error: float

    def describe(self) -> dict[str, Any]:
        """For a bundle's config."""
        return {**asdict(self), "region_shares": list(self.region_shares)}

    @classmethod
    def from_description(cls, given: Any) -> "TrainedOn":
        """Raises ValueError for anything that `describe` does not give."""
        try:
            least, largest = map(float, given["region_shares"])
            nll = float(given.get("source_nll", math.inf))
            return cls((least, largest), nll, float(given["driver_error"]))
        except (AttributeError, KeyError, TypeError, ValueError):
            require(False, "trained_on of the bundle is", given, "what save_pretrained writes")
            raise

    @classmethod
    def measured(cls, editor: Reader, edits: EditBatch) -> "TrainedOn":
        """Of simulated edits: shares of all, the rest of the first `IMAGES` of them."""
        shares = edits.regions.float().mean((1, 2, 3))
        nll = middle_nll(editor, edits.targets[:IMAGES])
        errors = reading_errors(editor.driver_tokenizer, edits.drivers[:IMAGES])
        return cls(
            (float(shares.min()), float(shares.max())), float(nll.max()), float(errors.max())
        )

    def remarks(self, editor: Reader, inputs: EditInputs) -> list[str]:
        """Sentences about what of one input is unlike the training."""
        share, (least, largest) = float(inputs.regions.float().mean()), self.region_shares
        found = []
        if not least <= share <= largest:
            found.append(
                f"The region takes {share:.1%} of the square that the editor works on, and it was "
                f"trained on {least:.1%} to {largest:.1%}: expect less of the edit."
            )
        if (nll := float(middle_nll(editor, inputs.sources))) > NLL_MARGIN * self.source_nll:
            found.append(
                "The source is unlike the images that the editor was trained on: it foretells the "
                f"source's middle with {nll:.1f} nats a token, and that of its own images with "
                f"{self.source_nll:.1f} at most. {REMEDY}"
            )
        error = float(reading_errors(editor.driver_tokenizer, inputs.drivers)) / self.driver_error
        if error > ERROR_MARGIN:
            found.append(
                "The driver is unlike the images that the editor was trained on: what it reads of "
                f"it is off by {error:.1f} times their largest error. {REMEDY}"
            )
        return found


@torch.no_grad()
def middle_nll(
    editor: Reader, images: Float[Tensor, "batch 3 side side"]
) -> Float[Tensor, " batch"]:
    """How badly an editor foretells the middle of images that it knows all around.

    It is asked to put the middle half where it is, with the middle half as the driver: mean
    negative log-likelihood of its tokens, in nats. Photographs, which a good tokenizer of drawings
    reproduces, are told from drawings by it.
    """
    images = images.to(next(editor.source_tokenizer.parameters()))
    quarter, size = images.shape[-1] // 4, editor.driver_size
    middle = slice(quarter, 3 * quarter)
    regions = torch.zeros_like(images[:, :1], dtype=torch.bool)
    regions[..., middle, middle] = True
    drivers = F.interpolate(images[..., middle, middle], (size, size), mode="area")
    if was_training := editor.training:  # an editor that samples keeps what it has packed
        editor.train(False)
    parts = zip(*(x.split(AT_ONCE) for x in (images, regions, drivers)), strict=True)
    found = [editor.nll(EditInputs(*part)).inside_by_input for part in parts]
    if was_training:
        editor.train()
    return torch.cat(found)


@torch.no_grad()
def reading_errors(
    tokenizer: Tokenizer, images: Float[Tensor, "batch 3 side side"]
) -> Float[Tensor, " batch"]:
    """Mean absolute difference between each image in [-1, 1] and what the tokenizer makes of it."""
    weight = next(tokenizer.parameters())
    images = images.to(weight.device, weight.dtype)
    return (tokenizer.decode(tokenizer.encode(images)) - images).abs().mean((1, 2, 3))
