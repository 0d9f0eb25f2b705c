"""Which of some categories an id is: `1[id = v]` for v = v₁ … vₙ along an axis of its own, in front of a dense layer.

OneHot, or `Cast(Equal(ids, [v₁ … vₙ]))` as jax writes it, is to a constant table what a lookup is to it: relevance of
the n indicators adds up to that of the id. `Indicators(own, ids)` stands for it while the model is explained: the value
is the model's own.
"""

from __future__ import annotations

import onnx_ir as ir

from onnxlrp.graph.misses import attempt, holds, miss
from onnxlrp.graph.walks import ends_downstream, made_by
from onnxlrp.operators.encoders import is_category
from onnxlrp.operators.quantised import DEPLOYED
from onnxlrp.operators.registry import find
from onnxlrp.source.canonical.common import Rewriter


def rewrite(rewriter: Rewriter) -> None:
    """Mark the indicators that only dense layers with constant weights read."""
    for node in rewriter.nodes("OneHot", "Cast"):
        own, ids = node.outputs[0], attempt("does not indicate categories", node, _categories, rewriter, node)
        if ids is None:
            continue
        marked = ir.Node(DEPLOYED, "Indicators", [own, ids], num_outputs=1, version=1)
        marked.name = f"{node.name}_indicators"
        rewriter.stand_in(marked, "own")


def _categories(rewriter: Rewriter, node: ir.Node) -> ir.Value | None:
    """The ids whose indicators only dense layers with constant weights read."""
    own = node.outputs[0]
    ids = _of_one_hot(rewriter, node) if node.op_type == "OneHot" else _of_comparison(rewriter, node)
    if ids is None or not holds(not own.is_graph_output() and is_category(ids), "it is an output, or of no categories"):
        return None
    return ids if holds(_meets_weights(rewriter, own), "other nodes than dense layers with constants read it") else None


def _of_one_hot(rewriter: Rewriter, node: ir.Node) -> ir.Value | None:
    """The ids of a OneHot along the last axis with constant values."""
    axis = node.attributes.get("axis")
    ids, rank = node.inputs[0], len(node.outputs[0].shape or ())
    last = axis is None or axis.as_int() in (-1, rank - 1)
    known = ids is not None and ids.shape is not None
    if last and known and rewriter.is_constant(node.inputs[2]):
        return ids
    return miss("it is not along the last axis, or its values depend on an input")


def _of_comparison(rewriter: Rewriter, node: ir.Node) -> ir.Value | None:
    """The ids, one for each row of the last axis, that are compared with different integers along it."""
    equal = made_by(node.inputs[0], "Equal")
    dtype = node.outputs[0].dtype
    if equal is None or dtype is None or not dtype.is_floating_point():
        return None
    for ids, values in (equal.inputs, equal.inputs[::-1]):
        if ids is None or values is None or ids.dtype is None or not ids.dtype.is_integer() or ids.shape is None:
            continue
        ids = _before_copies(ids)
        known = values.const_value.numpy().reshape(-1) if values.const_value is not None else None
        if known is None or known.size < 2 or len(set(known.tolist())) < known.size:
            continue
        along = values.shape is not None and len(values.shape) > 0 and values.shape[-1] == known.size
        if along and ids.shape is not None and len(ids.shape) > 0 and ids.shape[-1] == 1:
            return ids
    return None


def _before_copies(value: ir.Value) -> ir.Value:
    node = made_by(value, "Expand")
    return value if node is None or node.inputs[0] is None else node.inputs[0]


def _meets_weights(rewriter: Rewriter, value: ir.Value) -> bool:
    """Whether all that reads a value, perhaps moved about, is a dense layer whose other operands are constants."""

    def weighed(node: ir.Node, value: ir.Value) -> bool:
        entry = find(node)
        dense = entry is not None and entry.layer is not None and entry.layer.kind == "dense"
        return dense and all(v is value or v is None or rewriter.is_constant(v) for v in node.inputs)

    ends = ends_downstream(value, _moves)
    return ends is not None and all(weighed(node, read) for node, read in ends)


def _moves(node: ir.Node, value: ir.Value) -> bool:
    entry = find(node)
    moves = entry is not None and entry.moves
    return moves and (node.op_type == "Concat" or node.inputs[0] is value)
