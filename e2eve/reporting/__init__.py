"""Images and pages for people: contact sheets and self-contained HTML reports."""
