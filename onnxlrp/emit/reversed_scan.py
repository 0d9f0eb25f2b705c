"""A Scan backwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx_ir as ir

from onnxlrp.emit.backward import Arrived, Backward
from onnxlrp.emit.context import Context
from onnxlrp.emit.relevance import Amount
from onnxlrp.emit.reversed_body import Repeated, append, captured_by, store
from onnxlrp.operators.control_flow import bodies
from onnxlrp.plan import Step

_Scanned = tuple[ir.Value, ir.Value, int, int]
"""An input of a Scan's body, the value that is scanned for it, the axis and the direction."""


def reverse_scan(context: Context, step: Step, arrived: Arrived) -> Backward:
    """A Scan backwards, by a Scan in the other direction."""
    node, (body,), wanted = step.node, bodies(step.node), context.wanted(step)
    reverse = Repeated(context, step, body, arrived, captured_by(context, step))
    in_axes, in_ways = (step.call.ints(f"scan_input_{n}", [0] * len(body.slices)) for n in ("axes", "directions"))
    out_axes, out_ways = (step.call.ints(f"scan_output_{n}", [0] * len(body.stacked)) for n in ("axes", "directions"))
    stacked: list[Amount] = []
    scanned: list[_Scanned] = []
    for (value, result), axis, way in zip(body.stacked, out_axes, out_ways, strict=True):
        if result in reverse.arrived:
            part = ir.val(f"r_slice_{result}", context.dtype, value.shape)
            stacked.append(Amount(reverse.copied(value), part))
            scanned.append((part, reverse.arrived[result], axis, 1 - way))
    slices = [
        (value, operand, axis, 1 - way)
        for (value, operand), axis, way in zip(body.slices, in_axes, in_ways, strict=True)
        if operand in wanted and value in context.facts.data
    ]
    results = reverse.results(stacked, [reverse.copied(value) for value, *_ in slices])

    def stored(own: ir.Value) -> ir.Value:
        now = ir.val(f"kept_{len(scanned)}", own.dtype, own.shape)
        scanned.append((now, store(node, body.graph, own), 0, 1))
        return now

    graph = reverse.finish(reverse.carried, reverse.read_stored(results, stored))
    states = len(body.states)
    for position, own in enumerate(body.graph.inputs):
        # Something must be scanned: it says how many steps there are.
        if not reverse.copied(own).uses() and (scanned or position < len(body.graph.inputs) - 1):
            continue
        source, axis, way = node.inputs[position], 0, 0
        if position < states:
            source = store(node, body.graph, own)
        else:
            axis, way = in_axes[position - states], in_ways[position - states]
        assert source is not None
        scanned.append((reverse.copied(own), source, axis, 1 - way))
    graph.inputs.extend(v for v, _, _, _ in scanned)
    outputs = {"axes": [axis for _, _, axis, _ in slices], "directions": [way for _, _, _, way in slices]}
    operands = [*reverse.starts, *(v for _, v, _, _ in scanned)]
    back = ir.Node("", "Scan", operands, _attributes(graph, scanned, outputs), num_outputs=len(results))
    whole = [ir.val(None, context.dtype, wanted[operand].shape) for _, operand, _, _ in slices]
    outs = append(context, step, back, [*reverse.carried, *whole])
    ends = zip(slices, outs[len(reverse.carried) :], strict=True)
    return reverse.backward(outs, [Amount(wanted[operand], r) for (_, operand, _, _), r in ends])


def _attributes(graph: ir.Graph, scanned: Sequence[_Scanned], outputs: Mapping[str, list[int]]) -> list[ir.Attr]:
    """Write down which values a Scan goes through, and along which axes and in which directions."""
    return [
        ir.AttrGraph("body", graph),
        ir.AttrInt64("num_scan_inputs", len(scanned)),
        ir.AttrInt64s("scan_input_axes", [axis for _, _, axis, _ in scanned]),
        ir.AttrInt64s("scan_input_directions", [way for _, _, _, way in scanned]),
        *(ir.AttrInt64s(f"scan_output_{name}", values) for name, values in outputs.items()),
    ]
