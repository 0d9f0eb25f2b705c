"""Weights that stand in the bodies of If, Loop and Scan go out to the main graph: there the model's own body and the
reversed one read the same, where each would hold a copy of its own."""

from __future__ import annotations

import onnx_ir as ir

_SMALL = 1024
"""Elements of a tensor that stays where it is: shapes and axes are looked at inside."""


def move_weights_out(graph: ir.Graph) -> None:
    """Move them, in place; names are made unique."""
    taken = {str(v.name) for v in graph.inputs} | set(graph.initializers)
    taken |= {str(v.name) for n in graph.all_nodes() for v in n.outputs}
    taken |= {name for body in graph.subgraphs() for name in body.initializers}
    taken |= {str(v.name) for body in graph.subgraphs() for v in body.inputs}
    for body in graph.subgraphs():
        if body is graph:
            continue
        fixed = {*body.inputs, *body.outputs}
        for name, value in list(body.initializers.items()):
            if value in fixed or value.const_value is None or value.const_value.size <= _SMALL:
                continue
            del body.initializers[name]
            value.name = _unique(f"{name}_outside", taken)
            graph.register_initializer(value)


def _unique(name: str, taken: set[str]) -> str:
    candidate, count = name, 0
    while candidate in taken:
        count += 1
        candidate = f"{name}_{count}"
    taken.add(candidate)
    return candidate
