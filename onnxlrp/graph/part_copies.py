"""Copies of a part of a graph, which read everything around them as the part does."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from onnxlrp.graph.walks import read_by


def copied_part(
    graph: ir.Graph, nodes: Sequence[ir.Node], inputs: Sequence[ir.Value], ends: Sequence[ir.Value]
) -> ir.Graph:
    """Copy some nodes of a graph, in their order, into a graph of their own.

    The copy's inputs stand for `inputs`, its outputs for `ends`, which the nodes compute.
    """
    own = {*inputs, *(v for node in nodes for v in node.outputs)}
    around = dict.fromkeys(v for node in nodes for v in read_by(node) if v is not None and v not in own)
    view = ir.GraphView([*inputs, *around], ends, nodes=nodes, opset_imports=graph.opset_imports, name="part")
    copy = view.clone()
    for stand_in, value in zip(copy.inputs[len(inputs) :], around, strict=True):
        ir.convenience.replace_all_uses_with(stand_in, value)
    del copy.inputs[len(inputs) :]
    return copy
