"""A Loop backwards."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from onnxlrp.emit.backward import Arrived, Backward
from onnxlrp.emit.context import Context
from onnxlrp.emit.relevance import Amount
from onnxlrp.emit.reversed_body import Repeated, captured_by, store
from onnxlrp.graph.builder import Builder
from onnxlrp.graph.call import Call, content, shaped, sizes_known
from onnxlrp.graph.readers import is_read
from onnxlrp.operators.control_flow import Body, bodies
from onnxlrp.plan import Step


def reverse_loop(context: Context, step: Step, arrived: Arrived) -> Backward:
    """Reverse a Loop of n steps by another Loop, whose step i goes back through step n − 1 − i."""
    op, (body,) = context.op, bodies(step.node)
    read = _read_by_step(context, step, body)
    reverse = Repeated(context, step, body, arrived, [v for v in captured_by(context, step) if v not in read])
    count, going = ir.val("i", ir.DataType.INT64, []), ir.val("going", ir.DataType.BOOL, [])
    inner, true = reverse.op, reverse.op.constant(True)
    # A state that nothing reads gets zeros of its size.
    states = {value for value, *_ in reverse.states}
    used = [i for i, v in enumerate(body.graph.inputs) if is_read(reverse.copied(v)) or v in states]
    # Only what is known to keep its shape from step to step can be stacked.
    changing = [i for i in used if i > 1 and not sizes_known(body.graph.inputs[i])]
    node, lists = _keep_in_lists(op, step.node, body, changing)
    # The body's own count of its steps says how many there were.
    trips = op.Squeeze(op.Shape(store(node, body.graph, body.graph.inputs[0]), start=0, end=1), op.ints([0]))
    at = inner.Sub(inner.Sub(trips, inner.ints_scalar(1)), count)

    def stored(own: ir.Value) -> ir.Value:
        return shaped(inner.Gather(store(node, body.graph, own), at, axis=0), own)

    for position in used:
        own = body.graph.inputs[position]
        if position < 2:
            now = inner.Identity((at, true)[position])
        else:
            now = inner.SequenceAt(lists[position], at) if position in lists else stored(own)
        reverse.replace(own, shaped(now, own))
    came = [(value, reverse.arrived[result]) for value, result in body.stacked if result in reverse.arrived]
    stacked = [Amount(reverse.copied(v), shaped(inner.Gather(whole, at, axis=0), v)) for v, whole in came]
    slices = [(source, gather) for source, gathers in read.items() for gather in gathers]
    results = reverse.results(stacked, [reverse.copied(gather.outputs[0]) for _, gather in slices])
    graph = reverse.finish([count, going, *reverse.carried], [true, *reverse.read_stored(results, stored)])
    operands, stacks = [trips, op.constant(True), *reverse.starts], [ir.val(None, context.dtype) for _ in slices]
    outs = reverse.append(operands, [ir.AttrGraph("body", graph)], [*reverse.carried, *stacks])
    ends = zip(slices, outs[len(reverse.carried) :], strict=True)
    parts = [Amount(v, _in_place(op, stack, v, int(Call.of(gather).attr("axis", 0)))) for (v, gather), stack in ends]
    return reverse.backward(outs, parts)


def _read_by_step(context: Context, step: Step, body: Body) -> dict[ir.Value, list[ir.Node]]:
    """Find the outer values that the body reads slice by slice, `x[i]` in step i, with the nodes that read them: their
    relevance goes back slice by slice too.

    Else each step would add a whole tensor with one slice that is not 0, at a cost quadratic in the number of steps.
    """
    found: dict[ir.Value, list[ir.Node]] = {}
    counters, inside = _counters(step.node, body), set(body.graph.all_nodes())
    for value in captured_by(context, step):
        readers = [use.node for use in value.uses() if use.node in inside]
        plain = all(
            n.domain == "" and n.op_type == "Gather" and n.graph is body.graph
            and n.inputs[0] is value and n.inputs[1] in counters
            for n in readers
        )  # fmt: skip
        if readers and plain and value.shape is not None:
            found[value] = list(dict.fromkeys(readers))
    return found


def _counters(node: ir.Node, body: Body) -> set[ir.Value]:
    """The body's inputs that say which step it is: its first, and states that count from 0, as tf2onnx writes them."""
    found = {body.graph.inputs[0]}
    for value, out, operand, _ in body.states:
        start, adds = content(node.inputs[operand]), out.producer()
        if start is None or start.ndim or start != 0 or adds is None or adds.op_type != "Add" or adds.domain:
            continue
        steps = [content(v) for v in adds.inputs if v is not value]
        if len(steps) == 1 and steps[0] is not None and steps[0].size == 1 and steps[0].reshape(()) == 1:
            found.add(value)
    return found


def _in_place(op: Builder, stack: ir.Value, like: ir.Value, axis: int) -> ir.Value:
    """Lay slices [steps, …], that of the last step first, along an axis of `like`, with zeros where no step reads."""
    rank = len(op.dims(like))
    axis %= rank
    first, minus = op.ints([0]), op.ints([-1])
    forwards = op.Slice(stack, minus, op.ints([-(2**31)]), first, minus)
    turned = op.Transpose(forwards, perm=[*range(1, axis + 1), 0, *range(axis + 1, rank)])
    left = op.Sub(op.dim(like, axis), op.Shape(stack, start=0, end=1))
    zeros = [first] * (2 * rank)
    zeros[rank + axis] = left
    return shaped(op.Pad(turned, op.Concat(*zeros, axis=0)), like)


def _keep_in_lists(
    op: Builder, node: ir.Node, body: Body, positions: Sequence[int]
) -> tuple[ir.Node, dict[int, ir.Value]]:
    """Let a Loop collect in sequences those inputs of its body, at these positions, whose shape may change from step to
    step; all are carried values.

    Returns the node that took the Loop's place, and the sequences by the inputs' positions.
    """
    if not positions:
        return node, {}
    graph, count, empty, lists = body.graph, len(body.states), [], []
    for index, position in enumerate(positions, count):
        value = graph.inputs[position]
        assert value.dtype is not None
        name, kind = f"{node.name}_list_{index}", ir.SequenceType(ir.TensorType(value.dtype))
        so_far, longer = ir.val(f"{name}_in", type=kind), ir.val(f"{name}_out", type=kind)
        graph.append(ir.node("SequenceInsert", [so_far, value], outputs=[longer], name=name))
        graph.inputs.append(so_far)
        graph.outputs.insert(1 + index, longer)
        empty.append(op.SequenceEmpty(dtype=value.dtype))
        lists.append(ir.val(f"{name}_all", type=kind))
    attributes, others = list(node.attributes.values()), [ir.Value() for _ in node.outputs]
    outputs = [*others[:count], *lists, *others[count:]]
    grown = ir.Node("", "Loop", [*node.inputs, *empty], attributes, outputs=outputs, name=node.name)
    ir.convenience.replace_nodes_and_values(op.graph, op.graph[-1], [node], [grown], node.outputs, others)
    return grown, dict(zip(positions, lists, strict=True))
