"""Weights: which of the external ones are read at once, and that all bytes of the others are there."""

from __future__ import annotations

from collections.abc import Iterator

import onnx
import onnx_ir as ir

from onnxlrp import external_data
from onnxlrp.errors import InvalidModelError

_FIELDS = {
    ir.DataType.FLOAT: "float_data",
    ir.DataType.DOUBLE: "double_data",
    ir.DataType.INT64: "int64_data",
    ir.DataType.UINT32: "uint64_data",
    ir.DataType.UINT64: "uint64_data",
}
"""Where a tensor lies that is not raw; all other types of whole bytes in `int32_data`, one entry an element."""


def embed_attributes(proto: onnx.ModelProto) -> None:
    """Read into the model what attributes and sparse tensors refer to, but for constants: operators look at such values
    one by one, and they are few. Initializers and constants stay in their files."""
    for held in external_data.tensors(proto):
        is_constant = held.node is not None and held.node.op_type == "Constant"
        if held.is_external and not held.is_initializer and (held.sparse or not is_constant):
            external_data.embed(held.tensor)


def every(model: ir.Model) -> Iterator[ir.TensorProtocol]:
    """Every tensor of an onnx_ir model: of its graph, of bodies, of attributes, of functions."""
    for graph in (*model.graphs(), *(body for f in model.functions.values() for body in f.subgraphs())):
        yield from (v.const_value for v in graph.initializers.values() if v.const_value is not None)
    parts: list[ir.Graph | ir.Function] = [model.graph, *model.functions.values()]
    for whole in parts:
        for attribute in (a for node in whole.all_nodes() for a in node.attributes.values() if not a.is_ref()):
            if attribute.type == ir.AttributeType.TENSOR:
                yield attribute.as_tensor()
            elif attribute.type == ir.AttributeType.TENSORS:
                yield from attribute.as_tensors()


def check(model: ir.Model) -> None:
    """Raise InvalidModelError, with the name of the first, where weights inside the model are cut short."""
    for name, tensor in _weights(model):
        if isinstance(tensor, ir.serde.TensorProtoTensor):
            there, needed = _extent(tensor)
            if there != needed:
                raise InvalidModelError(
                    f"the weights of {name!r}, of shape {list(tensor.shape)}, need {needed:,} bytes, and {there:,} are "
                    "there: the file is damaged, export the model again"
                )


def _weights(model: ir.Model) -> Iterator[tuple[str, ir.TensorProtocol]]:
    for graph in (model.graph, *model.graph.subgraphs()):
        for value in graph.initializers.values():
            if value.const_value is not None:
                yield str(value.name), value.const_value


def _extent(tensor: ir.serde.TensorProtoTensor) -> tuple[int, int]:
    """How many bytes there are, and how many it needs."""
    proto: onnx.TensorProto = tensor.raw
    if proto.HasField("raw_data"):
        return len(proto.raw_data), tensor.nbytes
    if tensor.dtype == ir.DataType.STRING or tensor.dtype.itemsize < 1 or tensor.dtype.name.startswith("COMPLEX"):
        return 0, 0
    entries = len(getattr(proto, _FIELDS.get(tensor.dtype, "int32_data")))
    return entries * int(tensor.dtype.itemsize), tensor.nbytes
