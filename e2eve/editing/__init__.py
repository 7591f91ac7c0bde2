"""From a person's images to what the editor sees, and from what it draws back to images."""

from e2eve.editing.edits import EditRequest, Edits, ImageInput, RegionInput

__all__ = ["EditRequest", "Edits", "ImageInput", "RegionInput"]
