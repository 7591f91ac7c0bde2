"""Lightning around a tokenizer: two optimisers, codebook statistics."""

import pytorch_lightning as pl
import torch
from jaxtyping import Float
from torch import Tensor

from e2eve.tokenizers import Tokenizer
from e2eve.tokenizers.losses import TokenizerLoss, TokenizerTerms
from e2eve.tokenizers.quantizer import perplexity
from e2eve.training.optimizers import OptimizerSettings


class TokenizerModule(pl.LightningModule):
    """Trains a tokenizer; `global_step` counts its optimiser steps, not the discriminator's."""

    usage: Tensor

    def __init__(
        self,
        tokenizer: Tokenizer,
        loss: TokenizerLoss,
        optimizer: OptimizerSettings,
        pictures_per_step: int,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.tokenizer, self.loss = tokenizer, loss
        self.settings, self.pictures_per_step = optimizer, pictures_per_step
        self.register_buffer("usage", torch.zeros(tokenizer.codebook_size), persistent=False)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        networks: list[torch.nn.Module] = [self.tokenizer]
        if self.loss.discriminator is not None:
            networks.append(self.loss.discriminator)
        return [self.settings.build(network, self.pictures_per_step) for network in networks]

    def _schedule(self, optimizers: list[torch.optim.Optimizer]) -> float:
        rate = self.settings.learning_rate(self.pictures_per_step)
        rate *= self.settings.factor(self.global_step)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
        return rate

    def training_step(self, images: Float[Tensor, "batch 3 height width"], index: int) -> None:
        optimizers = self.optimizers()
        optimizers = optimizers if isinstance(optimizers, list) else [optimizers]
        step, rate = self.global_step, self._schedule([o.optimizer for o in optimizers])
        output = self.tokenizer(images)
        terms = self.loss(images, output, step, self.tokenizer.decoder.last_weight)
        optimizers[0].zero_grad()
        self.manual_backward(terms.loss)
        optimizers[0].step()
        restarted = self.tokenizer.quantizer.restart_idle(output.latent, output.quantized.ids)
        if self.loss.adversarial_on(step):
            self._train_discriminator(images, output.images, optimizers[1].optimizer)
        self._log_training(terms, output.quantized.ids, rate, restarted)

    def _train_discriminator(
        self, images: Tensor, reconstructed: Tensor, optimizer: torch.optim.Optimizer
    ) -> None:
        loss = self.loss.discriminate(images, reconstructed)
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()  # the bare optimiser: Lightning's wrapper would count it as a step
        self.log("train/discriminator", loss.detach())

    def _log_training(
        self, terms: TokenizerTerms, ids: Tensor, rate: float, restarted: int
    ) -> None:
        self.log("train/loss", terms.loss.detach(), prog_bar=True)
        self.log("train/l1", terms.l1.detach(), prog_bar=True)
        self.log("train/perceptual", terms.perceptual.detach())
        self.log("train/codebook", terms.codebook.detach())
        if terms.adaptive_weight > 0:
            self.log("train/adversarial", terms.adversarial.detach())
            self.log("train/adaptive_weight", terms.adaptive_weight)
        counts = torch.bincount(ids.flatten(), minlength=len(self.usage)).float()
        self.usage.lerp_(counts, 0.01)  # about the last hundred steps
        self.log("train/codebook_used", (self.usage > 1e-4).float().mean())
        self.log("train/codebook_perplexity", perplexity(self.usage))
        self.log("train/codes_restarted", float(restarted))
        self.log("train/learning_rate", rate)

    def validation_step(self, images: Float[Tensor, "batch 3 height width"], index: int) -> None:
        output = self.tokenizer(images)
        l1 = (images - output.images).abs().mean()
        self.log("val/l1", l1, prog_bar=True, sync_dist=True)
        if self.loss.perceptual is not None:
            distance = self.loss.perceptual(output.images, images).mean()
            self.log("val/perceptual", distance, sync_dist=True)
