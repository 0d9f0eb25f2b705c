"""Which of some categories an id is: `1[id = v]` for v = v₁ … vₙ along an axis of its own, in front of a dense layer.

OneHot, or `Cast(Equal(ids, [v₁ … vₙ]))` as jax writes it, is to a constant table what a lookup is to it: relevance of
the n indicators adds up to that of the id. `Indicators(own, ids)` stands for it while the model is explained: the value
is the model's own.
"""

from __future__ import annotations

import onnx_ir as ir

from onnxlrp.graph.misses import attempt, holds, miss
from onnxlrp.operators.encoders import is_category
from onnxlrp.operators.quantised import DEPLOYED
from onnxlrp.operators.registry import Kind, find
from onnxlrp.source.canonical.common import Rewriter


def rewrite(rewriter: Rewriter) -> None:
    """Mark the indicators that only dense layers with constant weights read."""
    for node in rewriter.nodes("OneHot", "Cast"):
        own, ids = node.outputs[0], attempt("does not indicate categories", node, _categories, rewriter, node)
        if ids is None:
            continue
        marked = ir.Node(DEPLOYED, "Indicators", [own, ids], num_outputs=1, version=1)
        marked.name = f"{node.name}_indicators"
        out = marked.outputs[0]
        out.type, out.shape = own.type, own.shape
        out.name, own.name = own.name, f"{own.name}_own"
        rewriter.graph.opset_imports[DEPLOYED] = 1
        for use in list(own.uses()):
            if use.node is not marked:
                use.node.replace_input_with(use.idx, out)
        rewriter.graph.append(marked)


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
    equal = None if node.inputs[0] is None else node.inputs[0].producer()
    dtype = node.outputs[0].dtype
    if equal is None or equal.op_type != "Equal" or dtype is None or not dtype.is_floating_point():
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
    node = value.producer()
    return node.inputs[0] if node is not None and node.op_type == "Expand" and node.inputs[0] is not None else value


def _meets_weights(rewriter: Rewriter, value: ir.Value) -> bool:
    """Whether all that reads a value, perhaps moved about, is a dense layer whose other operands are constants."""
    waiting, seen = [value], {value}
    while waiting:
        value = waiting.pop()
        if value.is_graph_output() or not value.consumers():
            return False
        for node in value.consumers():
            entry = find(node)
            if entry is None:
                return False
            if entry.layer is not None and entry.layer.kind == "dense":
                if any(v is not value and v is not None and not rewriter.is_constant(v) for v in node.inputs):
                    return False
            elif _moves(node, value):
                waiting += [v for v in node.outputs if v not in seen]
                seen.update(node.outputs)
            else:
                return False
    return True


def _moves(node: ir.Node, value: ir.Value) -> bool:
    entry = find(node)
    moves = entry is not None and entry.kind is Kind.ROUTING and not entry.selects_by_value
    return moves and (node.op_type == "Concat" or node.inputs[0] is value)
