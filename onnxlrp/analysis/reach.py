"""What carries relevance: data, and what of it leads to an explained input."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from onnxlrp.operators.registry import Call, Kind, find
from onnxlrp.source.constants import outer_values

_WIDE = frozenset({ir.DataType.INT32, ir.DataType.INT64, ir.DataType.UINT32, ir.DataType.UINT64})


def carriers(node: ir.Node, data: set[ir.Value]) -> Sequence[int]:
    """The operands of a node that relevance goes to: its data operands, as far as its operator carries relevance.

    An operator that is not registered is taken to carry it, so that it is refused where it stands on the path.
    """
    entry = find(node)
    if entry is None:
        return [i for i, v in enumerate(node.inputs) if v in data]
    operands = [i for i in entry.operands(Call.of(node)) if i < len(node.inputs) and node.inputs[i] in data]
    if entry.lookup:
        table = node.inputs[0]
        if 0 in operands:
            return [0]
        return operands if table is not None and table.dtype is not None and table.dtype.is_floating_point() else []
    return operands


def carries(value: ir.Value) -> bool:
    """Whether an input of the graph may carry relevance: a tensor of numbers."""
    return isinstance(value.type, ir.TensorType) and value.dtype not in (ir.DataType.BOOL, ir.DataType.STRING)


def data_values(graph: ir.Graph) -> set[ir.Value]:
    """Values that depend on an input of the graph through operators that carry relevance."""
    data = {v for v in graph.inputs if carries(v)}
    for node in graph:
        carried = bool(carriers(node, data)) or (find(node) is None and any(v in data for v in outer_values(node)))
        if carried and not (node.op_type == "Cast" and _is_mask(node, data)):
            data.update(node.outputs)
    return data


def alive_values(graph: ir.Graph, data: set[ir.Value], explained: Sequence[ir.Value]) -> set[ir.Value]:
    """Data that leads back to one of the explained inputs."""
    alive = set(explained)
    for node in graph:
        operands = [node.inputs[i] for i in carriers(node, data)]
        if find(node) is None:
            operands += list(outer_values(node))
        if any(v in alive for v in operands):
            alive.update(v for v in node.outputs if v in data)
    return alive


def _is_mask(cast: ir.Node, data: set[ir.Value]) -> bool:
    """Whether wide integers that become floats are a mask, not features: scaled and shifted by constants they only
    meet other data in sums and products, never a layer of their own."""
    source = cast.inputs[0]
    if source is None or source.dtype not in _WIDE:
        return False
    seen: set[ir.Value] = set()
    waiting = [cast.outputs[0]]
    while waiting:
        value = waiting.pop()
        if value in seen:
            continue
        seen.add(value)
        if value.is_graph_output():
            return False
        for node in value.consumers():
            entry = find(node)
            if entry is None or entry.layer is not None or entry.kind is Kind.CUSTOM or entry.pooling:
                return False
            meets = any(v in data and v not in seen for v in node.inputs if v is not None)
            if entry.kind is Kind.ROUTING or (entry.elementwise and not meets):
                waiting.extend(node.outputs)
    return True
