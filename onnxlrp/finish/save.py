"""Writing of the explained model to a file, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx_ir as ir

from onnxlrp import external_data
from onnxlrp.drafts import atomic_write
from onnxlrp.errors import InputError
from onnxlrp.external_data import Held
from onnxlrp.replacing import check_data_file, check_replaceable
from onnxlrp.source.map_inputs import put_map_inputs_back
from onnxlrp.source.read import Source
from onnxlrp.source.sparse import make_sparse
from onnxlrp.trees.held_columns import HeldColumns

_LIMIT = 2**31 - 2**20
"""Most bytes of weights inside the model: protocol buffers end at 2 GB, and the graph needs a little."""
_SMALL = 1024
"""Most bytes of a tensor that stays inside: onnxruntime reads shapes and axes before it reads external data."""


def to_proto(source: Source) -> onnx.ModelProto:
    """Serialise the model with its weights inside. Raises InputError past 2 GB."""
    proto = _serialised(source)
    if _weight_bytes(proto) + source.held.size > _LIMIT:
        raise InputError("the model is past 2 GB, the limit of one ModelProto: save it to a file instead")
    if not source.held:
        return _embedded(proto)
    return onnx.ModelProto.FromString(b"".join(_content(_embedded(proto), source.held)))


def save(source: Source, path: Path, *, share_weights: bool = False) -> None:
    """Write to `path`; weights go to a file beside it past 2 GB, or stay in the source's if they are shared.

    Raises InputError if that would replace a file of the source, one that is no regular file, or a data file that was
    not written with the model at `path`.
    """
    if not path.parent.is_dir():
        raise InputError(f"the folder {path.parent} does not exist")
    check_replaceable(path, source.files)
    proto = _serialised(source)
    if not share_weights and _weight_bytes(proto) + source.held.size > _LIMIT:
        _write_with_data(path, proto, source)
        return
    proto = _shared(proto, path) if share_weights else _embedded(proto)
    with atomic_write(path) as draft, draft.open("wb") as file:
        file.writelines(_content(proto, source.held))


def shared_content(source: Source, path: Path) -> bytes:
    """Serialise the model as `save` would write it to `path` with shared weights, without writing anything."""
    return b"".join(_content(_shared(_serialised(source), path), source.held))


def _content(proto: onnx.ModelProto, held: HeldColumns) -> list[bytes | memoryview]:
    """Give the parts of the file's content, with the columns of large tree ensembles in their places."""
    return held.put_back(proto.SerializeToString(deterministic=True))


def _serialised(source: Source) -> onnx.ModelProto:
    """Serialise the model, except its external weights, which stay in the source's files, and the columns of large tree
    ensembles, for which short attributes stand in."""
    proto = ir.serde.serialize_model(source.model)
    put_map_inputs_back(proto, source.map_inputs)
    make_sparse(proto, source.sparse)
    proto.graph.node.extend(source.zipmaps)
    for position, declared in source.map_outputs:
        proto.graph.output[position].CopyFrom(declared)
    return proto


def _embedded(proto: onnx.ModelProto) -> onnx.ModelProto:
    for held in external_data.tensors(proto):
        if held.is_external:
            external_data.embed(held.tensor)
    return proto


def _shared(proto: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    """Refer to the source's weight files by their place beside `path`."""
    folder = path.parent.resolve()
    external = [held for held in external_data.tensors(proto) if held.is_external]
    if not external:
        raise InputError("share_weights: the source keeps its weights inside, there is no weight file to refer to")
    for held in external:
        file = Path(held.entry("location") or "")
        if not file.is_relative_to(folder):
            raise InputError(
                f"share_weights: {path.name} must lie beside the source's weight file {file}: runtimes refuse external "
                "data in another folder, and links"
            )
        location = file.relative_to(folder).as_posix()
        external_data.point(held.tensor, location, held.number("offset") or 0, held.size)
    return proto


def _weight_bytes(proto: onnx.ModelProto) -> int:
    return sum(_bytes(held) for held in external_data.tensors(proto))


def _bytes(held: Held) -> int:
    return held.size if held.is_external else len(held.tensor.raw_data)


def _write_with_data(path: Path, proto: onnx.ModelProto, source: Source) -> None:
    """Write the initializers to a file beside `path`, and everything else to `path`."""
    data, end = path.with_name(path.name + ".data"), 0
    check_data_file(data, path, source.files)
    with atomic_write(path) as model_draft, atomic_write(data) as data_draft:
        with data_draft.open("wb") as file:
            for held in external_data.tensors(proto):
                size = _bytes(held)
                if held.is_initializer and size > _SMALL:
                    file.writelines(external_data.chunks_of(held.tensor))
                    external_data.point(held.tensor, data.name, end, size)
                    end += size
                elif held.is_external:
                    external_data.embed(held.tensor)
        inside = _weight_bytes(proto) + source.held.size - end
        if inside > _LIMIT:
            raise InputError(f"{inside:,} bytes of weights are in attributes, past 2 GB, the limit of one file")
        with model_draft.open("wb") as file:
            file.writelines(_content(proto, source.held))
