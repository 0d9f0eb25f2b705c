"""CastLike is Cast to the type of its second operand.

Written down before the library folds: it makes the same of it, but loses `saturate` and `round_mode`.
"""

from __future__ import annotations

import onnx_ir as ir


def write_as_casts(model: ir.Model) -> None:
    """Turn every CastLike whose type is known into a Cast, in place."""
    for node in model.graph.all_nodes():
        like = node.inputs[1] if node.op_type == "CastLike" and node.domain == "" else None
        if like is not None and like.dtype is not None:
            node.op_type = "Cast"
            node.attributes["to"] = ir.AttrInt64("to", like.dtype.value)
            node.resize_inputs(1)
