"""From a config to networks, data and settings; each seam is checked where it is made."""

import functools
import logging
from collections.abc import Callable
from typing import Any

import numpy as np
from omegaconf import DictConfig
from torch import Tensor

from e2eve.config import instantiate, plain
from e2eve.data.images import to_tensor
from e2eve.data.splits import Splits, build_splits
from e2eve.edit_simulation import EditSimulation, SimulatedEdit
from e2eve.editor import Editor
from e2eve.features import build_perceptual
from e2eve.tokenizers import Tokenizer, VQGANConfig
from e2eve.tokenizers.discriminator import PatchDiscriminator
from e2eve.tokenizers.losses import TokenizerLoss
from e2eve.training.data_module import Simulated
from e2eve.training.initial_weights import load_initial_tokenizer, open_initial_editor
from e2eve.training.optimizers import OptimizerSettings
from e2eve.transformer import TokenModelConfig

log = logging.getLogger(__name__)


def build_pictures(config: DictConfig) -> Splits:
    return build_splits(config.dataset)


def build_simulation(config: DictConfig) -> EditSimulation:
    return instantiate(config.edit_simulation)


def as_edit(
    simulation: EditSimulation, picture: np.ndarray, rng: np.random.Generator
) -> SimulatedEdit:
    """What an editor is trained on."""
    return simulation(picture, rng)


def as_view(simulation: EditSimulation, picture: np.ndarray, rng: np.random.Generator) -> Tensor:
    """What a source tokenizer is trained on: the picture as the simulation frames it."""
    return to_tensor(simulation.view(picture, simulation.image_size, rng))


def as_driver(simulation: EditSimulation, picture: np.ndarray, rng: np.random.Generator) -> Tensor:
    """What a driver tokenizer is trained on: the driver of a simulated edit."""
    return to_tensor(simulation(picture, rng).driver)


def simulated(config: DictConfig, make: Callable[..., Any]) -> tuple[Simulated, Simulated]:
    """Training and validation examples, the latter always the same."""
    pictures, simulation = build_pictures(config), build_simulation(config)
    simulate = functools.partial(make, simulation)
    return (
        Simulated(pictures.train, simulate, config.seed),
        Simulated(pictures.val, simulate, config.seed + 1),
    )


def optimizer_settings(config: DictConfig) -> OptimizerSettings:
    return OptimizerSettings(**plain(config.optimizer))


def pictures_per_step(config: DictConfig) -> int:
    return config.batch_size * config.trainer.devices * config.trainer.nodes


def build_tokenizer(config: DictConfig, side: int) -> Tokenizer:
    shape = VQGANConfig(image_size=side, **plain(config.vqgan.network))
    return Tokenizer(shape, **plain(config.vqgan.quantizer))


def build_tokenizer_loss(config: DictConfig) -> TokenizerLoss:
    settings = plain(config.tokenizer_loss)
    perceptual = build_perceptual(settings.pop("perceptual"), settings.pop("perceptual_weights"))
    shape = settings.pop("discriminator")
    discriminator = PatchDiscriminator(**shape) if shape else None
    return TokenizerLoss(perceptual, discriminator, **settings)


def build_initial_tokenizer(config: DictConfig, side: int) -> Tokenizer:
    """The tokenizer that a training starts from."""
    tokenizer = build_tokenizer(config, side)
    if config.init_from is not None:
        load_initial_tokenizer(tokenizer, config.init_from)
    return tokenizer


def build_editor(config: DictConfig) -> Editor:
    """The editor that a training starts from."""
    if config.init_from is not None:
        return open_initial_editor(
            config.init_from,
            image_size=config.image_size,
            driver_size=config.driver_size,
            transformer=instantiate(config.transformer),
        )
    source = open_tokenizer(config, "source", config.image_size)
    shared = config.tokenizer.driver is None
    driver = source if shared else open_tokenizer(config, "driver", config.driver_size)
    transformer: TokenModelConfig = instantiate(config.transformer)
    return Editor(source, driver, transformer, config.driver_size)


def open_tokenizer(config: DictConfig, role: str, side: int) -> Tokenizer:
    """A trained tokenizer, or the untrained one that the config asks for by name."""
    where = config.tokenizer[role]
    if where == "untrained":
        if not config.trainer.untrained_tokenizers:
            raise ValueError(
                f"tokenizer.{role} is untrained, and an editor learns nothing from random codes: "
                f"give tokenizer.{role}=<run folder>, or trainer=smoke to try two steps."
            )
        log.warning("The %s tokenizer is untrained, as tokenizer.%s says.", role, role)
        return build_tokenizer(config, side)
    tokenizer = Tokenizer.from_pretrained(where)
    if tokenizer.image_size != side:
        key = "image_size" if role == "source" else "driver_size"
        raise ValueError(
            f"The {role} tokenizer in {where} was made for {tokenizer.image_size} pixels and "
            f"{key} is {side}: set {key}={tokenizer.image_size} or give another tokenizer."
        )
    return tokenizer
