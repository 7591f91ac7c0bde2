"""Lightning around an editor: cross-entropy on the target's ids."""

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from e2eve.editor import Editor
from e2eve.training.optimizers import OptimizerSettings
from e2eve.training.tokens import EditTokens, tokenize


class EditorModule(pl.LightningModule):
    """Trains the GPT of an editor; its tokenizers stay as they are.

    Args:
        compile: the transformer's passes for training.
        channels_last: memory layout in which the tokenizers encode.
    """

    def __init__(
        self,
        editor: Editor,
        optimizer: OptimizerSettings,
        pictures_per_step: int,
        *,
        compile: bool = False,
        channels_last: bool = False,
    ) -> None:
        super().__init__()
        self.editor = editor.freeze_tokenizers()
        if channels_last:
            editor.source_tokenizer.to(memory_format=torch.channels_last)
            editor.driver_tokenizer.to(memory_format=torch.channels_last)
        self.logits = torch.compile(editor.logits) if compile else editor.logits
        self.settings, self.pictures_per_step = optimizer, pictures_per_step

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        optimizer = self.settings.build(self.editor.gpt, self.pictures_per_step)
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

    def training_step(self, batch: EditTokens | dict[str, Tensor], index: int) -> Tensor:
        loss, inside, outside = self._losses(batch)
        self.log("train/loss", loss.detach(), prog_bar=True)
        self.log("train/nll_inside", inside, prog_bar=True)
        self.log("train/nll_outside", outside)
        self.log("train/learning_rate", self.trainer.optimizers[0].param_groups[0]["lr"])
        return loss

    def validation_step(self, batch: EditTokens | dict[str, Tensor], index: int) -> None:
        loss, inside, outside = self._losses(batch)
        names = ("val/loss", "val/nll_inside", "val/nll_outside")
        for name, value in zip(names, (loss, inside, outside), strict=True):
            self.log(name, value, prog_bar=name == "val/loss", sync_dist=True)

    def _losses(self, batch: EditTokens | dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Mean over all target tokens, over those in the region, and over the others, in nat."""
        tokens = batch if isinstance(batch, EditTokens) else tokenize(self.editor, batch)
        logits = self.logits(tokens.driver_ids, tokens.source_ids, tokens.target_ids)
        nll = F.cross_entropy(logits.transpose(1, 2).float(), tokens.target_ids, reduction="none")
        region = tokens.region_cells
        inside = (nll.detach() * region).sum() / region.sum().clamp(min=1)
        outside = (nll.detach() * ~region).sum() / (~region).sum().clamp(min=1)
        return nll.mean(), inside, outside
