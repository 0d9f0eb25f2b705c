"""Read external weights into the model where they are needed at once, and iterate over all weights."""

from __future__ import annotations

from collections.abc import Iterator

import onnx
import onnx_ir as ir

from onnxlrp import external_data


def embed_attributes(proto: onnx.ModelProto) -> None:
    """Read the external data of attributes and sparse tensors into the model, because operators look at these few
    values one by one. Initializers and constants stay in their files."""
    for held in external_data.tensors(proto):
        is_constant = held.node is not None and held.node.op_type == "Constant"
        if held.is_external and not held.is_initializer and (held.sparse or not is_constant):
            external_data.embed(held.tensor)


def every(model: ir.Model) -> Iterator[ir.TensorProtocol]:
    """Yield every tensor of an onnx_ir model: those of its graph, of bodies, of attributes and of functions."""
    for graph in (*model.graphs(), *(body for f in model.functions.values() for body in f.subgraphs())):
        yield from (v.const_value for v in graph.initializers.values() if v.const_value is not None)
    parts: list[ir.Graph | ir.Function] = [model.graph, *model.functions.values()]
    for whole in parts:
        for attribute in (a for node in whole.all_nodes() for a in node.attributes.values() if not a.is_ref()):
            if attribute.type == ir.AttributeType.TENSOR:
                yield attribute.as_tensor()
            elif attribute.type == ir.AttributeType.TENSORS:
                yield from attribute.as_tensors()
