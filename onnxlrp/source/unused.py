"""Nodes and initializers that nothing reads are removed, in a time that grows as the graph does."""

from __future__ import annotations

import onnx_ir as ir
import onnx_ir.passes.common as passes

_WIDE = 64
"""Operands above which a node is taken apart here: the library copies all operands as it takes out each of them."""


def remove_unused(model: ir.Model) -> None:
    """Remove what no output of the model depends on."""
    if any(len(node.inputs) > _WIDE for node in model.graph):
        for node in _unused(model.graph):
            _read_nothing(node)
    passes.RemoveUnusedNodesPass()(model)


def _unused(graph: ir.Graph) -> list[ir.Node]:
    """The graph's own nodes that only nodes without a reader read."""
    found: dict[ir.Node, None] = {}
    for node in reversed(graph):
        readers = (use.node for value in node.outputs for use in value.uses())
        if not any(v.is_graph_output() for v in node.outputs) and all(reader in found for reader in readers):
            found[node] = None
    return list(found)


def _read_nothing(node: ir.Node) -> None:
    """Take out all operands at once."""
    for index, value in enumerate(node.inputs):
        if value is not None:
            value._remove_usage(node, index)
    node._inputs = ()
