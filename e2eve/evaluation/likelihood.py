"""How well the editor predicts the source itself: paired negative log-likelihood in nat."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from e2eve.editor import Editor
from e2eve.evaluation.systems import InputBatch
from e2eve.metrics import masked_mean, token_losses, tokens_in_region


class PairedNLL(NamedTuple):
    """Mean nat per token of each input; not a number where it has no such token.

    Inside are the tokens whose cells the region touches. `right` is with the driver cut out of the
    source, `swapped` with the one cut out of another input's source.
    """

    right_inside: Float[Tensor, " inputs"]
    right_outside: Float[Tensor, " inputs"]
    swapped_inside: Float[Tensor, " inputs"]
    swapped_outside: Float[Tensor, " inputs"]

    @property
    def gap(self) -> Float[Tensor, " inputs"]:
        """What the right driver saves inside the region."""
        return self.swapped_inside - self.right_inside


@torch.no_grad()
def paired_nll(editor: Editor, inputs: InputBatch) -> PairedNLL:
    target_ids = editor.source_tokenizer.encode(inputs.sources)
    inside = tokens_in_region(inputs.regions, round(target_ids.shape[1] ** 0.5)).touched
    columns = []
    for drivers in (inputs.paired_drivers, inputs.other_paired_drivers):
        conditioning = editor.condition(inputs.sources, inputs.regions, drivers)
        losses = token_losses(editor.logits(*conditioning, target_ids), target_ids)
        columns += [_mean(losses, inside), _mean(losses, ~inside)]
    return PairedNLL(*(column.cpu() for column in columns))


def joined_nll(batches: Sequence[PairedNLL]) -> PairedNLL:
    return PairedNLL(*(torch.cat(column) for column in zip(*batches, strict=True)))


def _mean(
    losses: Float[Tensor, "batch tokens"], mask: Bool[Tensor, "batch tokens"]
) -> Float[Tensor, " batch"]:
    return masked_mean(losses, mask).masked_fill(~mask.any(1), torch.nan)
