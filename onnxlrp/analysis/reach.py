"""What carries relevance: data, and what of it leads to an explained input."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import onnx_ir as ir

from onnxlrp.operators.control_flow import bodies
from onnxlrp.operators.registry import Call, Kind, find

_WIDE = frozenset({ir.DataType.INT32, ir.DataType.INT64, ir.DataType.UINT32, ir.DataType.UINT64})


def carried(node: ir.Node, data: Collection[ir.Value]) -> dict[int, ir.Value]:
    """The operands of a node that relevance goes to: its data operands, as far as its operator carries relevance.

    An operator that is not registered is taken to carry it, so that it is refused where it stands on the path.
    """
    entry, call = find(node), Call.of(node)
    every = {i: v for i, v in enumerate(call.inputs) if v is not None and v in data}
    if entry is None:
        return every
    operands = {i: every[i] for i in entry.operands(call) if i in every}
    if entry.lookup:
        table = node.inputs[0]
        if 0 in operands:
            return {0: operands[0]}
        return operands if table is not None and table.dtype is not None and table.dtype.is_floating_point() else {}
    return operands


def is_lookup(node: ir.Node, operands: Mapping[int, ir.Value]) -> bool:
    """Whether a node that carries relevance to these operands is an embedding: its table is a constant."""
    entry = find(node)
    return entry is not None and entry.lookup and 0 not in operands


def spread(graph: ir.Graph, marked: set[ir.Value], passes: Callable[[ir.Node], bool]) -> None:
    """Mark, in place, what follows from marked values: all outputs of a node that `passes`; through bodies, value by
    value, and around loops until nothing more is marked."""
    for node in graph:
        inner = bodies(node)
        if not inner:
            if passes(node):
                marked.update(node.outputs)
            continue
        before = -1
        while before != len(marked):
            before = len(marked)
            for body in inner:
                for value, operand in body.slices:
                    marked.update({value} if node.inputs[operand] in marked else ())
                for value, out, operand, result in body.states:
                    if node.inputs[operand] in marked or out in marked:
                        marked.update({value, node.outputs[result]})
                spread(body.graph, marked, passes)
                marked.update(node.outputs[i] for v, i in body.stacked if v in marked)


def carries(value: ir.Value) -> bool:
    """Whether an input of the graph may carry relevance: a tensor of numbers."""
    return isinstance(value.type, ir.TensorType) and value.dtype not in (ir.DataType.BOOL, ir.DataType.STRING)


def data_values(graph: ir.Graph, seeds: Collection[ir.Value]) -> set[ir.Value]:
    """Values that depend on seeds (the inputs of the model) through operators that carry relevance."""
    data = set(seeds)

    def passes(node: ir.Node) -> bool:
        return bool(carried(node, data)) and not (node.op_type == "Cast" and _is_mask(node, data))

    spread(graph, data, passes)
    return data


def alive_values(graph: ir.Graph, data: set[ir.Value], explained: Collection[ir.Value]) -> set[ir.Value]:
    """Data that leads back to one of the explained inputs."""
    alive = set(explained)
    spread(graph, alive, lambda node: any(v in alive for v in carried(node, data).values()))
    return alive & (data | set(explained))


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
