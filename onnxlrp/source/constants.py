"""Find the values that depend on no input."""

from __future__ import annotations

from collections.abc import Collection

import onnx_ir as ir

from onnxlrp.graph.call import captured
from onnxlrp.operators.control_flow import bodies

_RANDOM = frozenset(
    {"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial", "Bernoulli"}
)


def constants(graph: ir.Graph, around: Collection[ir.Value] = ()) -> set[ir.Value]:
    """Find the initializers and every value computed from them alone, in bodies as well; random numbers are not
    constant.

    `around` holds the constant values outside of a body.
    """
    inputs = set(graph.inputs)
    found = {v for v in graph.initializers.values() if v not in inputs} | set(around)
    for node in graph:
        outer = captured(node)
        if node.op_type not in _RANDOM and all(v in found for v in (*node.inputs, *outer) if v is not None):
            found.update(node.outputs)
        for body in bodies(node):
            found |= constants(body.graph, found)
    return found
