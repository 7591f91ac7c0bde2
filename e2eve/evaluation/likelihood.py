"""How well the editor predicts the source itself: paired negative log-likelihood in nat."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from e2eve.conditioning import EditInputs
from e2eve.editor import Editor
from e2eve.evaluation.systems import InputBatch


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
    matched = editor.tokenize(EditInputs(inputs.sources, inputs.regions, inputs.paired_drivers))
    other_ids = editor.driver_tokenizer.encode(inputs.other_paired_drivers)
    columns: list[Tensor] = []
    for tokens in (matched, matched._replace(driver_ids=other_ids)):
        nll = editor.nll(tokens)
        columns += [nll.inside_by_input, nll.outside_by_input]
    return PairedNLL(*(column.cpu() for column in columns))


def joined_nll(batches: Sequence[PairedNLL]) -> PairedNLL:
    return PairedNLL(*(torch.cat(column) for column in zip(*batches, strict=True)))
