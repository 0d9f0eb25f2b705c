"""A Loop backwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx_ir as ir

from onnxlrp.emit.backward import Arrived, Backward
from onnxlrp.emit.context import Context, shaped
from onnxlrp.emit.relevance import Amount
from onnxlrp.emit.reversed_body import (
    Reverse,
    append,
    arrived_at,
    captured_by,
    distribute,
    keeps_shape,
    loop_carried,
    next_state,
    store,
)
from onnxlrp.graph.builder import Builder
from onnxlrp.graph.call import Call, content
from onnxlrp.operators.control_flow import Body, bodies
from onnxlrp.plan import Step


def loop(context: Context, step: Step, arrived: Arrived) -> Backward:
    """A Loop backwards, by a Loop: its step i is the step n − 1 − i."""
    op, node = context.op, step.node
    (body,) = bodies(node)
    reverse = Reverse(context, step, body)
    came, read = arrived_at(context, arrived), _read_by_step(context, step, body)
    whole = {i: v for i, v in captured_by(context, step).items() if v not in read}
    carried = loop_carried(context, step, reverse, came, whole)
    count = reverse.parameter("i", ir.DataType.INT64, ir.Shape([]))
    going = reverse.parameter("going", ir.DataType.BOOL, ir.Shape([]))
    inner, true = reverse.op, reverse.op.constant(True)
    # A state that nothing reads gets zeros of its size.
    states = {reverse.inputs[k + 2] for k in carried.states}
    used = [i for i, v in enumerate(reverse.inputs) if v.uses() or v.is_graph_output() or v in states]
    node, lists = _keep_in_lists(context, node, body, used)
    # The body's own count of its steps says how many there were.
    trips = op.Squeeze(op.Shape(store(node, body.graph, body.graph.inputs[0]), start=0, end=1), op.ints([0]))
    at = inner.Sub(inner.Sub(trips, inner.ints_scalar(1)), count)
    stands_for = _read_back(reverse, node, used, lists, at)
    seeds = [(reverse.outputs[k + 1], carried.parameters[i]) for i, k in enumerate(carried.states)]
    for index, (value, result) in enumerate(body.stacked):
        if result in came:
            part = inner.Gather(came[result], at, axis=0)
            seeds.append((reverse.outputs[1 + len(body.states) + index], shaped(part, value)))
    slices = [(source, gather, reverse.copies.nodes[gather]) for source, gathers in read.items() for gather in gathers]
    wanted = [*(reverse.inputs[k + 2] for k in carried.states), *whole.values()]
    amounts = reverse.amounts(seeds, [*wanted, *(copy.outputs[0] for _, _, copy in slices)], stands_for)
    results = [*next_state(reverse, carried, amounts[: len(wanted)]), *amounts[len(wanted) :]]
    for value, kept in reverse.values_to_store(results):
        now = shaped(inner.Gather(store(node, body.graph, kept), at, axis=0), value)
        ir.convenience.replace_all_uses_with(value, now, replace_graph_outputs=True)
        results = [now if v is value else v for v in results]
    graph = reverse.finish([count, going, *carried.parameters], [true, *results])
    operands = [trips, op.constant(True), *carried.starts]
    back = ir.Node("", "Loop", operands, [ir.AttrGraph("body", graph)], num_outputs=len(results))
    stacked = [ir.Value(type=ir.TensorType(context.dtype)) for _ in slices]
    outs = append(context, step, back, [*carried.parameters, *stacked])
    given = distribute(context, step, reverse, carried, outs)
    for (source, gather, _), stack in zip(slices, outs[len(carried.parameters) :], strict=True):
        part = Amount(source, _in_place(op, stack, source, int(Call.of(gather).attr("axis", 0))))
        given = given.plus(next(i for i, v in captured_by(context, step).items() if v is source), part)
    return given


def _read_by_step(context: Context, step: Step, body: Body) -> dict[ir.Value, list[ir.Node]]:
    """Find what the body takes from around it slice by slice, `x[i]` in step i: then a slice a step goes back, too.

    Else each step would add a whole tensor with one slice that is not 0: quadratic in the number of steps.
    """
    found: dict[ir.Value, list[ir.Node]] = {}
    counters, inside = _counters(step.node, body), set(body.graph.all_nodes())
    for value in captured_by(context, step).values():
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
    """Slices [steps, …], the last one first, along an axis of `like`; zeros where no step came to."""
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
    context: Context, node: ir.Node, body: Body, used: Sequence[int]
) -> tuple[ir.Node, dict[int, ir.Value]]:
    """Keep the inputs of a body whose shape may change in sequences, those that are used.

    Returns the node that took the Loop's place, and the sequences by the inputs' positions.
    """
    kept_at = {}
    for position in used:
        if position > 1 and not keeps_shape(body.graph.inputs[position]):
            node, kept_at[position] = _store_sequence(context, node, body.graph.inputs[position])
    return node, {position: node.outputs[index] for position, index in kept_at.items()}


def _read_back(
    reverse: Reverse, node: ir.Node, used: Sequence[int], lists: Mapping[int, ir.Value], at: ir.Value
) -> dict[ir.Value, ir.Value]:
    """Put in the place of the copy's inputs what they were in step `at`. Returns what each of these stands for."""
    inner, graph, stands_for = reverse.op, reverse.body.graph, {}
    for position in used:
        value, original = reverse.inputs[position], graph.inputs[position]
        if position < 2:
            now = inner.Identity((at, inner.constant(True))[position])
        elif position in lists:
            now = inner.SequenceAt(lists[position], at)
        else:
            now = inner.Gather(store(node, graph, original), at, axis=0)
        now.shape, now.type = value.shape, value.type
        ir.convenience.replace_all_uses_with(value, now, replace_graph_outputs=True)
        reverse.outputs = [now if v is value else v for v in reverse.outputs]
        reverse.inputs[position] = now
        stands_for[now] = original
    return stands_for


def _store_sequence(context: Context, node: ir.Node, value: ir.Value) -> tuple[ir.Node, int]:
    """Let a Loop keep a value whose shape may change from step to step in a sequence, as one more carried value.

    Returns the node that took the Loop's place, and which of its outputs the sequence is.
    """
    graph = node.attributes["body"].as_graph()
    count = len(graph.inputs) - 2
    name = f"{node.name}_list_{count}"
    assert value.dtype is not None
    kind = ir.SequenceType(ir.TensorType(value.dtype))
    so_far = ir.Value(name=f"{name}_in", type=kind)
    longer = ir.node("SequenceInsert", [so_far, value], name=name)
    longer.outputs[0].name, longer.outputs[0].type = f"{name}_out", kind
    graph.append(longer)
    graph.inputs.append(so_far)
    graph.outputs.insert(1 + count, longer.outputs[0])
    empty = context.op.SequenceEmpty(dtype=value.dtype)
    attributes = list(node.attributes.values())
    grown = ir.Node("", "Loop", [*node.inputs, empty], attributes, num_outputs=len(node.outputs) + 1, name=node.name)
    new = [*grown.outputs[:count], *grown.outputs[count + 1 :]]
    outer = node.graph
    assert outer is not None
    outer.append(grown)
    for old, fresh in zip(node.outputs, new, strict=True):
        fresh.type, fresh.shape = old.type, old.shape
        ir.convenience.replace_all_uses_with(old, fresh, replace_graph_outputs=True)
        fresh.name, old.name = old.name, None
    outer.remove(node, safe=True)
    grown.outputs[count].name, grown.outputs[count].type = f"{name}_all", kind
    return grown, count
