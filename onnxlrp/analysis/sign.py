"""Signs: the values that are never negative, whatever the input."""

from __future__ import annotations

from collections.abc import Collection

import onnx_ir as ir

from onnxlrp.graph.call import Call, content
from onnxlrp.operators.control_flow import bodies
from onnxlrp.operators.registry import find

_LOOKED_AT = 1 << 20
"""Largest number of elements of a constant whose signs are read."""


def nonnegative_values(graph: ir.Graph, around: Collection[ir.Value] = ()) -> set[ir.Value]:
    """Return the values that are at least 0 whatever the input, such as ReLUs, unsigned integers, and their sums.

    `around` holds the values outside of a body that are known to be at least 0. States of a loop are never known to be.
    """
    nonnegative = {v for v in graph.inputs if v.dtype is not None and v.dtype.name.startswith("UINT")} | set(around)
    for node in graph:
        entry = find(node)
        if entry is None:
            continue
        if inner := bodies(node):
            for body in inner:
                slices = {v for v, operand in body.slices if node.inputs[operand] in nonnegative}
                nonnegative |= nonnegative_values(body.graph, nonnegative | slices)
            for index, value in enumerate(node.outputs):
                ends = [v for body in inner for v, i in body.stacked if i == index]
                if ends and all(v in nonnegative for v in ends):
                    nonnegative.add(value)
            continue
        call = Call.of(node)
        sign = entry.sign_of(call)
        operands = [node.inputs[i] for i in entry.operands(call) if i < len(node.inputs)]
        keeps_sign = sign in ("keeps", "same") and all(
            v is not None and (v in nonnegative or _constant(v)) for v in operands
        )
        square = node.op_type == "Mul" and node.inputs[0] is node.inputs[1]
        if sign in ("nonnegative", "rectified") or keeps_sign or square:
            nonnegative.update(node.outputs)
    return nonnegative


def _constant(value: ir.Value) -> bool:
    tensor = value.const_value
    if tensor is None or tensor.size > _LOOKED_AT or not tensor.dtype.is_floating_point():
        return False
    array = content(value)
    return array is not None and bool((array >= 0).all())
