"""How well the editor predicts the source itself: paired negative log-likelihood in nats."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from e2eve.editor import Editor
from e2eve.metrics.batch import InputBatch, PairedNLL
from e2eve.metrics.masked import masked_mean, token_losses, tokens_in_region


@torch.no_grad()
def paired_nll(editor: Editor, inputs: InputBatch) -> PairedNLL:
    target_ids = editor.source_tokenizer.encode(inputs.sources)
    inside = tokens_in_region(inputs.regions, round(target_ids.shape[1] ** 0.5)).touched
    columns = []
    for drivers in (inputs.paired_drivers, inputs.mismatched_paired_drivers):
        conditioning = editor.condition(inputs.sources, inputs.regions, drivers)
        losses = token_losses(editor.logits(*conditioning, target_ids), target_ids)
        columns += [_mean(losses, inside), _mean(losses, ~inside)]
    return PairedNLL(*(column.cpu() for column in columns))


def _mean(
    losses: Float[Tensor, "batch tokens"], mask: Bool[Tensor, "batch tokens"]
) -> Float[Tensor, " batch"]:
    return masked_mean(losses, mask).masked_fill(~mask.any(1), torch.nan)
