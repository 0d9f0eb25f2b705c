"""Weights: external ones in one form, and that all bytes of the others are there."""

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


def gather(proto: onnx.ModelProto) -> None:
    """Leave external weights to initializers: Constant nodes that hold some become initializers, and what other
    attributes refer to is read into them. The passes of onnx and onnx_ir know external data of initializers only."""
    if not any(held.is_external for held in external_data.tensors(proto)):
        return
    _lift(proto.graph)
    for held in external_data.tensors(proto):
        if held.is_external and not held.is_initializer:
            external_data.embed(held.tensor)


def _lift(graph: onnx.GraphProto) -> None:
    """Make initializers of a graph's constants, but of those that are its outputs themselves."""
    outputs = {value.name for value in graph.output}
    for index in reversed(range(len(graph.node))):
        node = graph.node[index]
        for body in external_data.bodies(node):
            _lift(body)
        tensor = _external_constant(node)
        if tensor is not None and node.output[0] not in outputs:
            graph.initializer.add().CopyFrom(tensor)
            graph.initializer[-1].name = node.output[0]
            del graph.node[index]


def _external_constant(node: onnx.NodeProto) -> onnx.TensorProto | None:
    if node.op_type != "Constant" or node.domain not in ("", "ai.onnx") or len(node.attribute) != 1:
        return None
    (attribute,) = node.attribute
    is_external = attribute.name == "value" and attribute.t.data_location == onnx.TensorProto.EXTERNAL
    return attribute.t if is_external and len(node.output) == 1 else None


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
