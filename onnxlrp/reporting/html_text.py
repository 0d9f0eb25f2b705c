"""Text as HTML: names from files are escaped, and a page of messages becomes paragraphs and lists."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable

from onnxlrp.printable import escaped

_CODE = re.compile(r"`([^`]+)`")
_EMPHASIS = re.compile(r"\*([^*\s][^*]*)\*")


def html_of(words: object, most: int | None = None) -> str:
    """Escape a text from anywhere for HTML, control characters included; text beyond `most` characters is cut off."""
    shown = escaped(words)
    return html.escape(shown if most is None or len(shown) <= most else shown[: most - 1] + "…")


def sentences(words: Iterable[str]) -> str:
    """Write sentences as a list in HTML; empty if there are none."""
    items = "".join(f"<li>{html_of(one)}</li>" for one in words)
    return f"<ul>{items}</ul>" if items else ""


def marked_up(markdown: str) -> str:
    """Convert paragraphs, lists, `code` and *emphasis* of a section of a page to HTML."""
    blocks = re.split(r"\n\s*\n", markdown.strip())
    return "".join(_block(block) for block in blocks)


def per_cent(share: float) -> str:
    """Write a share as a whole number of per cent, and what is not 0 but rounds to it as less than 1 %."""
    if not math.isfinite(share):
        return "an unknown share"
    if 0 < abs(share) < 0.005:
        return "less than 1 %"
    return f"{round(share * 100):d} %".replace("-", "−")


def _block(block: str) -> str:
    if not block.startswith("- "):
        return f"<p>{inline_markup(block)}</p>"
    items = re.split(r"(?:^|\n)- ", block)[1:]
    return "<ul>" + "".join(f"<li>{inline_markup(item)}</li>" for item in items) + "</ul>"


def inline_markup(words: str) -> str:
    """Convert `code` and *emphasis* of a sentence to HTML."""
    return _EMPHASIS.sub(r"<em>\1</em>", _CODE.sub(r"<code>\1</code>", html_of(" ".join(words.split()))))
