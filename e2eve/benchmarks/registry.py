"""The parts by the names that the command knows them by."""

from collections.abc import Callable

from e2eve.benchmarks.data_parts import (
    block_item_part,
    free_form_item_part,
    loader_part,
    mask_part,
)
from e2eve.benchmarks.draft_part import draft_part
from e2eve.benchmarks.metric_parts import metrics_part, validation_part
from e2eve.benchmarks.network_parts import (
    decode_part,
    encode_part,
    passes_part,
    products_part,
    sample_part,
    train_step_part,
)
from e2eve.benchmarks.parts import Part
from e2eve.benchmarks.setting import Setting

PARTS: dict[str, Callable[[Setting], Part]] = {
    "mask": mask_part,
    "block_item": block_item_part,
    "free_form_item": free_form_item_part,
    "loader": loader_part,
    "encode": encode_part,
    "decode": decode_part,
    "train_step": train_step_part,
    "sample": sample_part,
    "passes": passes_part,
    "products": products_part,
    "drafts": draft_part,
    "metrics": metrics_part,
    "validation": validation_part,
}
