"""From a person's images to what the editor sees, and from what it draws back to images."""

from e2eve.editing.edits import EditRequest, Edits
from e2eve.editing.inputs import Driver, RegionInput
from e2eve.editing.pictures import ImageInput, Picture

__all__ = ["Driver", "EditRequest", "Edits", "ImageInput", "Picture", "RegionInput"]
