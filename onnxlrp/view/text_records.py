"""Records within texts: SVG, HTML and JSON, each put in and taken out.

An element is added to SVG and HTML, and every other character stays as it is. JSON gets an entry; its numbers are what
is hashed, so that it may be written with other spaces.
"""

from __future__ import annotations

import json
from html import escape, unescape

from onnxlrp.runtime.record import KEY

ENTRY = "record"
"""Name of the record in a file of JSON."""
_SVG = (f'<metadata id="{KEY}">', "</metadata>\n", "</svg>")
_HTML = (f'<script type="application/json" id="{KEY}">', "</script>\n", "</html>")


def into_svg(content: bytes, text: str) -> bytes:
    """Put a record into an SVG as its last element. Raises ValueError if it is no SVG."""
    return _inserted(content, escape(text, quote=False), _SVG)


def out_of_svg(content: bytes) -> tuple[str | None, bytes]:
    """Separate an SVG into its record and everything else."""
    text, rest = _taken(content, _SVG)
    return None if text is None else unescape(text), rest


def into_html(content: bytes, text: str) -> bytes:
    """Put a record into a page as data that no browser runs. Raises ValueError if it is no page."""
    return _inserted(content, text.replace("<", "\\u003c"), _HTML)


def out_of_html(content: bytes) -> tuple[str | None, bytes]:
    """Separate a page into its record and everything else."""
    return _taken(content, _HTML)


def into_json(content: bytes, text: str) -> bytes:
    """Add a record to a JSON object as its last entry. Raises ValueError if it is no object."""
    body = content.decode("utf-8").rstrip()
    if not body.endswith("}"):
        raise ValueError("it is no JSON object")
    return f'{body[:-1]}, "{ENTRY}": {text}}}\n'.encode()


def out_of_json(content: bytes) -> tuple[str | None, bytes]:
    """Separate a JSON object into its record and everything else, with sorted keys and without spaces.

    Raises ValueError if it is no JSON object.
    """
    try:
        entries = json.loads(content)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(entries, dict):
        raise ValueError("it is no JSON object")
    record = entries.pop(ENTRY, None)
    rest = json.dumps(entries, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return None if record is None else json.dumps(record), rest.encode()


def _inserted(content: bytes, text: str, form: tuple[str, str, str]) -> bytes:
    opening, closing, end = (part.encode() for part in form)
    place = content.rfind(end)
    if place < 0:
        raise ValueError(f"it has no {end.decode()}")
    return content[:place] + opening + text.encode("ascii") + closing + content[place:]


def _taken(content: bytes, form: tuple[str, str, str]) -> tuple[str | None, bytes]:
    opening, closing, _ = (part.encode() for part in form)
    start = content.rfind(opening)
    end = content.find(closing, start)
    if start < 0 or end < 0:
        return None, content
    text = content[start + len(opening) : end].decode("ascii", "replace")
    return text, content[:start] + content[end + len(closing) :]
