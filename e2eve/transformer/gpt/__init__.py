"""The GPT family: next-token prediction, and sampling that verifies many guesses in a pass."""

from e2eve.transformer.gpt.family import GPT, GPTConfig, GPTSampling

__all__ = ["GPT", "GPTConfig", "GPTSampling"]
