"""Columns of large tree ensembles, which are held outside of a model while it is converted.

A forest of millions of nodes is a dozen attributes of millions of numbers. The checker, shape inference, inlining and
serialisation would each copy them, one Python object a number. So they are taken out of the file's bytes before these
become a ModelProto: a short attribute stands in for each, and the bytes return when the explained model is written.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import onnx
from google.protobuf.message import DecodeError

from onnxlrp import wire
from onnxlrp.trees.forest import LEAF, MODES

LARGE = 2**20
"""Fewest bytes of a node whose columns are held."""

_A = onnx.AttributeProto
_OPERATORS = (b"TreeEnsembleRegressor", b"TreeEnsembleClassifier", b"TreeEnsemble")
_PREFIXES = ("nodes_", "target_", "class_", "leaf_", "tree_roots", "membership_values")
_LISTS: dict[int, int] = {7: _A.FLOATS, 8: _A.INTS, 9: _A.STRINGS}
"""Fields of AttributeProto that hold lists, each with the type of its attribute."""
_TEXTS = {b"LEAF": LEAF, **{name.encode(): number for number, name in enumerate(MODES)}}
_TENSORS: dict[int, type] = {
    onnx.TensorProto.FLOAT: np.float32,
    onnx.TensorProto.DOUBLE: np.float64,
    onnx.TensorProto.UINT8: np.uint8,
}
_INSIDE = {
    "model": {7: "graph", 25: "function"},
    "function": {7: "node"},
    "graph": {1: "node"},
    "node": {5: "attribute"},
    "attribute": {6: "graph", 11: "graph"},
}
"""Fields that may hold a tree ensemble, by the kind of message."""
_MOST_FIELDS = 1000
"""Most fields of an attribute that holds graphs."""
_SIGN = -0x6F6E6E78
"""First number of a list of integers that stands in for a column."""


@dataclasses.dataclass
class Column:
    """An attribute that holds a column of a table of trees."""

    name: str
    kind: int
    """Type of the attribute."""
    element: int
    """Type of the tensor's elements; 0 for a list."""
    raw: bytes
    """The attribute as the file has it."""
    values: np.ndarray | None
    """Numbers of the column, for texts those of the modes; None once they are forgotten."""

    @property
    def array(self) -> np.ndarray:
        """The numbers of the column, which are read again if they were forgotten."""
        if self.values is not None:
            return self.values
        again = _column(self.raw)
        assert again is not None, "the column has been read before"
        return again.array


class HeldColumns:
    """The columns of a model that are held, by the serialised attributes that stand in for them."""

    def __init__(self, columns: Mapping[bytes, Column] | None = None) -> None:
        self._columns = dict(columns or {})
        self._longest = max(map(len, self._columns), default=0)

    def __bool__(self) -> bool:
        return bool(self._columns)

    def of(self, attribute: onnx.AttributeProto) -> Column | None:
        """Find the column that an attribute stands in for; None if it is an ordinary attribute."""
        if not self._columns or attribute.ByteSize() > self._longest:
            return None
        return self._columns.get(attribute.SerializeToString(deterministic=True))

    def array(self, attribute: onnx.AttributeProto) -> np.ndarray:
        """Read the numbers of a list or tensor, whether they are held or not."""
        column = self.of(attribute)
        if column is not None:
            return column.array
        if attribute.HasField("t"):
            return onnx.numpy_helper.to_array(attribute.t).reshape(-1)
        if attribute.floats:
            return np.fromiter(attribute.floats, np.float32, len(attribute.floats))
        return np.fromiter(attribute.ints, np.int64, len(attribute.ints))

    def length(self, attribute: onnx.AttributeProto) -> int:
        """Count the entries of a list or tensor, whether they are held or not."""
        column = self.of(attribute)
        if column is not None:
            return column.array.size
        if attribute.HasField("t"):
            return math.prod(attribute.t.dims)
        return len(attribute.ints) or len(attribute.floats) or len(attribute.strings)

    def put_back(self, content: bytes) -> list[bytes | memoryview]:
        """Return a serialised model, in parts, with every column put back in its place."""
        if not self._columns:
            return [content]

        def visit(start: int, end: int) -> dict[int, bytes]:
            found = {a.value: self._columns.get(content[a.value : a.end]) for a in _attributes(content, start, end)}
            return {place: column.raw for place, column in found.items() if column is not None}

        return _rewritten(content, visit)

    @property
    def size(self) -> int:
        """Bytes of all columns."""
        return sum(len(column.raw) for column in self._columns.values())


def take_out(content: bytes) -> tuple[bytes, HeldColumns]:
    """Take the columns of large tree ensembles out of a serialised model; returns what is left, and the columns.

    A node that holds anything unusual is left as it is, and so is a model that cannot be read.
    """
    held: dict[bytes, Column] = {}
    if len(content) < LARGE or not any(name in content for name in _OPERATORS):
        return content, HeldColumns()

    def visit(start: int, end: int) -> dict[int, bytes]:
        columns = _columns(content, start, end) if end - start >= LARGE else {}
        digest = hashlib.blake2b(digest_size=16)
        for column in columns.values():
            digest.update(column.raw)
        stand_ins = {place: _stand_in(column, digest.digest()) for place, column in columns.items()}
        held.update({stand_ins[place]: column for place, column in columns.items()})
        return stand_ins

    try:
        parts = _rewritten(content, visit)
    except (ValueError, RecursionError):  # The model is damaged, which whoever parses it will say.
        return content, HeldColumns()
    return (b"".join(parts), HeldColumns(held)) if held else (content, HeldColumns())


def _columns(content: bytes, start: int, end: int) -> dict[int, Column]:
    """Read the columns of a node, by their places; none if it holds anything unusual."""
    try:
        read = {a.value: _column(content[a.value : a.end]) for a in _attributes(content, start, end)}
    except ValueError:
        return {}
    columns = {place: column for place, column in read.items() if column is not None}
    names = [column.name for column in columns.values()]
    return columns if "nodes_featureids" in names and len(set(names)) == len(names) else {}


def _column(raw: bytes) -> Column | None:
    """Read an attribute; None if it is none of a table's columns, or empty. Raises ValueError if it is unusual."""
    name, kind, listed, element, values = "", 0, 0, 0, None
    for field in wire.fields(raw, 0, len(raw)):
        if field.number == 1:
            name = raw[field.value : field.end].decode()
            if not name.startswith(_PREFIXES):
                return None
        elif field.number == 20 and field.wire_type == wire.VARINT:
            kind, _ = wire.varint(raw, field.value, field.end)
        elif field.number == 5 and field.wire_type == wire.LENGTH and values is None:
            element, values = _tensor(raw[field.value : field.end])
        elif field.number in (7, 8) and field.wire_type == wire.LENGTH and values is None:
            decode = wire.floats if field.number == 7 else wire.whole_numbers
            values, listed = decode(raw[field.value : field.end], None), _LISTS[field.number]
        elif field.number in _LISTS and values is None:
            # The type, three bytes, comes after the list wherever fields are written in the order of their numbers.
            end = len(raw) if kind else len(raw) - 3
            kind = kind or _last_type(raw)
            values, listed = _elements(raw[field.start : end], field), _LISTS[field.number]
            break
        else:
            raise ValueError(f"the field {field.number} of {name}")
    if values is None:
        return None
    if kind != (_A.TENSOR if element else listed):
        raise ValueError(f"the type of {name}")
    return Column(name, kind, element, raw, values) if values.size else None


def _last_type(raw: bytes) -> int:
    """Read the type that ends an attribute; raises ValueError if something else ends it."""
    (field,) = wire.fields(raw, len(raw) - 3, len(raw))
    if field.number != 20 or field.wire_type != wire.VARINT:
        raise ValueError("the last field is not the type")
    return wire.varint(raw, field.value, field.end)[0]


def _elements(content: bytes, field: wire.Field) -> np.ndarray:
    """Decode a list whose elements have a tag each."""
    first = wire.tag(field.number, field.wire_type)
    kinds = {7: wire.FIXED32, 8: wire.VARINT, 9: wire.LENGTH}
    if field.wire_type != kinds[field.number]:
        raise ValueError(f"wire type {field.wire_type}")
    if field.number == 9:
        return wire.known_texts(content, first, _TEXTS)
    return (wire.floats if field.number == 7 else wire.whole_numbers)(content, first)


def _tensor(content: bytes) -> tuple[int, np.ndarray]:
    """Read a tensor of one axis; raises ValueError if it is damaged, of another form, or in another file."""
    try:
        tensor = onnx.TensorProto.FromString(content)
    except DecodeError as error:
        raise ValueError("a damaged tensor") from error
    is_elsewhere = tensor.data_location != onnx.TensorProto.DEFAULT or tensor.external_data
    if tensor.data_type not in _TENSORS or len(tensor.dims) != 1 or is_elsewhere:
        raise ValueError("a tensor of another form")
    return tensor.data_type, onnx.numpy_helper.to_array(tensor)


def _stand_in(column: Column, digest: bytes) -> bytes:
    """Serialise the attribute that stands in for a column: it has the column's name and type, and holds a digest of all
    columns of the node."""
    attribute = _A(name=column.name, type=column.kind)  # type: ignore[arg-type]
    if column.kind == _A.INTS:
        attribute.ints.extend([_SIGN, *digest])
    elif column.kind == _A.FLOATS:
        attribute.floats.extend([_SIGN, *digest])
    elif column.kind == _A.STRINGS:
        attribute.strings.extend(f"{number}".encode() for number in (_SIGN, *digest))
    else:
        content: np.ndarray = np.frombuffer(bytes([0, *digest]), np.uint8).astype(_TENSORS[column.element])
        attribute.t.CopyFrom(onnx.numpy_helper.from_array(content, column.name))
    return attribute.SerializeToString(deterministic=True)


def is_stand_in(numbers: object) -> bool:
    """Decide whether a list of integers stands in for a column."""
    return isinstance(numbers, tuple) and numbers[:1] == (_SIGN,)


# --------------------------------------------------------------------------------------- the walk through the messages

_Visit = Callable[[int, int], dict[int, bytes]]
"""Function of the start and the end of a tree ensemble's node: the bytes that replace its attributes, by the place at
which each attribute starts."""


def _rewritten(content: bytes, visit: _Visit) -> list[bytes | memoryview]:
    """Rewrite attributes of all tree ensembles of a model; returns the parts of the new model in their order."""
    return _message(content, 0, len(content), "model", visit) or [content]


def _message(content: bytes, start: int, end: int, kind: str, visit: _Visit) -> list[bytes | memoryview] | None:
    """Rewrite what is inside a message; None if nothing changes."""
    parts: list[bytes | memoryview] = []
    last, view, count = start, memoryview(content), 0
    replaced = visit(start, end) if kind == "node" and _operator(content, start, end) in _OPERATORS else {}
    for field in wire.fields(content, start, end):
        count += 1
        if kind == "attribute" and count > _MOST_FIELDS:
            return None
        inner = _INSIDE[kind].get(field.number)
        if inner is None or field.wire_type != wire.LENGTH:
            continue
        if field.value in replaced:
            new: list[bytes | memoryview] | None = [replaced[field.value]]
        elif content.find(_OPERATORS[-1], field.value, field.end) < 0:
            continue
        else:
            new = _message(content, field.value, field.end, inner, visit)
        if new is not None:
            size = wire.written_varint(sum(map(len, new)))
            tag = wire.written_varint(wire.tag(field.number, wire.LENGTH))
            parts += [view[last : field.start], tag, size, *new]
            last = field.end
    return [*parts, view[last:end]] if parts else None


def _attributes(content: bytes, start: int, end: int) -> Iterator[wire.Field]:
    return (f for f in wire.fields(content, start, end) if f.number == 5 and f.wire_type == wire.LENGTH)


def _operator(content: bytes, start: int, end: int) -> bytes:
    """Read the operator of a node of ai.onnx.ml; empty for other nodes."""
    named = {f.number: content[f.value : f.end] for f in wire.fields(content, start, end) if f.number in (4, 7)}
    return named.get(4, b"") if named.get(7) == b"ai.onnx.ml" else b""
