"""Opening a model: the bytes of its file, and the protobuf message that they are."""

from __future__ import annotations

from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from onnxlrp.errors import InvalidModelError


def bytes_of(path: Path) -> bytes:
    """Read a model's file. Raises InvalidModelError where there is none, or where it cannot be read."""
    if path.is_dir():
        raise InvalidModelError(f"'{path}' is a folder, not a model")
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise InvalidModelError(f"there is no file '{path}'") from error
    except (OSError, ValueError) as error:  # A path with a null character is a ValueError.
        raise InvalidModelError(f"'{path}' cannot be read: {getattr(error, 'strerror', error)}") from error


def parse(data: bytes, place: str) -> onnx.ModelProto:
    """Parse a model; `place` names it in messages. Raises InvalidModelError where the bytes are no model."""
    try:
        proto = onnx.ModelProto.FromString(data)
    except DecodeError as error:
        raise InvalidModelError(f"{place}: this is no ONNX model, or it was cut off ({len(data):,} bytes)") from error
    if not proto.HasField("graph"):
        raise InvalidModelError(f"{place}: this is no ONNX model, it holds no graph ({len(data):,} bytes)")
    return proto


def parse_file(path: Path) -> onnx.ModelProto:
    """Read and parse a model's file, without its external data. Raises InvalidModelError as the two do."""
    return parse(bytes_of(path), f"'{path}'")
