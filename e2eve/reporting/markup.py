"""A little markup for running text: everything is escaped first, then a few marks are read."""

import re
from html import escape

from markupsafe import Markup

BOLD = re.compile(r"\*\*(.+?)\*\*")
CODE = re.compile(r"`(.+?)`")


def rendered(text: str) -> Markup:
    """Paragraphs parted by empty lines, lists of `- ` lines, `**bold**` and `` `code` ``.

    No HTML passes: `<`, `>`, `&` and quotes of the text are shown as they are.
    """
    blocks = [block.strip("\n") for block in re.split(r"\n\s*\n", text) if block.strip()]
    return Markup("\n").join(_block(block) for block in blocks)


def inline(text: str) -> Markup:
    """One line with bold and code."""
    html = CODE.sub(r"<code>\1</code>", escape(text))
    return Markup(BOLD.sub(r"<strong>\1</strong>", html))


def _block(block: str) -> Markup:
    lines = [line.strip() for line in block.splitlines()]
    if all(line.startswith("- ") for line in lines):
        items = Markup("").join(Markup("<li>{}</li>").format(inline(line[2:])) for line in lines)
        return Markup("<ul>{}</ul>").format(items)
    return Markup("<p>{}</p>").format(inline(" ".join(lines)))
