"""Opening a model, whatever form it is given in: the protobuf message, and where its weights lie."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from onnxlrp import external_data, foreign_files
from onnxlrp.errors import InvalidModelError
from onnxlrp.trees.held_columns import HeldColumns, take_out


@dataclasses.dataclass(frozen=True)
class Opened:
    """A model that was given as a path, as bytes or as a ModelProto."""

    proto: onnx.ModelProto
    """The model, whose external tensors say where their files really lie; the given object where that is a proto."""
    content: bytes | None = None
    """The bytes that were given, or those of the file."""
    file: Path | None = None
    """The model's file, beside which its weights lie."""
    weights: tuple[Path, ...] = ()
    """The files of its weights."""
    held: HeldColumns = dataclasses.field(default_factory=HeldColumns)
    """The columns of large tree ensembles that were taken out of the content."""


def opened(model: object) -> Opened | None:
    """Open a model; None for an object of another type.

    Raises InvalidModelError where there is no such file, where it is no model, or where its weights may not be read.
    """
    if isinstance(model, onnx.ModelProto):
        external_data.settle(model, None)  # It raises where there is external data, else changes nothing.
        return Opened(model)
    if isinstance(model, (str, os.PathLike)):
        return _of_file(Path(model))
    if isinstance(model, (bytes, bytearray, memoryview)):
        content = bytes(model)
        proto, held = _parsed(content, "the bytes")
        external_data.settle(proto, None)
        return Opened(proto, content, held=held)
    return None


def _of_file(path: Path) -> Opened:
    content = _bytes_of(path)
    proto, held = _parsed(content, f"'{path}'", path.name)
    file = external_data.own_file(proto, path)
    return Opened(proto, content, file, tuple(external_data.settle(proto, file.parent, file)), held)


def _bytes_of(path: Path) -> bytes:
    if path.is_dir():
        words = foreign_files.in_words(path)
        raise InvalidModelError(f"'{path}' is a folder, not a model" + (f": {words}" if words else ""))
    if foreign_files.is_certain(path):
        raise InvalidModelError(f"'{path}' is no ONNX model: {foreign_files.in_words(path)}")
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise InvalidModelError(f"there is no file '{path}'") from error
    except (OSError, ValueError) as error:  # A path with a null character is a ValueError.
        raise InvalidModelError(f"'{path}' cannot be read: {getattr(error, 'strerror', error)}") from error


def _parsed(content: bytes, place: str, name: str = "") -> tuple[onnx.ModelProto, HeldColumns]:
    """Parse a model, and return it with the columns of large tree ensembles, which it does not hold any more."""
    rest, held = take_out(content)
    try:
        proto = onnx.ModelProto.FromString(rest)
    except DecodeError as error:
        words = foreign_files.bytes_in_words(content, name) or f"or it was cut off ({len(content):,} bytes)"
        raise InvalidModelError(f"{place}: this is no ONNX model, {words}") from error
    if not proto.HasField("graph"):
        words = foreign_files.bytes_in_words(content, name) or f"it holds no graph ({len(content):,} bytes)"
        raise InvalidModelError(f"{place}: this is no ONNX model, {words}")
    return proto, held
