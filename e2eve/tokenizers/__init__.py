"""Images to ids and back: VQGAN networks, their codebook, and the losses that train them."""

from e2eve.tokenizers.tokenizer import Tokenizer
from e2eve.tokenizers.vqgan import VQGANConfig

__all__ = ["Tokenizer", "VQGANConfig"]
