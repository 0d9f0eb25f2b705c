"""Decide which operators have a multiplier: the change of the output over the change of each operand."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.graph.walks import mark_downstream, read_by
from onnxlrp.operators.registry import Kind, Operator

_SIZES = frozenset({"Shape", "Size"})
_LARGEST = frozenset({"GlobalMaxPool", "MaxPool", "ReduceMax"})
"""Operators that take the largest elements of windows or axes of their first operand."""


def changing_values(graph: ir.Graph, inputs: Collection[ir.Value]) -> set[ir.Value]:
    """Find the values that change with the inputs; sizes do not."""
    found = set(inputs)
    mark_downstream(graph, found, lambda node: () if node.op_type in _SIZES else node.outputs, read_by)
    return found


def no_multiplier(
    entry: Operator, call: Call, operands: Mapping[int, ir.Value], changing: Collection[ir.Value]
) -> str | None:
    """Say why DeepLIFT cannot go back through an operator; None where it can.

    `operands` are those that gradients go to, `changing` all values that depend on an input.
    """
    moved = [i for i, v in enumerate(call.inputs) if v in changing]
    if entry.kind is Kind.STOP or not moved:
        return None
    if entry.kind is Kind.CUSTOM or (entry.lookup and 0 not in operands):
        return "it is neither linear nor elementwise, and DeepLIFT has no multiplier for it"
    if others := [i for i in moved if i not in operands or i in entry.gradient_only]:
        return f"its operand {others[0]} depends on the input, and DeepLIFT has no multiplier for it"
    if entry.selects_by_value and not entry.elementwise and entry.op_type not in _LARGEST:
        return "it chooses by values, and DeepLIFT has no multiplier for that"
    if len(moved) > 1 and not _shares(entry, len(moved)):
        return "several operands depend on the input, and DeepLIFT has no multiplier for that"
    return None


def _shares(entry: Operator, operands: int) -> bool:
    """Decide whether the change of an operator's output is shared out among several operands exactly: it is a sum of
    them, a product of two, or moves them. A layer's bias is added to the product of its other two."""
    product = entry.linearity in ("product", "scale") and (operands == 2 or entry.layer is not None)
    return entry.moves or (entry.kind is Kind.LINEAR and (product or entry.linearity == "sum"))
