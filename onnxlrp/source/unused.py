"""Remove nodes and initializers that nothing reads, in time linear in the size of the graph."""

from __future__ import annotations

import onnx_ir as ir
import onnx_ir.passes.common as passes

_WIDE = 64
"""Number of operands above which a node's operands are removed here, because the library copies all of them to remove
one."""


def remove_unused(model: ir.Model) -> None:
    """Remove the nodes and initializers that no output of the model depends on."""
    if any(len(node.inputs) > _WIDE for node in model.graph):
        for node in _unused(model.graph):
            _read_nothing(node)
    passes.RemoveUnusedNodesPass()(model)


def _unused(graph: ir.Graph) -> list[ir.Node]:
    """List the graph's own nodes that no output depends on: only nodes of the list read their outputs."""
    found: dict[ir.Node, None] = {}
    for node in reversed(graph):
        readers = (use.node for value in node.outputs for use in value.uses())
        if not any(v.is_graph_output() for v in node.outputs) and all(reader in found for reader in readers):
            found[node] = None
    return list(found)


def _read_nothing(node: ir.Node) -> None:
    """Remove all operands of a node at once."""
    for index, value in enumerate(node.inputs):
        if value is not None:
            value._remove_usage(node, index)
    node._inputs = ()
