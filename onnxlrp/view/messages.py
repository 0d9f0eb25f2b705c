"""The page of messages, cut into its sections for a terminal."""

from __future__ import annotations

import re
from pathlib import Path

from onnxlrp.errors import InputError

_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")


def sections() -> dict[str, str]:
    """Read the sections of the page of messages by their words, as plain text.

    Raises InputError if the page is not there.
    """
    package = Path(__file__).parents[1]
    places = (package / "_docs" / "messages.md", package.parent / "docs" / "messages.md")
    page = next((place for place in places if place.is_file()), None)
    if page is None:
        raise InputError("the page of messages is not there: this onnxlrp was installed without docs/messages.md")
    parts = re.split(r"^## (\w+)\n", page.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return {word: _LINK.sub(r"\1", text).strip() for word, text in zip(parts[::2], parts[1::2], strict=True)}
