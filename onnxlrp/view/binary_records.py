"""Records within binary pictures: a text chunk of PNG, a comment of GIF, each put in and taken out of the file's bytes.

Every byte of the picture stays as it is, so that the rest can be hashed.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from onnxlrp.runtime.record import KEY

_PNG = b"\x89PNG\r\n\x1a\n"
_END = b"IEND"
_TEXT = b"tEXt"
_COMMENT = b"\x21\xfe"
_TRAILER = b"\x3b"
_BLOCK = 255
"""Most bytes in a block of a GIF."""


def into_png(content: bytes, text: str) -> bytes:
    """Put a record into a PNG as a text chunk upstream of its end. Raises ValueError if it is no PNG."""
    end = next((start for start, kind, _ in _chunks(content) if kind == _END), None)
    if end is None:
        raise ValueError("it has no end")
    data = _TEXT + KEY.encode() + b"\0" + text.encode("ascii")
    chunk = struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))
    return content[:end] + chunk + content[end:]


def out_of_png(content: bytes) -> tuple[str | None, bytes]:
    """Separate a PNG into its record and all other bytes. Raises ValueError if it is no PNG, or cut short."""
    name = KEY.encode() + b"\0"
    for start, kind, data in _chunks(content):
        if kind == _TEXT and data.startswith(name):
            return data[len(name) :].decode("ascii", "replace"), content[:start] + content[start + len(data) + 12 :]
    return None, content


def _chunks(content: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield the place, the kind and the data of each chunk of a PNG."""
    if not content.startswith(_PNG):
        raise ValueError("it is no PNG")
    place = len(_PNG)
    while place < len(content):
        length, kind = struct.unpack(">I4s", content[place : place + 8].ljust(8, b"\0"))
        if place + length + 12 > len(content):
            raise ValueError("it is cut short")
        yield place, kind, content[place + 8 : place + 8 + length]
        place += length + 12


def into_gif(content: bytes, text: str) -> bytes:
    """Put a record into a GIF as a comment at its end. Raises ValueError if it is no GIF."""
    if not content.startswith(b"GIF") or not content.endswith(_TRAILER):
        raise ValueError("it is no GIF")
    data = f"{KEY} {text}".encode("ascii")
    parts = [data[start : start + _BLOCK] for start in range(0, len(data), _BLOCK)]
    blocks = b"".join(bytes([len(part)]) + part for part in parts)
    return content[:-1] + _COMMENT + blocks + b"\0" + _TRAILER


def out_of_gif(content: bytes) -> tuple[str | None, bytes]:
    """Separate a GIF into its record and all other bytes. Raises ValueError if it is no GIF, or cut short."""
    if not content.startswith(b"GIF") or not content.endswith(_TRAILER):
        raise ValueError("it is no GIF, or cut short")
    head = f"{KEY} ".encode()
    start = content.rfind(_COMMENT + bytes([_BLOCK]) + head)
    if start < 0:
        return None, content
    place, data = start + len(_COMMENT), b""
    while content[place] and place + content[place] + 1 < len(content):
        data += content[place + 1 : place + 1 + content[place]]
        place += content[place] + 1
    return data[len(head) :].decode("ascii", "replace"), content[:start] + content[place + 1 :]
