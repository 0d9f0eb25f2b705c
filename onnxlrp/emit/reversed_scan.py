"""A Scan backwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx_ir as ir

from onnxlrp.emit.backward import Arrived, Backward
from onnxlrp.emit.context import Context
from onnxlrp.emit.relevance import Amount
from onnxlrp.emit.reversed_body import (
    Reverse,
    append,
    arrived_at,
    captured_by,
    distribute,
    loop_carried,
    next_state,
    store,
)
from onnxlrp.operators.control_flow import bodies
from onnxlrp.plan import Step

_Scanned = tuple[ir.Value, ir.Value, int, int]
"""An input of a Scan's body, the value that is scanned for it, the axis and the direction."""


def reverse_scan(context: Context, step: Step, arrived: Arrived) -> Backward:
    """A Scan backwards, by a Scan in the other direction."""
    node = step.node
    (body,) = bodies(node)
    reverse = Reverse(context, step, body)
    came, captured = arrived_at(context, arrived), captured_by(context, step)
    carried = loop_carried(context, step, reverse, came, captured)
    in_axes, in_ways = (step.call.ints(f"scan_input_{n}", [0] * len(body.slices)) for n in ("axes", "directions"))
    out_axes, out_ways = (step.call.ints(f"scan_output_{n}", [0] * len(body.stacked)) for n in ("axes", "directions"))
    states = len(body.states)
    seeds = [(reverse.outputs[k], carried.parameters[i]) for i, k in enumerate(carried.states)]
    scanned: list[_Scanned] = []
    for index, (value, result) in enumerate(body.stacked):
        if result in came:
            part = reverse.parameter(f"r_slice_{index}", context.dtype, value.shape)
            seeds.append((reverse.outputs[states + index], part))
            scanned.append((part, came[result], out_axes[index], 1 - out_ways[index]))
    slices = [
        i
        for i, (value, operand) in enumerate(body.slices)
        if operand in step.operands and value in context.facts.data and context.wants(step.operands[operand])
    ]
    ends = [*(reverse.inputs[k] for k in carried.states), *captured.values()]
    wanted = [*ends, *(reverse.inputs[states + i] for i in slices)]
    stands_for = dict(zip(reverse.inputs, body.graph.inputs, strict=True))
    amounts = reverse.amounts(seeds, wanted, stands_for)
    split = len(ends)
    results = [*next_state(reverse, carried, amounts[:split]), *amounts[split:]]
    for index, (value, kept) in enumerate(reverse.values_to_store(results)):
        assert value.dtype is not None
        now = reverse.parameter(f"kept_{index}", value.dtype, value.shape)
        ir.convenience.replace_all_uses_with(value, now, replace_graph_outputs=True)
        results = [now if v is value else v for v in results]
        scanned.append((now, _stored(node, body.graph, kept), 0, 1))
    graph = reverse.finish(carried.parameters, results)
    for position, value in enumerate(reverse.inputs):
        # Something must be scanned: it says how many steps there are.
        if not value.uses() and (scanned or position < len(reverse.inputs) - 1):
            continue
        if position < states:
            scanned.append((value, _stored(node, body.graph, body.graph.inputs[position]), 0, 1))
        else:
            source = node.inputs[position]
            assert source is not None
            scanned.append((value, source, in_axes[position - states], 1 - in_ways[position - states]))
    graph.inputs.extend(v for v, _, _, _ in scanned)
    outputs = {"axes": [in_axes[i] for i in slices], "directions": [1 - in_ways[i] for i in slices]}
    operands = [*carried.starts, *(v for _, v, _, _ in scanned)]
    back = ir.Node("", "Scan", operands, _attributes(graph, scanned, outputs), num_outputs=len(results))
    whole = [ir.Value(type=ir.TensorType(context.dtype), shape=step.operands[body.slices[i][1]].shape) for i in slices]
    outs = append(context, step, back, [*carried.parameters, *whole])
    given = distribute(context, step, reverse, carried, outs)
    for i, r in zip(slices, outs[len(carried.parameters) :], strict=True):
        index = body.slices[i][1]
        given = given.plus(index, Amount(step.operands[index], r))
    return given


def _attributes(graph: ir.Graph, scanned: Sequence[_Scanned], outputs: Mapping[str, list[int]]) -> list[ir.Attr]:
    """Write down which values a Scan goes through, and along which axes and in which directions."""
    return [
        ir.AttrGraph("body", graph),
        ir.AttrInt64("num_scan_inputs", len(scanned)),
        ir.AttrInt64s("scan_input_axes", [axis for _, _, axis, _ in scanned]),
        ir.AttrInt64s("scan_input_directions", [way for _, _, _, way in scanned]),
        *(ir.AttrInt64s(f"scan_output_{name}", values) for name, values in outputs.items()),
    ]


def _stored(node: ir.Node, graph: ir.Graph, value: ir.Value) -> ir.Value:
    """One of a Scan's values at every step."""
    stacked = store(node, graph, value)
    for name in ("scan_output_axes", "scan_output_directions"):
        if name in node.attributes:
            node.attributes[name] = ir.AttrInt64s(name, [*node.attributes[name].as_ints(), 0])
    return stacked
