"""Pages for people: edits of their images, and two systems' edits compared blindly."""
