"""What tokenizers and a token model have to agree on."""

from dataclasses import replace

from e2eve.tokenizers import Tokenizer
from e2eve.transformer.model import TokenModelConfig


def fitted(config: TokenModelConfig, source: Tokenizer, driver: Tokenizer) -> TokenModelConfig:
    """The config with the larger one of the codebooks where it gives no number."""
    if config.codebook_size is not None:
        return config
    return replace(config, codebook_size=max(source.codebook_size, driver.codebook_size))


def validate_compatibility(
    source: Tokenizer, driver: Tokenizer, transformer: TokenModelConfig, driver_size: int
) -> None:
    """Raises ValueError, naming both values, where the parts do not fit each other."""
    known = transformer.codebook_size or 0
    for name, tokenizer in (("source", source), ("driver", driver)):
        if tokenizer.codebook_size > known:
            raise ValueError(
                f"The {name} tokenizer has {tokenizer.codebook_size} codes and the transformer "
                f"reads {known}: set transformer.codebook_size to null, or the larger codebook."
            )
    if driver_size % driver.config.cell:
        raise ValueError(
            f"driver_size {driver_size} is no multiple of the driver tokenizer's cell of "
            f"{driver.config.cell} pixels: choose a multiple."
        )
    if driver is not source and driver.image_size != driver_size:
        raise ValueError(
            f"driver_size is {driver_size} and the driver tokenizer was made for "
            f"{driver.image_size} pixels: set driver_size={driver.image_size} or train another."
        )
