"""What carries relevance: data, and what of it leads to an explained input."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import onnx_ir as ir

from onnxlrp.analysis.index_valued import becomes_float, is_mask, is_position, is_rotation
from onnxlrp.graph.call import Call
from onnxlrp.operators.control_flow import bodies
from onnxlrp.operators.quantised import MARK
from onnxlrp.operators.registry import Kind, find


def relevance_operands(node: ir.Node, data: Collection[ir.Value]) -> dict[int, ir.Value]:
    """The operands of a node that relevance goes to: its data operands, as far as its operator carries relevance.

    An operator that is not registered is taken to carry it, so that it is refused where it stands on the path.
    """
    if MARK in node.metadata_props:
        return {}
    entry, call = find(node), Call.of(node)
    every = {i: v for i, v in enumerate(call.inputs) if v is not None and v in data}
    if entry is None:
        return every
    operands = {i: every[i] for i in entry.operands(call) if i in every}
    if entry.lookup:
        if 0 in operands:
            return {0: operands[0]}
        found = node.outputs[0].dtype
        floating = found is not None and found.is_floating_point()
        return operands if floating or _dequantised(node.outputs[0]) else {}
    return operands


def _dequantised(value: ir.Value) -> bool:
    """Whether integers stand for floats: all that reads them is DequantizeLinear, or runs as it is deployed; and what
    only moves them about, if it holds of what it makes."""
    readers = [u for u in value.uses() if MARK not in u.node.metadata_props]
    return (
        bool(readers)
        and not value.is_graph_output()
        and all(
            u.node.op_type == "DequantizeLinear"
            or (is_routing(u.node, u.idx) and all(_dequantised(v) for v in u.node.outputs))
            for u in readers
        )
    )


def is_lookup(node: ir.Node, operands: Mapping[int, ir.Value]) -> bool:
    """Whether a node that carries relevance to these operands is an embedding: its table is a constant."""
    entry = find(node)
    return entry is not None and entry.lookup and 0 not in operands


def is_routing(node: ir.Node, operand: int) -> bool:
    """Decide whether a node only moves the values of an operand about, whatever they are."""
    entry = find(node)
    return entry is not None and ((entry.kind is Kind.ROUTING and not entry.selects_by_value) or entry.rounding)


def origin(
    value: ir.Value | None, data: Collection[ir.Value], through: Callable[[ir.Node, int], bool] = is_routing
) -> ir.Node | None:
    """The node that a value comes from, back through those of one data operand that `through` lets pass."""
    while value is not None and (node := value.producer()) is not None:
        operands = relevance_operands(node, data)
        if len(operands) != 1 or not through(node, *operands):
            return node
        (value,) = operands.values()
    return None


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


def out_of_lists(graph: ir.Graph) -> list[ir.Value]:
    """Floats that come out of inputs that are lists of tensors or optional values: data that leads to no input that
    could be explained, so that their share stops there and no other input gets it."""
    lists = {v for v in graph.inputs if isinstance(v.type, (ir.SequenceType, ir.OptionalType))}
    found: list[ir.Value] = []
    for node in graph.all_nodes() if lists else ():
        if any(v in lists for v in node.inputs):
            for value in node.outputs:
                if isinstance(value.type, (ir.SequenceType, ir.OptionalType)):
                    lists.add(value)
                elif value.dtype is not None and value.dtype.is_floating_point():
                    found.append(value)
    return found


def data_values(graph: ir.Graph, seeds: Collection[ir.Value]) -> set[ir.Value]:
    """Values that depend on seeds (the inputs of the model) through operators that carry relevance.

    Integers that become floats are taken for masks and positions until they turn out to be features.
    """
    features: set[ir.Node] = set()
    while True:
        data = set(seeds)

        def passes(node: ir.Node, data: set[ir.Value] = data) -> bool:
            waits = becomes_float(node) and node not in features
            counts = is_position(node, data) or is_rotation(node)
            return not waits and not counts and bool(relevance_operands(node, data))

        spread(graph, data, passes)
        casts = [n for n in graph.all_nodes() if becomes_float(n) and n not in features and n.inputs[0] in data]
        found = {n for n in casts if not is_mask(n, data)}
        if not found and not any(v.dtype is not None and v.dtype.is_floating_point() for v in data):
            # Nothing else would be left to explain.
            found = set(casts)
        if not found:
            return data
        features |= found


def values_leading_to_input(
    graph: ir.Graph,
    operands: Mapping[ir.Node, Mapping[int, ir.Value]],
    data: set[ir.Value],
    explained: Collection[ir.Value],
) -> set[ir.Value]:
    """Collect the data that leads back to one of the explained inputs; `operands`: those that each node carries
    relevance to."""
    alive = set(explained)
    spread(graph, alive, lambda node: any(v in alive for v in operands[node].values()))
    return alive & (data | set(explained))


def dead_ends(value: ir.Value, data: Collection[ir.Value]) -> list[str]:
    """Of a value that is no data: the nodes behind it that read data and make none, and why."""
    found, waiting, seen = [], [value], {value}
    while waiting:
        node = waiting.pop().producer()
        if node is None:
            continue
        if any(v in data for v in node.inputs) and not any(v in data for v in node.outputs):
            entry = find(node)
            found.append(f"{node.op_type} {node.name!r}: {'has no rule' if entry is None else entry.summary}")
            continue
        waiting += [v for v in node.inputs if v is not None and v not in seen]
        seen.update(v for v in node.inputs if v is not None)
    return list(dict.fromkeys(found))
