"""Move weights out of the bodies of If, Loop and Scan to the main graph, so that the model's own body and the reversed
one read one tensor and neither holds a copy."""

from __future__ import annotations

import onnx_ir as ir

from onnxlrp.graph.names import Names

_SMALL = 1024
"""Largest number of elements of a tensor that stays in its body, because rewrites look at shapes and axes there."""


def move_weights_out(graph: ir.Graph) -> None:
    """Move large weights out of all bodies, in place, under unique names."""
    names = Names(graph)
    for body in graph.subgraphs():
        fixed = {*body.inputs, *body.outputs}
        for name, value in list(body.initializers.items()):
            if value in fixed or value.const_value is None or value.const_value.size <= _SMALL:
                continue
            del body.initializers[name]
            value.name = names.unique(f"{name}_outside")
            graph.register_initializer(value)
