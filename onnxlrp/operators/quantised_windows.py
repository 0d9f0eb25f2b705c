"""Shape inference for convolutions and pools of quantised numbers: that of ONNX for floats, also with channels last."""

from __future__ import annotations

from typing import Any

import onnx
from onnx import TensorProto, helper

from onnxlrp.operators.shape_functions import dims_of, kind_of, set_output

_WINDOW = ("auto_pad", "ceil_mode", "dilations", "group", "kernel_shape", "pads", "strides")


def infer_as(op_type: str, context: Any, weight: int | None = None) -> None:
    """Infer the shape that ONNX's operator `op_type` gives floats; `weight` is the index of a convolution's weight."""
    last = (attribute := context.get_attribute("channels_last")) is not None and attribute.i == 1
    types = [context.get_input_type(i).tensor_type for i in (0, weight) if i is not None]

    def dims(given: list) -> list | None:
        if not all(t.HasField("shape") for t in types):
            return None
        operands = [[given[0], given[-1], *given[1:-1]] if last else given, *(list(t.shape.dim) for t in types[1:])]
        named = {f"v{i}": _floats(operand) for i, operand in enumerate(operands)}
        window = [a for n in _WINDOW if (a := context.get_attribute(n)) is not None]
        node = helper.make_node(op_type, list(named), ["y"])
        node.attribute.extend(a for a in window if a.name in onnx.defs.get_schema(op_type).attributes)
        inferred = onnx.shape_inference.infer_node_outputs(onnx.defs.get_schema(op_type), node, named)["y"]
        sizes = list(inferred.tensor_type.shape.dim)
        return [sizes[0], *sizes[2:], sizes[1]] if last else sizes

    given = dims_of(context, 0)
    set_output(context, kind_of(context, 0), None if given is None else dims(given))


def _floats(dims: list) -> onnx.TypeProto:
    result = onnx.TypeProto()
    result.tensor_type.elem_type = TensorProto.FLOAT
    result.tensor_type.shape.dim.extend(dims)
    return result
