"""Checkpoints of the published networks: read into editors and tokenizers, and written."""

from e2eve.published.opening import STAGES, Opened, Published, open_bundle
from e2eve.published.presets import PRESETS, Preset
from e2eve.published.writing import write_published

__all__ = ["PRESETS", "STAGES", "Opened", "Preset", "Published", "open_bundle", "write_published"]
