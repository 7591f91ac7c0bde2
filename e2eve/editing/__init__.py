"""From a person's pictures to what the editor sees, and from what it paints back to pictures."""

from e2eve.editing.given import Picture, Region
from e2eve.editing.request import EditRequest
from e2eve.editing.result import Edits

__all__ = ["EditRequest", "Edits", "Picture", "Region"]
