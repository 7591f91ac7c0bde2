"""What is measured: one metric a file, on the base class of `base`; add yours from any package."""
