"""Softmax and LogSoftmax, which are skipped at the end of a model and take a Taylor step inside the network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.graph.walks import follow
from onnxlrp.operators.changes import log_softmax_change, softmax_change
from onnxlrp.operators.registry import Reversed, custom

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder
    from onnxlrp.operators.reverse_builder import ReverseBuilder


_HALF = ir.DataType.FLOAT16


def _axis(call: Call, op: Builder) -> ir.Value:
    return op.ints([int(call.attr("axis", -1))])


def _bare(x: ir.Value) -> bool:
    """Decide whether scores are a product, possibly times a number, to which no mask is added."""

    def scaled(node: ir.Node) -> ir.Value | None:
        factors = [v for v in node.inputs if v is not None and (v.const_value is None or v.const_value.size != 1)]
        times = node.domain == "" and node.op_type in ("Mul", "Div")
        return factors[0] if times and len(factors) == 1 else None

    node = follow(x, scaled).producer()
    return node is not None and (node.domain, node.op_type) == ("", "MatMul")


def may_hide_rows(scores: ir.Value) -> bool:
    """Decide whether a mask may hide a whole row of scores by −∞, so that their softmax is NaN there."""
    return not _bare(scores) and _depth(scores) is _INFINITE


_SHALLOW, _LOWEST, _INFINITE = range(3)
_PASSED_ON = frozenset({"Cast", "Identity", "Reshape", "Unsqueeze", "Squeeze", "Expand", "Transpose", "Slice", "Mul"})


def _depth(value: ir.Value) -> int:
    """Tell how low a mask may make a value: not low, the lowest number, or −∞, the sum of two lowest numbers."""
    node, number = value.producer(), value.const_value
    if value.dtype is not None and not value.dtype.is_floating_point():
        return _SHALLOW
    if number is not None:
        least = float(np.min(number.numpy(), initial=0))
        return _INFINITE if np.isinf(least) else _LOWEST if least < (-6e4 if number.dtype == _HALF else -1e30) else 0
    if node is None or node.domain != "":
        return _INFINITE
    if node.op_type in ("MatMul", "Sub", "Tanh"):
        return _SHALLOW
    if node.op_type not in ("Add", "Where", *_PASSED_ON):
        return _INFINITE
    depths = sorted(_depth(v) for v in node.inputs if v is not None)
    return _INFINITE if node.op_type == "Add" and depths[0] >= _LOWEST else depths[-1]


@custom("Softmax", sign="nonnegative", activation="gate", head="squash", multiplier=softmax_change)
def softmax(op: Builder, call: Call, r: ir.Value, gradient: bool) -> Reversed:
    """The softmax is skipped at the end of a model; inside the network, relevance becomes `x·(R − softmax·ΣR)` (AttnLRP
    Prop. 3.1)."""
    x, y = call.operand(0), call.outputs[0]
    if may_hide_rows((call.original or call.inputs)[0] or x):
        y = op.Where(op.IsNaN(y), op.number(0.0, y), y)
    if gradient:
        return Reversed({0: op.Mul(y, op.Sub(r, op.ReduceSum(op.Mul(y, r), _axis(call, op), keepdims=1)))})
    around = op.Sub(r, op.Mul(y, op.ReduceSum(r, _axis(call, op), keepdims=1)))
    if not _bare(x):
        # A masked entry is −∞ or the lowest float; its softmax is 0, and it gets no relevance.
        masked = op.Less(x, -1e30) if x.dtype != ir.DataType.FLOAT16 else op.Less(x, -6e4)
        around = op.Where(masked, op.number(0.0, around), around)
    return Reversed(conserves=False, factors={0: around})


@custom("LogSoftmax", head="squash", multiplier=log_softmax_change)
def log_softmax(op: ReverseBuilder, call: Call, r: ir.Value, gradient: bool) -> Reversed:
    """The LogSoftmax is skipped at the end of a model; inside the network, relevance becomes `x·Jᵀ(R/s(y))`, as for
    softmax."""
    x, y = call.operand(0), call.outputs[0]
    g = r if gradient else op.Div(r, op.stabilise(y))
    back = op.Sub(g, op.Mul(op.Exp(y), op.ReduceSum(g, _axis(call, op), keepdims=1)))
    return Reversed({0: back if gradient else op.Mul(x, back)}, gradient)
