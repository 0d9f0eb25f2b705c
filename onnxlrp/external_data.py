"""External data: every tensor of a model whose values may lie in another file, and the check of that file.

A model from a stranger may name any file of this machine. So each location, wherever in the model its tensor is, is
judged by its name and by the state of the file before anything opens it.
"""

from __future__ import annotations

import dataclasses
import os
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

import onnx
import onnx_ir as ir

from onnxlrp.errors import InvalidModelError
from onnxlrp.printable import escaped

_DRIVE = re.compile(r"[A-Za-z]:")
_BEYOND = ("\\", "*")
"""Characters that other systems take as separators, or with which onnxruntime marks addresses in memory."""
_CHUNK = 2**26
"""Bytes to read from another file at a time."""


@dataclasses.dataclass(frozen=True, eq=False)
class Held:
    """A tensor of a model, with its place in the model."""

    tensor: onnx.TensorProto
    outside: tuple[str, ...] = ()
    """Bodies and functions that contain the tensor, the innermost first."""
    node: onnx.NodeProto | None = None
    """Node that has the tensor as an attribute; None for an initializer."""
    attribute: str = ""
    sparse: bool = False
    """True for the values or the indices of a sparse tensor."""

    @property
    def place(self) -> str:
        """Place of the tensor in words, for a message."""
        own = f"the weights of {self.tensor.name!r}"
        if self.node is not None:
            named = f"of {self.tensor.name!r}, " if self.tensor.name else ""
            own = f"the values {named}attribute {self.attribute!r} of {_spoken(self.node)}"
        return ", in ".join((own, *self.outside))

    @property
    def is_initializer(self) -> bool:
        """True for an initializer that is not sparse."""
        return self.node is None and not self.sparse

    @property
    def is_external(self) -> bool:
        """True if the values lie in another file."""
        return self.tensor.data_location == onnx.TensorProto.EXTERNAL

    @property
    def size(self) -> int:
        """Number of bytes that type and shape need. Raises InvalidModelError if a tensor cannot have that type or
        shape."""
        try:
            dtype = ir.DataType(self.tensor.data_type)
            bits = dtype.bitwidth
        except (ValueError, TypeError) as error:
            raise InvalidModelError(f"{self.place}: there is no tensor of numbers of this type in a file") from error
        count = 1
        for dim in self.tensor.dims:
            if dim < 0:
                raise InvalidModelError(f"{self.place}: the shape {list(self.tensor.dims)} is negative")
            count *= dim
        return (count * bits + 7) // 8

    def entry(self, key: str) -> str | None:
        """Read an entry of the description of the file that holds the values.

        Raises InvalidModelError if the entry is given twice, because readers differ in which they use.
        """
        values = [one.value for one in self.tensor.external_data if one.key == key]
        if len(values) > 1:
            raise InvalidModelError(f"{self.place}: {key!r} of their file is given {len(values)} times")
        return values[0] if values else None

    def number(self, key: str) -> int | None:
        """Read an entry that counts bytes."""
        text = self.entry(key)
        if text is None:
            return None
        if not re.fullmatch(r"[0-9]{1,19}", text):
            raise InvalidModelError(f"{self.place}: the {key} {text[:40]!r} is no number of bytes")
        return int(text)


# ------------------------------------------------------------------------------------------------------- the walk


def tensors(model: onnx.ModelProto) -> Iterator[Held]:
    """Yield every tensor of a model: of its graph, of bodies, of attributes, of functions, of its training."""
    yield from graph_tensors(model.graph)
    for function in model.functions:
        outside = (f"function {escaped(function.domain)}::{escaped(function.name)}",)
        node = onnx.NodeProto(op_type=escaped(function.name), domain=escaped(function.domain))
        yield from _node_tensors(function.node, outside)
        for attribute in function.attribute_proto:
            yield from _attribute_tensors(node, attribute, outside)
    for index, training in enumerate(model.training_info):
        for part, graph in (("initialization", training.initialization), ("algorithm", training.algorithm)):
            yield from graph_tensors(graph, (f"the {part} of training {index}",))


def graph_tensors(graph: onnx.GraphProto, outside: tuple[str, ...] = ()) -> Iterator[Held]:
    """Yield every tensor of a graph and of its bodies."""
    for tensor in graph.initializer:
        yield Held(tensor, outside)
    for sparse in graph.sparse_initializer:
        yield Held(sparse.values, outside, sparse=True)
        yield Held(sparse.indices, outside, sparse=True)
    yield from _node_tensors(graph.node, outside)


def _node_tensors(nodes: Iterable[onnx.NodeProto], outside: tuple[str, ...]) -> Iterator[Held]:
    for node in nodes:
        for attribute in node.attribute:
            yield from _attribute_tensors(node, attribute, outside)


def _attribute_tensors(
    node: onnx.NodeProto, attribute: onnx.AttributeProto, outside: tuple[str, ...]
) -> Iterator[Held]:
    """Yield the tensors of every field, whatever type the attribute declares, because readers differ in which one they
    use."""
    if attribute.HasField("t"):
        yield Held(attribute.t, outside, node, attribute.name)
    for tensor in attribute.tensors:
        yield Held(tensor, outside, node, attribute.name)
    sparse = [attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []
    for one in (*sparse, *attribute.sparse_tensors):
        yield Held(one.values, outside, node, attribute.name, sparse=True)
        yield Held(one.indices, outside, node, attribute.name, sparse=True)
    for graph in _graphs(attribute):
        yield from graph_tensors(graph, (f"the {escaped(attribute.name)} of {_spoken(node)}", *outside))


def _spoken(node: onnx.NodeProto) -> str:
    return f"{escaped(node.op_type)} node {node.name!r}"


def _graphs(attribute: onnx.AttributeProto) -> Iterator[onnx.GraphProto]:
    if attribute.HasField("g"):
        yield attribute.g
    yield from attribute.graphs


# ------------------------------------------------------------------------------------------------------ the guard


def own_file(model: onnx.ModelProto, path: Path) -> Path:
    """Choose the name of the model's file beside which its weights lie: `path`, or the target that it links to."""
    first = next((held for held in tensors(model) if held.is_external), None)
    if first is None or not path.is_symlink():
        return path
    location = first.entry("location") or ""
    _check_name(first, location)
    return path if os.path.lexists(path.parent / location) else path.resolve()


def settle(model: onnx.ModelProto, folder: Path | None, file: Path | None = None) -> list[Path]:
    """Write into every external tensor the real location of its file, and return these files; nothing is opened.

    `folder` is that of the model's file, None if it has none; `file` is the model's file if it is known. Raises
    InvalidModelError at the first tensor whose file may not be read (`judge`).
    """
    files: dict[Path, None] = {}
    for held in tensors(model):
        if held.is_external:
            data = judge(held, folder, file)
            point(held.tensor, str(data), held.number("offset") or 0, held.size)
            files[data] = None
    return list(files)


def judge(held: Held, folder: Path | None, file: Path | None = None) -> Path:
    """Find the file that holds the values of an external tensor, with all links resolved, and check that it may be
    read.

    It must be a regular file in the folder of the model's file or below it, named by a relative path without links. It
    must not be the model itself, must have one name only (a hard link may lead anywhere on the disk, and onnx reads
    none either), and must be long enough. A link is followed only if the model's file is a link as well, and only into
    the folder that holds the file to which that link leads. (Caches keep `snapshots/…` as links into `blobs/…`.) A
    model from bytes or from memory has no folder. Raises InvalidModelError otherwise.
    """
    location = held.entry("location") or ""
    _check_name(held, location)
    if folder is None:
        raise InvalidModelError(
            f"{held.place} lie in the file {location!r}, but a model from memory has no folder to look in: give the "
            "model by its path, or read its weights into it, with onnx.load_external_data_for_model"
        )
    data = _resolved(held, location, folder.resolve(), file)
    try:
        state = data.stat()
    except OSError as error:
        raise InvalidModelError(
            f"{held.place} lie in {location!r}, which is not in {folder.resolve()}: put the file there"
        ) from error
    if not stat.S_ISREG(state.st_mode):
        raise InvalidModelError(f"{held.place} lie in {location!r}, which is no regular file")
    if file is not None and os.path.samestat(state, file.stat()):
        raise InvalidModelError(f"{held.place} lie in {location!r}, which is the model itself")
    if state.st_nlink > 1:
        raise InvalidModelError(
            f"{held.place} lie in {location!r}, which is one of {state.st_nlink} hard links to a file: copy that file"
        )
    if not os.access(data, os.R_OK):
        raise InvalidModelError(f"{held.place} lie in {location!r}, which cannot be read: permission denied")
    _check_extent(held, location, state.st_size)
    return data


def _check_name(held: Held, location: str) -> None:
    """Refuse a location whose name alone shows that it is no relative path, or is one on some systems only."""
    if not location:
        raise InvalidModelError(f"{held.place} lie in another file, which is not named: export the model again")
    odd = not location.isprintable() or any(sign in location for sign in _BEYOND)
    if odd or location.startswith("/") or _DRIVE.match(location):
        raise InvalidModelError(
            f"{held.place} lie in {location[:200]!r}, which is no relative path with / between its parts: name a file "
            "in the model's folder"
        )


def _resolved(held: Held, location: str, folder: Path, file: Path | None) -> Path:
    """Find the real path of a location; no part of it may be a link, except those that `judge` allows."""
    plain = Path(os.path.normpath(folder / location))
    if not plain.is_relative_to(folder) or plain == folder:
        raise InvalidModelError(
            f"{held.place} lie in {location!r}, which leads out of the model's folder {folder}: put the file there"
        )
    real = Path(os.path.realpath(plain))
    if not any(map(os.path.islink, _parts(folder, location))):
        return real
    linked = file is not None and file.is_symlink() and real.is_relative_to(file.resolve().parent)
    if linked and ".." not in Path(location).parts:
        return real
    raise InvalidModelError(
        f"{held.place} lie in {location!r}, which is a link or lies in a linked folder: put the file itself into the "
        "model's folder"
    )


def _parts(folder: Path, location: str) -> Iterator[Path]:
    """Yield every folder on the way to a file, and the file, including folders that a later `..` leaves again."""
    for part in Path(location).parts:
        folder = folder.parent if part == ".." else folder / part
        yield folder


def _check_extent(held: Held, location: str, there: int) -> None:
    needed, offset, length = held.size, held.number("offset") or 0, held.number("length")
    if there < offset + needed or length not in (None, needed):
        raise InvalidModelError(
            f"{held.place}, of shape {list(held.tensor.dims)}, need {needed:,} bytes and end at byte "
            f"{offset + needed:,} of {location!r}, which has {there:,} and gives them "
            f"{needed if length is None else length:,}: one of the two files is damaged or not of this model"
        )


# ----------------------------------------------------------------------------------------------------- the values


def point(tensor: onnx.TensorProto, location: str, offset: int, length: int) -> None:
    """Make a tensor refer to values in another file."""
    for field in ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data", "external_data"):
        tensor.ClearField(field)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", str(offset)), ("length", str(length))):
        tensor.external_data.add(key=key, value=value)


def embed(tensor: onnx.TensorProto) -> None:
    """Read the values of a settled tensor into it. Raises InvalidModelError if the file has changed."""
    content = values_of(tensor)
    for field in ("external_data", "data_location"):
        tensor.ClearField(field)
    tensor.raw_data = content


def values_of(tensor: onnx.TensorProto) -> bytes:
    """Read the bytes of a tensor, from the file that `settle` found if they lie in one."""
    return b"".join(chunks_of(tensor))


def chunks_of(tensor: onnx.TensorProto) -> Iterator[bytes]:
    """Read the bytes of a tensor piece by piece. Raises InvalidModelError if the file has changed."""
    held = Held(tensor)
    if not held.is_external:
        yield tensor.raw_data
        return
    location, offset, left = held.entry("location") or "", held.number("offset") or 0, held.number("length") or 0
    try:
        with Path(location).open("rb") as file:
            file.seek(offset)
            while left and (chunk := file.read(min(left, _CHUNK))):
                left -= len(chunk)
                yield chunk
    except OSError as error:
        raise InvalidModelError(f"{held.place} cannot be read from {location!r}: {error.strerror or error}") from error
    if left:
        raise InvalidModelError(f"{held.place}: {location!r} has become shorter since the model was read")
