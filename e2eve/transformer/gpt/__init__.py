"""The GPT family: next-token prediction, and sampling that verifies many guesses in a pass."""
