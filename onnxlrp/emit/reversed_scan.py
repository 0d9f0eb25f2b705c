"""A Scan backwards."""

from __future__ import annotations

import onnx_ir as ir

from onnxlrp.emit.backward import Arrived, Backward
from onnxlrp.emit.context import Context
from onnxlrp.emit.relevance import Amount
from onnxlrp.emit.reversed_body import Repeated, captured_by, store
from onnxlrp.operators.control_flow import bodies
from onnxlrp.plan import Step


def reverse_scan(context: Context, step: Step, arrived: Arrived) -> Backward:
    """A Scan backwards, by a Scan in the other direction."""
    node, (body,), wanted = step.node, bodies(step.node), context.wanted(step)
    reverse = Repeated(context, step, body, arrived, captured_by(context, step))
    # By the operand's position: a stored state is scanned along axis 0, in the order of the steps.
    states, names = len(body.states), ("axes", "directions")
    axes, ways = ([0] * states + step.call.ints(f"scan_input_{n}", [0] * len(body.slices)) for n in names)
    out_axes, out_ways = (step.call.ints(f"scan_output_{n}", [0] * len(body.stacked)) for n in names)
    stacked: list[Amount] = []
    # Inputs of the body, each with the value that is scanned for it, the axis and the direction.
    scanned: list[tuple[ir.Value, ir.Value, int, int]] = []
    for (value, result), axis, way in zip(body.stacked, out_axes, out_ways, strict=True):
        if result in reverse.arrived:
            part = ir.val(f"r_slice_{result}", context.dtype, value.shape)
            stacked.append(Amount(reverse.copied(value), part))
            scanned.append((part, reverse.arrived[result], axis, 1 - way))
    slices = {i: value for value, i in body.slices if i in wanted and value in context.facts.data}
    results = reverse.results(stacked, [reverse.copied(value) for value in slices.values()])

    def stored(own: ir.Value) -> ir.Value:
        now = ir.val(f"kept_{len(scanned)}", own.dtype, own.shape)
        scanned.append((now, store(node, body.graph, own), 0, 1))
        return now

    graph = reverse.finish(reverse.carried, reverse.read_stored(results, stored))
    for position, own in enumerate(body.graph.inputs):
        # Something must be scanned: it says how many steps there are.
        if not reverse.copied(own).uses() and (scanned or position < len(body.graph.inputs) - 1):
            continue
        source = store(node, body.graph, own) if position < states else node.inputs[position]
        assert source is not None
        scanned.append((reverse.copied(own), source, axes[position], 1 - ways[position]))
    graph.inputs.extend(v for v, _, _, _ in scanned)
    operands = [*reverse.starts, *(v for _, v, _, _ in scanned)]
    attributes = [
        ir.AttrGraph("body", graph),
        ir.AttrInt64("num_scan_inputs", len(scanned)),
        ir.AttrInt64s("scan_input_axes", [axis for _, _, axis, _ in scanned]),
        ir.AttrInt64s("scan_input_directions", [way for _, _, _, way in scanned]),
        ir.AttrInt64s("scan_output_axes", [axes[i] for i in slices]),
        ir.AttrInt64s("scan_output_directions", [1 - ways[i] for i in slices]),
    ]
    whole = [ir.val(None, context.dtype, wanted[i].shape) for i in slices]
    outs = reverse.append(operands, attributes, [*reverse.carried, *whole])
    parts = [Amount(wanted[i], r) for i, r in zip(slices, outs[len(reverse.carried) :], strict=True)]
    return reverse.backward(outs, parts)
