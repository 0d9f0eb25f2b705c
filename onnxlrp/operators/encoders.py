"""ai.onnx.ml's operators that encode categories: strings or numbers become indicators or other numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import onnx_ir as ir
from onnx import TensorProto

from onnxlrp.graph.call import Call
from onnxlrp.graph.walks import ends_downstream
from onnxlrp.operators.quantised import DEPLOYED
from onnxlrp.operators.registry import Kind, Reversed, custom, find, stop
from onnxlrp.operators.shape_functions import kind_of, set_like

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder

_ML = "ai.onnx.ml"
_ENCODERS = ("OneHotEncoder", "LabelEncoder", "CategoryMapper")


def is_category(value: ir.Value | None) -> bool:
    """Decide whether a value comes from the graph's inputs through routing and encoders alone.

    Any other value is computed, and the result of an encoder that reads it counts as a constant.
    """
    while value is not None:
        node = value.producer()
        if node is None:
            return value.const_value is None
        entry = find(node)
        moves = entry is not None and entry.moves
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
    ends = ends_downstream(call.outputs[0], _is_moved)
    if ends is None or not all(_encodes(node, read) or _stops(node) for node, read in ends):
        return False
    return any(_encodes(node, read) for node, read in ends) and is_category(call.operand(0))


def _is_moved(node: ir.Node, value: ir.Value) -> bool:
    entry = find(node)
    return entry is not None and entry.moves and not _is_looked_up(node, value)


def _is_looked_up(node: ir.Node, value: ir.Value) -> bool:
    entry = find(node)
    return entry is not None and entry.lookup and value is not node.inputs[0]


def _encodes(node: ir.Node, value: ir.Value) -> bool:
    """Decide whether a node encodes a value, or looks it up in a table of initializers."""
    if _is_looked_up(node, value):
        return _constant(node.inputs[0])
    return node.domain == DEPLOYED or (node.domain == _ML and node.op_type in _ENCODERS)


def _stops(node: ir.Node) -> bool:
    entry = find(node)
    return entry is not None and entry.kind is Kind.STOP


def _constant(value: ir.Value | None) -> bool:
    """Decide whether a table is computed from initializers alone."""
    if value is None or value.is_initializer() or value.const_value is not None:
        return True
    node = value.producer()
    return node is not None and all(map(_constant, node.inputs))


def _categories(call: Call) -> Sequence[int]:
    return (0,) if is_category(call.original[0]) else ()


@custom("OneHotEncoder", domain=_ML, operands=_categories, piecewise_constant=True, expands=True, delivers=True)
def one_hot_encoder(op: Builder, call: Call, r: ir.Value, gradient: bool) -> Reversed:
    """Relevance is summed over the indicators and goes to the column that they encode; the gradient is 0."""
    total = op.ReduceSum(r, op.ints([-1]), keepdims=0)
    return Reversed({0: op.Mul(total, 0.0) if gradient else total})


@custom(
    "Indicators",
    domain=DEPLOYED,
    operands=lambda call: (1,),
    inference=set_like,
    piecewise_constant=True,
    expands=True,
    delivers=True,
)
def indicators(op: Builder, call: Call, r: ir.Value, gradient: bool) -> Reversed:
    """Relevance is summed over the indicators along the last axis and goes to the id that they encode; the gradient is
    0."""
    total = op.Reshape(op.ReduceSum(r, op.ints([-1]), keepdims=0), op.shape(call.operand(1)))
    return Reversed({1: op.Mul(total, 0.0) if gradient else total})


def _infer_codes(context: Any) -> None:
    """Infer an output in the shape of the operand. In the first version its type is int64 for strings and string for
    integers; in later versions the attribute that holds the values tells it."""
    kind = kind_of(context, 0)
    kinds = {
        "values_strings": TensorProto.STRING,
        "values_int64s": TensorProto.INT64,
        "values_floats": TensorProto.FLOAT,
    }
    if (table := context.get_attribute("values_tensor")) is not None:
        kind = table.t.data_type
    elif context.get_attribute("classes_strings") is not None:
        kind = TensorProto.INT64 if kind == TensorProto.STRING else TensorProto.STRING
    else:
        named = (k for name, k in kinds.items() if context.get_attribute(name) is not None)
        kind = next(named, TensorProto.UNDEFINED)
    set_like(context, kind)


_CODES: dict[str, Any] = {
    "elementwise": True,
    "operands": _categories,
    "piecewise_constant": True,
    "delivers": True,
}


@custom("LabelEncoder", domain=_ML, inference=_infer_codes, **_CODES)
@custom("CategoryMapper", domain=_ML, **_CODES)
def label_encoder(op: Builder, call: Call, r: ir.Value, gradient: bool) -> Reversed:
    """Relevance passes unchanged to the column that is encoded; a computed position is a constant. The gradient is
    0."""
    return Reversed({0: op.Mul(r, 0.0) if gradient else r})


stop("ZipMap", domain=_ML, reason="a map of scores: the score that feeds it is explained")
stop("CastMap", "DictVectorizer", domain=_ML, reason="reads a map: the vector that it computes is explained")
