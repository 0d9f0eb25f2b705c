"""Reachability: the values that carry relevance (data), and those of them that lead back to an explained input."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import onnx_ir as ir

from onnxlrp.analysis.index_valued import becomes_float, is_mask, is_position, is_rotation
from onnxlrp.graph.call import Call
from onnxlrp.graph.provenance import is_replaced
from onnxlrp.graph.walks import follow, upstream
from onnxlrp.operators.control_flow import bodies
from onnxlrp.operators.registry import find


def relevance_operands(node: ir.Node, data: Collection[ir.Value]) -> dict[int, ir.Value]:
    """Return the operands of a node that relevance goes to, by index: data operands that its operator sends it to.

    An operator that is not registered counts as sending relevance to all of its operands, so that a model with such an
    operator on the path is refused.
    """
    if is_replaced(node):
        return {}
    entry, call = find(node), Call.of(node)
    data_operands = {i: v for i, v in enumerate(call.inputs) if v is not None and v in data}
    if entry is None:
        return data_operands
    operands = {i: data_operands[i] for i in entry.operands(call) if i in data_operands}
    if entry.lookup:
        if 0 in operands:
            return {0: operands[0]}
        dtype = node.outputs[0].dtype
        floating = dtype is not None and dtype.is_floating_point()
        return operands if floating or _dequantised(node.outputs[0]) else {}
    return operands


def _dequantised(value: ir.Value) -> bool:
    """Decide whether integers stand for floats: all their readers are DequantizeLinear nodes, possibly downstream of
    routing. Nodes whose place a computation in floats takes do not count as readers."""
    readers = [u for u in value.uses() if not is_replaced(u.node)]
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
    """Decide whether a node that sends relevance to these operands is an embedding: a lookup in a constant table."""
    entry = find(node)
    return entry is not None and entry.lookup and 0 not in operands


def is_routing(node: ir.Node, operand: int) -> bool:
    """Decide whether a node only moves the elements of an operand, or rounds them, in a way that no value affects."""
    entry = find(node)
    return entry is not None and (entry.moves or entry.rounding)


def origin(
    value: ir.Value | None, data: Collection[ir.Value], through: Callable[[ir.Node, int], bool] = is_routing
) -> ir.Node | None:
    """Return the node that a value comes from, upstream of all nodes with one data operand that `through` accepts."""

    def passed(node: ir.Node) -> ir.Value | None:
        operands = relevance_operands(node, data)
        return next(iter(operands.values())) if len(operands) == 1 and through(node, *operands) else None

    return None if value is None else follow(value, passed).producer()


def extend_downstream(graph: ir.Graph, marked: set[ir.Value], passes: Callable[[ir.Node], bool]) -> None:
    """Extend a set of marked values downstream, in place: where `passes(node)` holds, all outputs of the node become
    marked.

    Marks enter and leave bodies value by value, and go around loops until nothing changes.
    """
    for node in graph:
        inner = bodies(node)
        if not inner:
            if passes(node):
                marked.update(node.outputs)
            continue
        count = -1
        while count != len(marked):
            count = len(marked)
            for body in inner:
                for value, operand in body.slices:
                    marked.update({value} if node.inputs[operand] in marked else ())
                for value, out, operand, result in body.states:
                    if node.inputs[operand] in marked or out in marked:
                        marked.update({value, node.outputs[result]})
                extend_downstream(body.graph, marked, passes)
                marked.update(node.outputs[i] for v, i in body.stacked if v in marked)


def out_of_lists(graph: ir.Graph) -> list[ir.Value]:
    """List the float tensors that nodes extract from inputs of sequence or optional type.

    These tensors are data, although such inputs cannot be explained: relevance ends at the tensors, so that no other
    input receives their share.
    """
    lists = {v for v in graph.inputs if isinstance(v.type, (ir.SequenceType, ir.OptionalType))}
    floats: list[ir.Value] = []
    for node in graph.all_nodes() if lists else ():
        if any(v in lists for v in node.inputs):
            for value in node.outputs:
                if isinstance(value.type, (ir.SequenceType, ir.OptionalType)):
                    lists.add(value)
                elif value.dtype is not None and value.dtype.is_floating_point():
                    floats.append(value)
    return floats


def data_values(graph: ir.Graph, seeds: Collection[ir.Value]) -> set[ir.Value]:
    """Return the values that depend on `seeds` (inputs of the model) through operators that carry relevance.

    Integers that are cast to floats count as masks and positions until `is_mask` shows them to be features.
    """
    features: set[ir.Node] = set()
    while True:
        data = set(seeds)

        def passes(node: ir.Node, data: set[ir.Value] = data) -> bool:
            waits = becomes_float(node) and node not in features
            counts = is_position(node, data) or is_rotation(node)
            return not waits and not counts and bool(relevance_operands(node, data))

        extend_downstream(graph, data, passes)
        casts = [n for n in graph.all_nodes() if becomes_float(n) and n not in features and n.inputs[0] in data]
        new_features = {n for n in casts if not is_mask(n, data)}
        if not new_features and not any(v.dtype is not None and v.dtype.is_floating_point() for v in data):
            # Without these integers there would be nothing to explain.
            new_features = set(casts)
        if not new_features:
            return data
        features |= new_features


def values_leading_to_input(
    graph: ir.Graph,
    operands: Mapping[ir.Node, Mapping[int, ir.Value]],
    data: set[ir.Value],
    explained: Collection[ir.Value],
) -> set[ir.Value]:
    """Return the data that leads back to one of the explained inputs; `operands` are those of `relevance_operands`."""
    leading = set(explained)
    extend_downstream(graph, leading, lambda node: any(v in leading for v in operands[node].values()))
    return leading & (data | set(explained))


def dead_ends(value: ir.Value, data: Collection[ir.Value]) -> list[str]:
    """List the nodes at which relevance ends upstream of a value that is no data, each with its reason."""

    def ends(node: ir.Node) -> bool:
        return any(v in data for v in node.inputs) and not any(v in data for v in node.outputs)

    found = []
    for node in upstream([value], lambda node: () if ends(node) else node.inputs):
        if ends(node):
            entry = find(node)
            found.append(f"{node.op_type} {node.name!r}: {'has no rule' if entry is None else entry.summary}")
    return list(dict.fromkeys(found))
