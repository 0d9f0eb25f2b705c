"""The wire format of protocol buffers, read without a copy of the message: its fields one by one, and lists of millions
of numbers at once.

A repeated field of numbers is packed, one length and then all of them, or each number has a tag of its own. Protocol
buffers accept both, and ONNX's own files have tags.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
"""Wire types."""
_CHUNK = 2**20
"""Bytes that are decoded at a time, which bounds the memory for the places of numbers among them."""
_LONGEST = 10
"""Most bytes of a number of variable length."""


@dataclasses.dataclass(frozen=True)
class Field:
    """A field of a message: where it starts, where its value starts, and where it ends."""

    number: int
    wire_type: int
    start: int
    value: int
    end: int


def fields(content: bytes, start: int, end: int) -> Iterator[Field]:
    """Yield the fields of the message between two places; raises ValueError where it is damaged."""
    while start < end:
        tag, value = varint(content, start, end)
        kind = tag & 7
        if kind == VARINT:
            _, stop = varint(content, value, end)
        elif kind == LENGTH:
            size, value = varint(content, value, end)
            stop = value + size
        elif kind in (FIXED32, FIXED64):
            stop = value + (4 if kind == FIXED32 else 8)
        else:
            raise ValueError(f"wire type {kind} at byte {start}")
        if stop > end:
            raise ValueError(f"the field at byte {start} is cut off")
        yield Field(tag >> 3, kind, start, value, stop)
        start = stop


def varint(content: bytes, start: int, end: int) -> tuple[int, int]:
    """Read a number of variable length, and return it with the place after it."""
    number = 0
    for index in range(start, min(end, start + _LONGEST)):
        number |= (content[index] & 0x7F) << 7 * (index - start)
        if content[index] < 0x80:
            return number, index + 1
    raise ValueError(f"the number at byte {start} is cut off")


def written_varint(number: int) -> bytes:
    """Write a number of variable length."""
    parts = bytearray()
    while number >= 0x80:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])


def tag(number: int, wire_type: int) -> int:
    """Return the tag, the number that begins a field; it is one byte for fields below 16."""
    return number << 3 | wire_type


def whole_numbers(content: bytes, first: int | None) -> np.ndarray:
    """Decode numbers of variable length, int64 [n], or int32 where that holds all of them.

    Each number begins with the tag `first`, a single byte; `first` is None if the numbers are packed and have no tags.
    Raises ValueError if the content is anything else.
    """
    parts = [_integers(chunk, first) for chunk in _chunks(content, 1 if first is None else 2)]
    return np.concatenate(parts) if parts else np.zeros(0, np.int32)


def _chunks(content: bytes, every: int) -> Iterator[np.ndarray]:
    """Cut the content into chunks of about `_CHUNK` bytes, each with whole numbers of variable length, whose count is a
    multiple of `every`."""
    start, all_bytes = 0, np.frombuffer(content, np.uint8)
    while start < all_bytes.size:
        chunk = all_bytes[start : start + _CHUNK]
        ends = np.flatnonzero(chunk < 0x80)
        if start + chunk.size == all_bytes.size and (ends.size % every or ends[-1:] != chunk.size - 1):
            raise ValueError("the last number is cut off")
        ends = ends[: ends.size - ends.size % every]
        if not ends.size:
            raise ValueError("there are no numbers of variable length")
        yield chunk[: ends[-1] + 1]
        start += int(ends[-1]) + 1


def _integers(chunk: np.ndarray, first: int | None) -> np.ndarray:
    ends = np.flatnonzero(chunk < 0x80)
    if first is None:
        starts = np.concatenate([[0], ends[:-1] + 1])
    else:
        tags, ends = ends[0::2], ends[1::2]
        starts = tags + 1
        if tags[0] or (chunk[tags] != first).any() or (tags[1:] != ends[:-1] + 1).any():
            raise ValueError("there are fields of another kind among the numbers")
    longest = int((ends - starts).max()) + 1
    if longest > _LONGEST:
        raise ValueError("a number is longer than 64 bits")
    numbers: np.ndarray = chunk[ends].astype(np.int32 if longest <= 4 else np.uint64)
    for back in range(1, longest):
        at = ends - back
        longer = np.flatnonzero(at >= starts)
        numbers[longer] = numbers[longer] << 7 | chunk[at[longer]] & 0x7F
    return numbers if longest <= 4 else numbers.view(np.int64)


def floats(content: bytes, first: int | None) -> np.ndarray:
    """Decode numbers of single precision, float32 [n], as `whole_numbers` does."""
    size = 4 if first is None else 5
    if len(content) % size:
        raise ValueError("the last number is cut off")
    table = np.frombuffer(content, np.uint8).reshape(-1, size)
    if first is not None and (table[:, 0] != first).any():
        raise ValueError("there are fields of another kind among the numbers")
    return np.ascontiguousarray(table[:, size - 4 :]).view("<f4").reshape(-1)


def known_texts(content: bytes, first: int, known: dict[bytes, int]) -> np.ndarray:
    """Decode short texts, each of which begins with the byte `first`, to their numbers, int8 [n].

    Raises ValueError if there are texts that are not known, or anything else. No known text may hold the byte `first`.
    """
    parts, start, all_bytes = [], 0, np.frombuffer(content, np.uint8)
    while start < all_bytes.size:
        chunk = all_bytes[start : start + _CHUNK]
        places = np.flatnonzero(chunk == first)
        is_last = start + chunk.size == all_bytes.size
        ends = np.concatenate([places[1:], [chunk.size]]) if is_last else places[1:]
        places = places[: ends.size]
        sizes = ends - places - 2
        if not places.size or places[0] or sizes.min() < 0 or (chunk[places + 1] != sizes).any():
            raise ValueError("there are fields of another kind among the texts")
        parts.append(_numbers_of_texts(chunk, places, sizes, known))
        start += int(ends[-1])
    return np.concatenate(parts) if parts else np.zeros(0, np.int8)


def _numbers_of_texts(chunk: np.ndarray, places: np.ndarray, sizes: np.ndarray, known: dict[bytes, int]) -> np.ndarray:
    numbers, found = np.zeros(places.size, np.int8), np.zeros(places.size, bool)
    for text, number in known.items():
        own = np.flatnonzero(sizes == len(text))
        if own.size:
            texts = np.lib.stride_tricks.sliding_window_view(chunk, len(text))[places[own] + 2]
            own = own[(texts == np.frombuffer(text, np.uint8)).all(1)]
            numbers[own], found[own] = number, True
    if not found.all():
        raise ValueError("there is a text that is not known")
    return numbers
