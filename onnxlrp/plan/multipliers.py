"""Decide which operators have a multiplier: the change of the output over the change of each operand."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.graph.walks import mark_downstream, read_by
from onnxlrp.operators.registry import Kind, Operator

_FIXED = frozenset({"IsInf", "IsNaN", "Shape", "Size"})
"""Operators whose outputs stay the same: sizes, and the rows that a mask hides, which is not what changes."""
_EXTREMES = frozenset({"GlobalMaxPool", "Max", "MaxPool", "Min", "ReduceMax", "ReduceMin"})
"""Operators that take the largest or smallest elements of their operands, or of windows or axes of the first."""
_ALL_OUTPUTS = frozenset({"GRU", "LSTM", "RNN", "TreeEnsembleClassifier"})
"""Operators with a function for their multipliers that takes those of all outputs."""


def changing_values(graph: ir.Graph, inputs: Collection[ir.Value]) -> set[ir.Value]:
    """Find the values that change with the inputs; sizes and hidden rows do not."""
    found = set(inputs)
    mark_downstream(graph, found, lambda node: () if node.op_type in _FIXED else node.outputs, read_by)
    return found


def no_multiplier(
    entry: Operator,
    call: Call,
    operands: Mapping[int, ir.Value],
    changing: Collection[ir.Value],
    wanted: Sequence[bool],
) -> str | None:
    """Say why DeepLIFT cannot go back through an operator; None where it can.

    `operands` are those that gradients go to, `changing` all values that depend on an input; `wanted` says at which
    outputs a multiplier arrives.
    """
    moved = [i for i, v in enumerate(call.inputs) if v in changing]
    if entry.kind is Kind.STOP or not moved:
        return None
    if (entry.kind is Kind.CUSTOM and entry.multiplier is None) or (entry.lookup and 0 not in operands):
        return "it is neither linear nor elementwise, and DeepLIFT has no multiplier for it"
    if entry.kind is Kind.CUSTOM and call.op_type not in _ALL_OUTPUTS and any(wanted[1:]):
        return f"DeepLIFT has no multiplier for its output {wanted.index(True, 1)}"
    if others := [i for i in moved if i not in operands or i in entry.gradient_only]:
        return f"its operand {others[0]} depends on the input, and DeepLIFT has no multiplier for it"
    if entry.selects_by_value and entry.op_type not in _EXTREMES and not (entry.elementwise and len(moved) == 1):
        return "it chooses by values, and DeepLIFT has no multiplier for that"
    if len(moved) > 1 and not _shares(entry, len(moved)):
        return "several operands depend on the input, and DeepLIFT has no multiplier for that"
    return None


def _shares(entry: Operator, operands: int) -> bool:
    """Decide whether the change of an operator's output is shared out among several operands exactly: it is a sum of
    them, a product or quotient of two, an extreme, or moves them. A layer's bias is added to the product of its other
    two."""
    product = entry.linearity in ("product", "scale", "quotient") and (operands == 2 or entry.layer is not None)
    linear = entry.kind is Kind.LINEAR and (product or entry.linearity == "sum")
    return entry.moves or linear or entry.multiplier is not None or entry.op_type in _EXTREMES
