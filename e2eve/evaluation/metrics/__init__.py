"""What is measured, as functions of tensors; each docstring gives formula and source."""

