"""CastLike is Cast to the type of its second operand.

Written down before the library folds: it makes the same of it, but loses `saturate` and `round_mode`.
"""

from __future__ import annotations

import onnx_ir as ir

from onnxlrp.graph.misses import attempt, miss


def write_as_casts(model: ir.Model) -> None:
    """Turn every CastLike whose type is known into a Cast, in place."""
    for node in model.graph.all_nodes():
        if node.op_type == "CastLike" and node.domain == "":
            attempt("is not written as a Cast", node, _write, node, node.inputs[1])


def _write(node: ir.Node, like: ir.Value | None) -> bool:
    if like is None or like.dtype is None:
        miss("the type of its second operand is not known")
        return False
    node.op_type = "Cast"
    node.attributes["to"] = ir.AttrInt64("to", like.dtype.value)
    node.resize_inputs(1)
    return True
