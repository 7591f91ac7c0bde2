"""Lightning around an editor: the likelihood of the target's ids."""

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from e2eve.conditioning import EditBatch
from e2eve.editor import Editor
from e2eve.training.optimizers import OptimizerSettings
from e2eve.transformer import EditTokens


class EditorModule(pl.LightningModule):
    """Trains the token model of an editor; its tokenizers stay as they are.

    Args:
        batch_size: images per process and batch.
        compile: the transformer's passes for training.
        channels_last: memory layout in which the tokenizers encode.
    """

    def __init__(
        self,
        editor: Editor,
        optimizer: OptimizerSettings,
        batch_size: int,
        *,
        compile: bool = False,
        channels_last: bool = False,
    ) -> None:
        super().__init__()
        self.editor = editor.freeze_tokenizers()
        if channels_last:
            editor.source_tokenizer.to(memory_format=torch.channels_last)
            editor.driver_tokenizer.to(memory_format=torch.channels_last)
        if compile:  # in place: `forward`, and so the loss; sampling stays as it is
            editor.transformer.compile()
        self.settings, self.batch_size = optimizer, batch_size

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        batches = self.trainer.world_size * self.trainer.accumulate_grad_batches
        optimizer = self.settings.build(self.editor.transformer, self.batch_size * batches)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: self.settings.factor(step)
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def train(self, mode: bool = True) -> "EditorModule":
        super().train(mode)
        self.editor.freeze_tokenizers()
        return self

    def training_step(self, batch: EditBatch | EditTokens, index: int) -> Tensor:
        nll = self.editor.nll(batch)
        loss = nll.loss
        self.log("train/loss", loss.detach(), prog_bar=True)
        self.log("train/nll_inside", nll.inside, prog_bar=True)
        self.log("train/nll_outside", nll.outside)
        return loss

    def validation_step(self, batch: EditBatch | EditTokens, index: int) -> None:
        nll = self.editor.nll(batch)
        self.log("val/loss", nll.loss, prog_bar=True, sync_dist=True)
        self.log("val/nll_inside", nll.inside, sync_dist=True)
        self.log("val/nll_outside", nll.outside, sync_dist=True)
