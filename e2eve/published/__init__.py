"""Checkpoints of the published networks: read into editors and tokenizers, and written."""

from e2eve.published.conversion import (
    PRESETS,
    STAGES,
    Opened,
    Preset,
    Published,
    open_bundle,
    write_published,
)

__all__ = ["PRESETS", "STAGES", "Opened", "Preset", "Published", "open_bundle", "write_published"]
