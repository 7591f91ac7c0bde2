"""The GPT that writes the edited picture's ids, its sequence, and sampling from it."""

from e2eve.transformer.gpt import GPT, GPTConfig
from e2eve.transformer.sampling import SamplingSettings
from e2eve.transformer.sequence import SequenceLayout

__all__ = ["GPT", "GPTConfig", "SamplingSettings", "SequenceLayout"]
