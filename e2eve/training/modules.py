"""Lightning around what is trained: an editor's token model, a tokenizer, or its decoder alone.

A tokenizer and its discriminator take turns, so that they are optimised by hand, where Lightning
leaves accumulation and clipping to the module.
"""

from functools import cached_property
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from jaxtyping import Float, Int
from pytorch_lightning.plugins import MixedPrecision
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from e2eve.conditioning import EditBatch
from e2eve.editor import Editor
from e2eve.tokenizers import Tokenizer
from e2eve.tokenizers.losses import TokenizerLoss, TokenizerTerms
from e2eve.tokenizers.tokenizer import Reconstruction, perplexity, psnr
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
            # For each shape anew: code for any of them has failed on a GPU (PyTorch 2.11).
            editor.transformer.compile(dynamic=False)
        self.settings, self.batch_size = optimizer, batch_size

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        images = self.batch_size * self.trainer.world_size * self.trainer.accumulate_grad_batches
        fused = may_be_fused(self.trainer, self.trainer.gradient_clip_val)
        optimizer = self.settings.build(self.editor.transformer, images, fused=fused)
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
        tokens = batch if isinstance(batch, EditTokens) else self.editor.tokenize(batch)
        nll = self.editor.nll(self.with_some_drivers_dropped(tokens))
        loss = nll.loss
        self.log("train/loss", loss.detach(), prog_bar=True)
        self.log("train/nll_inside", nll.inside, prog_bar=True)
        self.log("train/nll_outside", nll.outside)
        return loss

    def with_some_drivers_dropped(self, tokens: EditTokens) -> EditTokens:
        """Edits of which a random share, as the transformer says, have an empty driver."""
        share, ids = self.editor.transformer.driver_dropout, tokens.driver_ids
        if share == 0:
            return tokens
        dropped = torch.rand(len(ids), 1).to(ids.device) < share
        return tokens._replace(driver_ids=torch.where(dropped, self._empty_driver, ids))

    @cached_property
    def _empty_driver(self) -> Int[Tensor, "driver"]:
        return self.editor.empty_driver()

    def validation_step(self, batch: EditBatch | EditTokens, index: int) -> None:
        nll = self.editor.nll(batch)
        self.log("val/loss", nll.loss, prog_bar=True, sync_dist=True)
        self.log("val/nll_inside", nll.inside, sync_dist=True)
        self.log("val/nll_outside", nll.outside, sync_dist=True)


def may_be_fused(trainer: pl.Trainer, clip: float | None) -> bool:
    """Whether Lightning takes fused optimisers: in mixed precision it clips no gradients of one."""
    return not clip or not isinstance(trainer.precision_plugin, MixedPrecision)


class Seen(NamedTuple):
    """A batch whose gradients wait for the optimisers' step."""

    images: Float[Tensor, "batch 3 height width"]
    shown: Float[Tensor, "batch 3 height width"]  # to the discriminator, in their place
    latent: Float[Tensor, "batch dim h w"]
    ids: Int[Tensor, "batch tokens"]


class TokenizerModule(pl.LightningModule):
    """Trains a tokenizer; `global_step` counts its optimiser steps, not the discriminator's.

    Args:
        batch_size: images per process and batch.
        accumulate: batches per optimiser step.
        clip: `gradient_clip_val` and `gradient_clip_algorithm` as Lightning's Trainer takes them.
        channels_last: memory layout of the networks that are trained or read.
    """

    usage: Tensor

    def __init__(
        self,
        tokenizer: Tokenizer,
        loss: TokenizerLoss,
        optimizer: OptimizerSettings,
        batch_size: int,
        *,
        accumulate: int = 1,
        clip: tuple[float | None, str | None] = (None, None),
        channels_last: bool = False,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        for network in (tokenizer, loss):
            network.to(memory_format=self.layout)
        self.tokenizer, self.loss, self.settings = tokenizer, loss, optimizer
        self.batch_size, self.accumulate, self.clip = batch_size, accumulate, clip
        self.seen: list[Seen] = []
        self.register_buffer("usage", torch.zeros(tokenizer.codebook_size), persistent=False)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        images = self.batch_size * self.accumulate * self.trainer.world_size
        self.rate = self.settings.learning_rate(images)
        fused = may_be_fused(self.trainer, self.clip[0])
        networks = [n for n in (self.tokenizer, self.loss.discriminator) if n is not None]
        return [self.settings.build(network, images, fused=fused) for network in networks]

    def reconstruct(self, batch: Any) -> tuple[Tensor, Reconstruction, Tensor]:
        """Images of a batch, what the tokenizer makes of them, and what the discriminator sees."""
        images = batch.contiguous(memory_format=self.layout)
        output = self.tokenizer(images)
        return images, output, output.images

    def training_step(self, batch: Any, index: int) -> None:
        optimizers = self.optimizers()
        optimizers = optimizers if isinstance(optimizers, list) else [optimizers]
        step = self.global_step
        rate = self.rate * self.settings.factor(step)
        for group in [group for one in optimizers for group in one.optimizer.param_groups]:
            group["lr"] = rate
        learns = not self.loss.warming(step)
        with torch.set_grad_enabled(learns):
            images, output, shown = self.reconstruct(batch)
            terms = self.loss(images, output, step, self.tokenizer.decoder.last_weight, shown)
        if not self.seen:
            optimizers[0].zero_grad()
        if learns:  # else the step below is one without gradients, which counts and moves nothing
            self.manual_backward(terms.loss / self.accumulate)
        ids = output.quantized.ids
        self.seen.append(Seen(images, shown.detach(), output.latent.detach(), ids))
        self._log_training(terms, ids)
        if len(self.seen) < self.accumulate and not self.trainer.is_last_batch:
            return
        self.clip_gradients(optimizers[0].optimizer, *self.clip)
        optimizers[0].step()
        if learns and self.tokenizer.quantizer.codebook.weight.requires_grad:
            _, _, latents, ids = map(torch.cat, zip(*self.seen, strict=True))
            restarted = self.tokenizer.quantizer.restart_idle(latents, ids)
            self.log("train/codes_restarted", float(restarted))
        if self.loss.adversarial_on(step):
            self._train_discriminator(optimizers[1].optimizer)
        self.seen.clear()

    def _train_discriminator(self, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()  # the tokenizer's losses have passed through the discriminator
        for batch in self.seen:
            loss = self.loss.discriminate(batch.images, batch.shown)
            self.manual_backward(loss / self.accumulate)
        self.clip_gradients(optimizer, *self.clip)
        optimizer.step()  # the bare optimiser: Lightning's wrapper would count it as a step
        self.log("train/discriminator", loss.detach())

    def _log_training(self, terms: TokenizerTerms, ids: Tensor) -> None:
        self.log("train/loss", terms.loss.detach(), prog_bar=True)
        self.log("train/l1", terms.l1.detach(), prog_bar=True)
        self.log("train/perceptual", terms.perceptual.detach())
        self.log("train/codebook", terms.codebook.detach())
        if terms.adversarial_weight > 0:
            self.log("train/adversarial", terms.adversarial.detach())
            self.log("train/adversarial_weight", terms.adversarial_weight)
        counts = torch.bincount(ids.flatten(), minlength=len(self.usage)).float()
        self.usage.lerp_(counts, 0.01)  # about the last hundred batches
        self.log("train/codebook_used", (self.usage > 1e-4).float().mean())
        self.log("train/codebook_perplexity", perplexity(self.usage))

    def validation_step(self, batch: Any, index: int) -> None:
        self.validate(batch)

    def validate(self, images: Float[Tensor, "batch 3 height width"]) -> None:
        """What is made of ids alone."""
        output = self.tokenizer(images)
        loss = (images - output.images).abs().mean()
        self.log("val/l1", loss, prog_bar=True, sync_dist=True)
        self.log("val/psnr", psnr(output.images, images).mean(), prog_bar=True, sync_dist=True)
        if self.loss.perceptual is not None:
            distance = self.loss.perceptual(output.images, images).mean()
            self.log("val/perceptual", distance, sync_dist=True)
            loss = loss + self.loss.perceptual_weight * distance
        self.log("val/loss", loss, sync_dist=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Statistics that bundles have no use for, and a resumed run needs."""
        checkpoint["codebook"] = {"usage": self.usage, "idle": self.tokenizer.quantizer.idle}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.usage.copy_(checkpoint["codebook"]["usage"])
        self.tokenizer.quantizer.idle.copy_(checkpoint["codebook"]["idle"])


class DecoderModule(TokenizerModule):
    """Trains the decoder of a tokenizer on simulated edits; encoder and codebook stay as they are.

    Every other image is decoded from its ids alone, as if the region were all of it. Of the others
    the discriminator sees what a person would: the region pasted back into its source.
    """

    def __init__(self, tokenizer: Tokenizer, *args: Any, **options: Any) -> None:
        tokenizer.requires_grad_(False).decoder.requires_grad_()
        super().__init__(tokenizer, *args, **options)

    def reconstruct(self, batch: EditBatch) -> tuple[Tensor, Reconstruction, Tensor]:
        images = batch.targets.contiguous(memory_format=self.layout)
        regions = batch.regions.clone()
        regions[:: 2 if self.tokenizer.sees_source else 1] = True
        output = self.tokenizer(images, regions)
        return images, output, torch.where(regions, output.images, images)

    def validation_step(self, batch: EditBatch, index: int) -> None:
        """Of ids alone as of any tokenizer, and inside the region with what surrounds it."""
        self.validate(batch.targets)
        output = self.tokenizer(batch.targets, batch.regions)
        errors = (output.images - batch.targets).abs().mean(1, keepdim=True)
        self.log("val/l1_region", errors[batch.regions].mean(), sync_dist=True)
