"""The error for an unknown rank whose cause is an operator without a rule."""

from __future__ import annotations

import onnx

from onnxlrp.errors import OnnxLrpError, UnsupportedOperatorError
from onnxlrp.graph.call import UnknownRankError
from onnxlrp.operators.registry import find

_SHOWN = 12
"""Largest number of nodes that the error names."""


def reason_for(error: UnknownRankError) -> OnnxLrpError:
    """Return an UnsupportedOperatorError that names the nodes of the graph that neither ONNX nor the registry knows, or
    the error itself if there are none."""
    producer = error.value.producer()
    graph = None if producer is None else producer.graph
    nodes = () if graph is None else tuple(graph)
    strange = [n for n in nodes if find(n) is None and not onnx.defs.has(n.op_type, domain=n.domain)]
    if not strange or graph is None:
        return error
    lines = [
        f"  {n.domain}::{n.op_type} (opset {graph.opset_imports.get(n.domain, n.version)}), node {n.name!r}"
        for n in strange[:_SHOWN]
    ]
    more = [f"  … and {len(strange) - _SHOWN} more"] if len(strange) > _SHOWN else []
    return UnsupportedOperatorError(
        "\n".join([f"{len(strange)} node(s) have no rule, so {error.subject} is not known:", *lines, *more])
        + "\nRegister a handler with @onnxlrp.operator, and declare the shapes of their outputs in the model.",
        tuple(str(n.name) for n in strange),
    )
