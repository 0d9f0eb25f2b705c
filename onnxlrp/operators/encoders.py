"""ai.onnx.ml's operators that encode categories: strings or numbers become indicators or other numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.operators.quantised import DEPLOYED
from onnxlrp.operators.registry import Kind, Reversed, custom, find, stop

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder

_ML = "ai.onnx.ml"
_ENCODERS = ("OneHotEncoder", "LabelEncoder", "CategoryMapper")


def is_category(value: ir.Value | None) -> bool:
    """Decide whether a value comes from the graph's inputs through routing and encoders alone.

    If it does not, it is computed, and the result of an encoder that reads it counts as a constant.
    """
    while value is not None:
        node = value.producer()
        if node is None:
            return value.const_value is None
        entry = find(node)
        moves = entry is not None and entry.kind is Kind.ROUTING and not entry.selects_by_value
        if not moves and node.op_type not in (*_ENCODERS, "Imputer"):
            return False
        if node.op_type == "Concat":
            return all(map(is_category, node.inputs))
        value = node.inputs[0]
    return False


def becomes_category(call: Call) -> bool:
    """Decide whether a Cast rounds numbers only to encode them or to look them up.

    Exporters do this with columns of floats that hold categories, and Keras with ids. Comparisons of the rounded
    numbers, from which masks are computed, do not matter.
    """
    waiting, encoded = list(call.outputs), False
    while waiting:
        value = waiting.pop()
        if value.is_graph_output() or not value.consumers():
            return False
        for node in value.consumers():
            entry = find(node)
            if (node.domain == _ML and node.op_type in _ENCODERS) or node.domain == DEPLOYED:
                encoded = True
            elif entry is not None and entry.lookup and value is not node.inputs[0]:
                if not _constant(node.inputs[0]):
                    return False
                encoded = True
            elif entry is not None and entry.kind is Kind.ROUTING and not entry.selects_by_value:
                waiting.extend(node.outputs)
            elif entry is None or entry.kind is not Kind.STOP:
                return False
    return encoded and is_category(call.operand(0))


def _constant(value: ir.Value | None) -> bool:
    """Decide whether a table is computed from initializers alone."""
    if value is None or value.is_initializer() or value.const_value is not None:
        return True
    node = value.producer()
    return node is not None and all(map(_constant, node.inputs))


def _categories(call: Call) -> Sequence[int]:
    return (0,) if is_category(call.original[0]) else ()


@custom("OneHotEncoder", domain=_ML, operands=_categories, piecewise_constant=True)
def one_hot_encoder(op: Builder, call: Call, r: ir.Value, gradient: bool) -> Reversed:
    """Is summed over the indicators and goes to the column that they encode; the gradient is 0."""
    total = op.ReduceSum(r, op.ints([-1]), keepdims=0)
    return Reversed({0: op.Mul(total, 0.0) if gradient else total})


def like_own(context: Any) -> None:
    """Infer the type and shape of the model's own value, the first operand."""
    context.set_output_type(0, context.get_input_type(0))


@custom("Indicators", domain=DEPLOYED, operands=lambda call: (1,), inference=like_own, piecewise_constant=True)
def indicators(op: Builder, call: Call, r: ir.Value, gradient: bool) -> Reversed:
    """Is summed over the indicators along the last axis and goes to the id that they encode; the gradient is 0."""
    total = op.Reshape(op.ReduceSum(r, op.ints([-1]), keepdims=0), op.shape(call.operand(1)))
    return Reversed({1: op.Mul(total, 0.0) if gradient else total})


@custom("LabelEncoder", "CategoryMapper", domain=_ML, elementwise=True, operands=_categories, piecewise_constant=True)
def label_encoder(op: Builder, call: Call, r: ir.Value, gradient: bool) -> Reversed:
    """Passes unchanged to the column that it encodes; a computed position is a constant. The gradient is 0."""
    return Reversed({0: op.Mul(r, 0.0) if gradient else r})


stop("ZipMap", domain=_ML, reason="a map of scores: the score that feeds it is explained")
stop("CastMap", "DictVectorizer", domain=_ML, reason="reads a map: the vector that it computes is explained")
