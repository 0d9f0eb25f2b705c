"""Which values are never negative."""

from __future__ import annotations

import onnx_ir as ir

from onnxlrp.operators.registry import Call, content, find

_LOOKED_AT = 1 << 20
"""Constants larger than this are not looked at."""


def nonnegative_values(graph: ir.Graph) -> set[ir.Value]:
    """Values that are 0 or more whatever the input: behind a ReLU, of an unsigned type, sums and products of such."""
    found = {v for v in graph.inputs if v.dtype is not None and v.dtype.name.startswith("UINT")}
    for node in graph:
        entry = find(node)
        if entry is None:
            continue
        call = Call.of(node)
        sign = entry.sign(call) if callable(entry.sign) else entry.sign
        operands = [node.inputs[i] for i in entry.operands(call) if i < len(node.inputs)]
        kept = sign == "keeps" and all(v is not None and (v in found or _constant(v)) for v in operands)
        square = node.op_type == "Mul" and node.inputs[0] is node.inputs[1]
        if sign == "nonnegative" or kept or square:
            found.update(node.outputs)
    return found


def _constant(value: ir.Value) -> bool:
    tensor = value.const_value
    if tensor is None or tensor.size > _LOOKED_AT or not tensor.dtype.is_floating_point():
        return False
    array = content(value)
    return array is not None and bool((array >= 0).all())
