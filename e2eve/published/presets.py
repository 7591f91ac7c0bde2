"""What the weights of a published checkpoint do not say."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Preset:
    """Sizes of the pictures that networks were trained on, and attention.

    image_size, driver_size: sides in pixels.
    attention, driver_attention: sides of the grids at which the tokenizers have attention, checked
        against the levels at which the weights have it.
    heads: of the transformer.
    width: of the transformer that these heads belong to; None: of any.
    """

    image_size: int = 256
    attention: int = 16
    driver_size: int = 64
    driver_attention: int = 4
    heads: int = 16
    width: int | None = 1024


PRESETS = {
    "lsun_bedroom": Preset(),
    "ffhq": Preset(),
    "vqgan_256": Preset(),  # a tokenizer alone: taming-transformers' VQGANs with 16-pixel cells
    "vqgan_64": Preset(image_size=64, attention=4),  # a driver tokenizer alone
}
