"""Small networks with random weights, as the tests need them."""

from typing import Any

import torch
from hydra import compose as compose_config
from hydra import initialize_config_dir
from omegaconf import DictConfig

from e2eve.config import conf_dir
from e2eve.editor import Editor
from e2eve.tokenizers import Tokenizer, VQGANConfig
from e2eve.transformer import (
    GPT,
    Conditioning,
    EditTokens,
    GPTConfig,
    Masked,
    MaskedConfig,
    SamplingSettings,
    SequenceLayout,
)

SIDE, DRIVER_SIDE, CODES = 32, 16, 32
LAYOUT = SequenceLayout(driver=4, source=16)


def tiny_tokenizer(side: int = SIDE, **changes: Any) -> Tokenizer:
    """Eight-pixel cells."""
    shape: dict[str, Any] = dict(
        channels=8,
        multipliers=(1, 2),
        residual_blocks=1,
        patch=4,
        latent_channels=8,
        code_dim=8,
        codebook_size=CODES,
    )
    return Tokenizer(VQGANConfig(image_size=side, **{**shape, **changes})).eval()


def tiny_editor(shared: bool = False, **gpt: Any) -> Editor:
    source = tiny_tokenizer()
    driver = source if shared else tiny_tokenizer(DRIVER_SIDE)
    shape: dict[str, Any] = {"layers": 2, "heads": 2, "width": 32, "codebook_size": CODES, **gpt}
    config = GPTConfig(**shape)
    editor = Editor(source, driver, config, DRIVER_SIDE).eval()
    assert isinstance(editor.transformer, GPT)
    with torch.no_grad():  # sharper than at initialisation, so that samples differ from chance
        editor.transformer.head.weight.mul_(20)
    return editor


def sharp_gpt(dtype: torch.dtype = torch.float32) -> GPT:
    """Tokens depend on those before them, so that a wrong guess has consequences."""
    gpt = GPT(GPTConfig(layers=2, heads=2, width=32, codebook_size=CODES), LAYOUT).to(dtype).eval()
    with torch.no_grad():
        gpt.head.weight.normal_(0, 1.2)  # else a token is followed by itself
        gpt.tokens.weight.mul_(20)
        for parameter in gpt.blocks.parameters():
            parameter.mul_(5 if parameter.ndim == 2 else 1)
    return gpt


def sharp_masked(codes: int = CODES, **config: Any) -> Masked:
    """A cell depends on those that are drawn."""
    shape: dict[str, Any] = {"layers": 2, "heads": 2, "width": 32, **config}
    model = Masked(MaskedConfig(codebook_size=codes, **shape), LAYOUT).eval()
    with torch.no_grad():
        model.head.weight.normal_(0, 0.5)
        for parameter in (model.tokens.weight, *model.blocks.parameters()):
            parameter.mul_(5 if parameter.ndim == 2 else 1)
    return model


def that_sees(tokenizer: Tokenizer) -> Tokenizer:
    """The same with a decoder that makes something of the source, which a new one does not."""
    seeing = tokenizer.with_decoder("source", tokenizer.image_size)
    assert seeing.decoder.source is not None
    for value in seeing.decoder.source.heads.parameters():
        torch.nn.init.normal_(value)
    return seeing


def conditioning_of(edits: EditTokens, settings: SamplingSettings) -> Conditioning:
    """What edits like these are drawn from, with random ids of all that the settings ask for."""
    return Conditioning(
        edits.driver_ids,
        edits.source_ids,
        edits.region_cells,
        preserved_ids=random_ids(*edits.target_ids.shape) if settings.preserve else None,
        empty_driver_ids=random_ids(edits.driver_ids.shape[1]) if settings.guidance != 1 else None,
        codebook_size=CODES,
    )


def random_ids(*shape: int) -> torch.Tensor:
    return torch.randint(0, CODES, shape)


def random_images(count: int = 2, side: int = SIDE) -> torch.Tensor:
    return torch.rand(count, 3, side, side) * 2 - 1


TINY = (
    "vqgan=tiny transformer=tiny trainer=smoke tokenizer_loss=plain evaluation=off logger=csv "
    "image_size=32 driver_size=16 batch_size=2 token_cache=0 trainer.max_steps=2"
).split()
UNTRAINED = ["tokenizer=separate", "tokenizer.source=untrained", "tokenizer.driver=untrained"]


def compose(*overrides: str, config_name: str = "train") -> DictConfig:
    """The config that these overrides on the command line give."""
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        return compose_config(config_name, overrides=list(overrides))
