"""Write the explained model, whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import onnx
import onnx_ir as ir

from onnxlrp.errors import InputError
from onnxlrp.source.map_inputs import put_map_inputs_back
from onnxlrp.source.read import Source
from onnxlrp.source.sparse import make_sparse

_LIMIT = 2**31 - 2**20
"""Protocol buffers end at 2 GB; a little is left for the graph."""
_SMALL = 1024
"""Bytes of a tensor that stays inside: onnxruntime looks at shapes and axes before it reads external data."""


def to_proto(source: Source) -> onnx.ModelProto:
    """The model with its weights inside."""
    if _weight_bytes(source.model) > _LIMIT:
        raise InputError("the model is past 2 GB, the limit of one ModelProto: save it to a file instead")
    model = ir.Model(source.model.graph.clone(), **_about(source.model)) if _external(source.model) else source.model
    if model is not source.model:
        ir.external_data.load_to_model(model)
    return _with_others(source, ir.serde.serialize_model(model))


def save(source: Source, path: Path, *, share_weights: bool = False) -> None:
    """Write to `path`; external weights beside it past 2 GB, or where they are shared with the source."""
    if not path.parent.is_dir():
        raise InputError(f"the folder {path.parent} does not exist")
    if share_weights:
        _write(path, _with_others(source, ir.serde.serialize_model(_shared(source.model, path))))
    elif _weight_bytes(source.model) > _LIMIT:
        model = ir.Model(source.model.graph.clone(), **_about(source.model))
        data = path.name + ".data"
        ir.external_data.unload_from_model(model, path.parent, data, size_threshold_bytes=_SMALL)
        _write(path, _with_others(source, ir.serde.serialize_model(model)))
    else:
        _write(path, to_proto(source))


def _about(model: ir.Model) -> dict:
    return {
        "ir_version": model.ir_version,
        "producer_name": model.producer_name,
        "producer_version": model.producer_version,
        "domain": model.domain,
        "model_version": model.model_version,
        "doc_string": model.doc_string,
        "functions": list(model.functions.values()),
        "metadata_props": dict(model.metadata_props),
    }


def _external(model: ir.Model) -> list[ir.ExternalTensor]:
    tensors = (v.const_value for v in model.graph.initializers.values())
    return [t for t in tensors if isinstance(t, ir.ExternalTensor)]


def _shared(model: ir.Model, path: Path) -> ir.Model:
    folder = path.parent.resolve()
    external = _external(model)
    if not external:
        raise InputError("share_weights: the source keeps its weights inside, there is no weight file to refer to")
    for tensor in external:
        if Path(tensor.path).resolve().parent != folder:
            raise InputError(
                f"share_weights: {path.name} must lie beside the source's weight file {tensor.path}: runtimes refuse "
                "external data in another folder"
            )
    return model


def _weight_bytes(model: ir.Model) -> int:
    return sum(v.const_value.nbytes for v in model.graph.initializers.values() if v.const_value is not None)


def _with_others(source: Source, proto: onnx.ModelProto) -> onnx.ModelProto:
    """Put back what onnx_ir takes no part in: ZipMap nodes and their outputs, inputs that are maps, sparse tensors."""
    put_map_inputs_back(proto, source.map_inputs)
    make_sparse(proto, source.sparse)
    proto.graph.node.extend(source.zipmaps)
    for position, declared in source.map_outputs:
        proto.graph.output[position].CopyFrom(declared)
    return proto


def _write(path: Path, proto: onnx.ModelProto) -> None:
    content = proto.SerializeToString(deterministic=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        umask = os.umask(0)
        os.umask(umask)
        Path(name).chmod(0o666 & ~umask)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
