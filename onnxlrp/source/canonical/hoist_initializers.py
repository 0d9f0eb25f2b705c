"""Weights that stand in the bodies of If, Loop and Scan go out to the main graph: there the model's own body and the
reversed one read the same, where each would hold a copy of its own."""

from __future__ import annotations

import onnx_ir as ir

from onnxlrp.graph.names import Names

_SMALL = 1024
"""Elements of a tensor that stays where it is: shapes and axes are looked at inside."""


def move_weights_out(graph: ir.Graph) -> None:
    """Move them, in place; names are made unique."""
    names = Names(graph)
    for body in graph.subgraphs():
        fixed = {*body.inputs, *body.outputs}
        for name, value in list(body.initializers.items()):
            if value in fixed or value.const_value is None or value.const_value.size <= _SMALL:
                continue
            del body.initializers[name]
            value.name = names.unique(f"{name}_outside")
            graph.register_initializer(value)
