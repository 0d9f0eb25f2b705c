"""If, Loop and Scan backwards: the same branch, the same number of steps, each step walked in reverse.

A step of the way back reads what the same step of the forward pass left: the carried values at its start and what was
dear to compute (products, convolutions, softmaxes, loops), each stored once; what is cheap is computed again.
Memory grows linearly in the number of steps.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import onnx_ir as ir
import onnx_ir.passes.common as passes

from onnxlrp.builder import Builder
from onnxlrp.emit.ledger import Ledger
from onnxlrp.emit.walk import Walk, shaped
from onnxlrp.operators.control_flow import Body, bodies
from onnxlrp.operators.registry import Call, Kind, captured, find
from onnxlrp.plan import Step, plan_copy

Pairs = list[tuple[ir.Value, ir.Value]]


def control(walk: Walk, step: Step) -> None:
    """Walk the bodies of a node."""
    {"If": _branches, "Loop": _loop, "Scan": _scan}[step.node.op_type](walk, step)


@dataclasses.dataclass
class _Reverse:
    """A copy of a body that is walked from the relevance of its outputs to that of its inputs."""

    walk: Walk
    step: Step
    body: Body

    def __post_init__(self) -> None:
        self.graph = self.body.graph.clone(allow_outer_scope_values=True)
        self.graph.opset_imports.update(self.walk.op.graph.opset_imports)
        self.inputs, self.outputs = list(self.graph.inputs), list(self.graph.outputs)
        # The copy's nodes, each with the one that it was copied from.
        self.copied = dict(zip(self.graph, self.body.graph, strict=True))
        self.op = Builder(self.graph, f"{self.step.name}_back")
        self.total: ir.Value | None = None
        """Of the ledger, [5]."""

    def parameter(self, name: str, dtype: ir.DataType, shape: ir.Shape | None) -> ir.Value:
        """A new input of the body."""
        return ir.Value(name=name, type=ir.TensorType(dtype), shape=shape)

    def amounts(self, seeds: Pairs, wanted: Sequence[ir.Value], stands_for: dict[ir.Value, ir.Value]) -> list[ir.Value]:
        """The relevance of each wanted value, from (output, relevance) pairs."""
        walk, op = self.walk, self.op
        facts = walk.facts.of_copy(self.graph, stands_for)
        seeds = [(value, r) for value, r in seeds if value in facts.data]
        steps = plan_copy(self.graph, facts, walk.composite, walk.overrides, [v for v, _ in seeds])
        # What is wanted of a value goes no further.
        steps = [s for s in steps if not any(v in wanted for v in s.outputs)]
        receivers = {*(v for s in steps for v in s.outputs), *(v for v, _ in seeds), *wanted}
        ledger = None if walk.ledger is None else Ledger(op, walk.dtype)
        inner = Walk(op, facts, walk.composite, walk.dtype, receivers, ledger, walk.overrides)
        for value, r in seeds:
            inner.send(value, r)
        inner.run(steps, walk.treatments)
        op.label(f"{self.step.name}: {self.step.rule_text}")
        found = [
            inner.amount(v) if v in inner.relevance else shaped(op.full(op.shape(v), 0, walk.dtype), v) for v in wanted
        ]
        if ledger is not None and walk.ledger is not None:
            self.total = ledger.total()
            if ledger.marked:
                walk.ledger.mark(self.step)
        return found

    def dear(self, results: Sequence[ir.Value]) -> list[tuple[ir.Value, ir.Value]]:
        """What the way to some results needs and should not compute again: (the copy's value, the body's)."""
        found, seen, waiting = [], set(), list(results)
        while waiting:
            value = waiting.pop()
            node = value.producer()
            if value in seen or node is None or node.graph is not self.graph:
                continue
            seen.add(value)
            original = self.copied.get(node)
            index = value.index() or 0
            if original is not None and _dear(original) and index < len(original.outputs):
                kept = original.outputs[index]
                if _keeps_shape(kept):
                    found.append((value, kept))
                    continue
            waiting += [v for v in (*node.inputs, *captured(node)) if v is not None]
        return found

    def finish(self, inputs: Sequence[ir.Value], outputs: Sequence[ir.Value]) -> ir.Graph:
        """The body with these inputs and outputs, what nobody reads taken out."""
        self.op.assert_inferred()
        named = [_own(self.op, v, f"{self.step.name}_back_{i}") for i, v in enumerate(outputs)]
        self.graph.inputs[:], self.graph.outputs[:] = list(inputs), named
        self.graph.sort()
        passes.RemoveUnusedNodesPass()(ir.Model(self.graph, ir_version=10))
        return self.graph


def _dear(node: ir.Node) -> bool:
    """Whether a node costs more than to store and read what it makes."""
    entry = find(node)
    cheap = entry is not None and (entry.elementwise or entry.kind in (Kind.ROUTING, Kind.STOP))
    return not cheap


def _own(op: Builder, value: ir.Value, name: str) -> ir.Value:
    """The value under a name of its own: one output may neither be listed twice nor be an input."""
    out = op.alias(value, name)
    out.shape, out.type = value.shape, value.type
    return out


def _append(walk: Walk, step: Step, node: ir.Node, like: Sequence[ir.Value]) -> list[ir.Value]:
    """Put a node into the graph; its outputs have the types and shapes of `like`."""
    node.metadata_props["onnxlrp.rule"] = f"{step.name}: {step.rule_text}"
    walk.op.graph.append(node)
    for index, (value, known) in enumerate(zip(node.outputs, like, strict=True)):
        value.type, value.shape = known.type, known.shape
        value.name = f"{step.name}_back_{index}"
    return list(node.outputs)


def _arrived(walk: Walk, step: Step) -> dict[int, ir.Value]:
    return {i: walk.amount(v) for i, v in enumerate(step.outputs) if v in walk.relevance}


def _book(walk: Walk, step: Step, total: ir.Value) -> None:
    """What all steps inside gave to biases, stabilisers and nowhere, as this step's."""
    assert walk.ledger is not None
    parts = (walk.op.Gather(total, walk.op.ints_scalar(i)) for i in (2, 3, 4))
    for book, part in zip((walk.ledger.bias, walk.ledger.epsilon, walk.ledger.stopped), parts, strict=True):
        book(step, part)


def _captured(walk: Walk, step: Step) -> list[ir.Value]:
    """What the bodies take from around them that relevance goes to."""
    own = len(step.node.inputs)
    return [v for i, v in step.operands.items() if i >= own and walk.wants(v)]


# ---------------------------------------------------------------------------------------------------------------- If


def _branches(walk: Walk, step: Step) -> None:
    arrived, wanted = _arrived(walk, step), _captured(walk, step)
    attributes, results = [], []
    for name, body in zip(("then_branch", "else_branch"), bodies(step.node), strict=True):
        reverse = _Reverse(walk, step, body)
        results = reverse.amounts([(reverse.outputs[i], r) for i, r in arrived.items()], wanted, {})
        results += [reverse.total] if reverse.total is not None else []
        attributes.append(ir.AttrGraph(name, reverse.finish([], results)))
    node = ir.Node("", "If", [step.node.inputs[0]], attributes, num_outputs=len(results))
    outs = _append(walk, step, node, results)
    for value, r in zip(wanted, outs, strict=False):
        walk.send(value, r)
    if walk.ledger is not None:
        _book(walk, step, outs[-1])


# ------------------------------------------------------------------------------------------------------ Loop and Scan


@dataclasses.dataclass
class _Carried:
    """What the way back carries from step to step: relevance of the states, sums for what is captured, the ledger."""

    states: list[int]
    captured: list[ir.Value]
    parameters: list[ir.Value]
    starts: list[ir.Value]


def _states(walk: Walk, body: Body) -> list[int]:
    """Positions of the states that are data."""
    data = walk.facts.data
    return [k for k, (value, out, _, _) in enumerate(body.states) if value in data or out in data]


def _carry(
    walk: Walk, step: Step, reverse: _Reverse, arrived: dict[int, ir.Value], captured: list[ir.Value]
) -> _Carried:
    op, body = walk.op, reverse.body
    states = _states(walk, body)
    parameters, starts = [], []
    for k in states:
        _, out, _, result = body.states[k]
        final = step.outputs[result]
        parameters.append(reverse.parameter(f"r_state_{k}", walk.dtype, out.shape))
        starts.append(arrived[result] if result in arrived else op.full(op.shape(final), 0, walk.dtype))
    for index, value in enumerate(captured):
        parameters.append(reverse.parameter(f"r_sum_{index}", walk.dtype, value.shape))
        starts.append(op.full(op.shape(value), 0, walk.dtype))
    if walk.ledger is not None:
        parameters.append(reverse.parameter("r_ledger", walk.dtype, ir.Shape([5])))
        starts.append(op.full(op.ints([5]), 0, walk.dtype))
    return _Carried(states, captured, parameters, starts)


def _advance(reverse: _Reverse, carried: _Carried, amounts: Sequence[ir.Value]) -> list[ir.Value]:
    """What goes on to the next step: the states' relevance, and the sums with this step's added."""
    split = len(carried.states)
    added = list(amounts[split : split + len(carried.parameters) - split])
    if reverse.total is not None:
        added.append(reverse.total)
    sums = [shaped(reverse.op.Add(p, a), p) for p, a in zip(carried.parameters[split:], added, strict=True)]
    return [*amounts[:split], *sums]


def _hand_out(walk: Walk, step: Step, body: Body, carried: _Carried, outs: Sequence[ir.Value]) -> None:
    """What the last step back leaves: relevance of the initial states, of what was captured, and the ledger."""
    for k, r in zip(carried.states, outs, strict=False):
        value = step.operands.get(body.states[k][2])
        if value is not None and walk.wants(value):
            walk.send(value, r)
    for value, r in zip(carried.captured, outs[len(carried.states) :], strict=False):
        walk.send(value, r)
    if walk.ledger is not None:
        _book(walk, step, outs[len(carried.states) + len(carried.captured)])


def _store(node: ir.Node, graph: ir.Graph, value: ir.Value) -> ir.Value:
    """Let a loop stack one of its body's values, one a step, as one more output."""
    kept = ir.node("Identity", [value], name=f"{node.name}_store_{len(node.outputs)}")
    kept.outputs[0].type, kept.outputs[0].shape = value.type, value.shape
    kept.outputs[0].name = f"{kept.name}_out"
    graph.append(kept)
    graph.outputs.append(kept.outputs[0])
    node.resize_outputs(len(node.outputs) + 1)
    stacked = node.outputs[-1]
    stacked.name, stacked.type = f"{kept.name}_stack", value.type
    stacked.shape = None if value.shape is None else ir.Shape([None, *value.shape])
    return stacked


def _keeps_shape(value: ir.Value) -> bool:
    """Whether a carried value is known to keep its shape: only then can its steps be stacked."""
    return value.shape is not None and all(isinstance(d, int) or d.value is not None for d in value.shape)


def _store_sequence(walk: Walk, node: ir.Node, value: ir.Value) -> tuple[ir.Node, ir.Value]:
    """Let a Loop keep a value whose shape may change from step to step in a sequence, as one more carried value.

    Returns the node that took the Loop's place, and the sequence.
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
    empty = walk.op.SequenceEmpty(dtype=value.dtype)
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
    return grown, grown.outputs[count]


def _loop(walk: Walk, step: Step) -> None:
    """A Loop backwards, by a Loop: its step i is the step n − 1 − i."""
    op, node = walk.op, step.node
    (body,) = bodies(node)
    reverse = _Reverse(walk, step, body)
    arrived, read = _arrived(walk, step), _read_by_step(walk, step, body)
    carried = _carry(walk, step, reverse, arrived, [v for v in _captured(walk, step) if v not in read])
    count = reverse.parameter("i", ir.DataType.INT64, ir.Shape([]))
    going = reverse.parameter("going", ir.DataType.BOOL, ir.Shape([]))
    inner, true = reverse.op, reverse.op.constant(True)
    used = [v for v in reverse.inputs if v.uses() or v.is_graph_output()]
    originals = list(body.graph.inputs)
    lists = {}
    for value in used:
        position = reverse.inputs.index(value)
        if position > 1 and not _keeps_shape(originals[position]):
            node, lists[position] = _store_sequence(walk, node, originals[position])
    # The body's own count of its steps says how many there were.
    trips = op.Squeeze(op.Shape(_store(node, body.graph, originals[0]), start=0, end=1), op.ints([0]))
    at = inner.Sub(inner.Sub(trips, inner.ints_scalar(1)), count)
    stands_for = {}
    for value in used:
        position = reverse.inputs.index(value)
        if position < 2:
            now = inner.Identity((at, true)[position])
        elif position in lists:
            now = inner.SequenceAt(lists[position], at)
        else:
            now = inner.Gather(_store(node, body.graph, originals[position]), at, axis=0)
        now.shape, now.type = value.shape, value.type
        ir.convenience.replace_all_uses_with(value, now, replace_graph_outputs=True)
        reverse.outputs = [now if v is value else v for v in reverse.outputs]
        reverse.inputs[position] = now
        stands_for[now] = originals[position]
    seeds = [(reverse.outputs[k + 1], carried.parameters[i]) for i, k in enumerate(carried.states)]
    for index, (value, result) in enumerate(body.stacked):
        if result in arrived:
            part = inner.Gather(arrived[result], at, axis=0)
            seeds.append((reverse.outputs[1 + len(body.states) + index], shaped(part, value)))
    copies = {old: new for new, old in reverse.copied.items()}
    slices = [(source, gather, copies[gather]) for source, gathers in read.items() for gather in gathers]
    wanted = [*(reverse.inputs[k + 2] for k in carried.states), *carried.captured]
    amounts = reverse.amounts(seeds, [*wanted, *(copy.outputs[0] for _, _, copy in slices)], stands_for)
    results = [*_advance(reverse, carried, amounts[: len(wanted)]), *amounts[len(wanted) :]]
    for value, kept in reverse.dear(results):
        now = shaped(inner.Gather(_store(node, body.graph, kept), at, axis=0), value)
        ir.convenience.replace_all_uses_with(value, now, replace_graph_outputs=True)
        results = [now if v is value else v for v in results]
    graph = reverse.finish([count, going, *carried.parameters], [true, *results])
    back = ir.Node(
        "",
        "Loop",
        [trips, op.constant(True), *carried.starts],
        [ir.AttrGraph("body", graph)],
        num_outputs=len(results),
    )
    stacked = [ir.Value(type=ir.TensorType(walk.dtype)) for _ in slices]
    outs = _append(walk, step, back, [*carried.parameters, *stacked])
    _hand_out(walk, step, body, carried, outs)
    for (source, gather, _), stack in zip(slices, outs[len(carried.parameters) :], strict=True):
        walk.send(source, _in_place(op, stack, source, int(Call.of(gather).attr("axis", 0))))


def _read_by_step(walk: Walk, step: Step, body: Body) -> dict[ir.Value, list[ir.Node]]:
    """What the body takes from around it slice by slice, `x[i]` in step i: then a slice a step goes back, too.

    Else each step would add a whole tensor with one slice that is not 0: quadratic in the number of steps.
    """
    found: dict[ir.Value, list[ir.Node]] = {}
    counter, inside = body.graph.inputs[0], set(body.graph.all_nodes())
    for value in _captured(walk, step):
        readers = [use.node for use in value.uses() if use.node in inside]
        plain = all(
            n.domain == "" and n.op_type == "Gather" and n.graph is body.graph and tuple(n.inputs) == (value, counter)
            for n in readers
        )
        if readers and plain and value.shape is not None:
            found[value] = list(dict.fromkeys(readers))
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


def _ints(node: ir.Node, name: str, count: int) -> list[int]:
    attribute = node.attributes.get(name)
    return [0] * count if attribute is None else [int(i) for i in attribute.as_ints()]


def _scan(walk: Walk, step: Step) -> None:
    """A Scan backwards, by a Scan in the other direction."""
    node = step.node
    (body,) = bodies(node)
    reverse = _Reverse(walk, step, body)
    arrived, captured = _arrived(walk, step), _captured(walk, step)
    carried = _carry(walk, step, reverse, arrived, captured)
    in_axes, in_ways = (_ints(node, f"scan_input_{n}", len(body.slices)) for n in ("axes", "directions"))
    out_axes, out_ways = (_ints(node, f"scan_output_{n}", len(body.stacked)) for n in ("axes", "directions"))
    states = len(body.states)
    seeds = [(reverse.outputs[k], carried.parameters[i]) for i, k in enumerate(carried.states)]
    scanned: list[tuple[ir.Value, ir.Value, int, int]] = []
    """(the body's input, what is scanned, axis, direction)"""
    for index, (value, result) in enumerate(body.stacked):
        if result in arrived:
            part = reverse.parameter(f"r_slice_{index}", walk.dtype, value.shape)
            seeds.append((reverse.outputs[states + index], part))
            scanned.append((part, arrived[result], out_axes[index], 1 - out_ways[index]))
    slices = [
        i
        for i, (value, operand) in enumerate(body.slices)
        if operand in step.operands and value in walk.facts.data and walk.wants(step.operands[operand])
    ]
    wanted = [*(reverse.inputs[k] for k in carried.states), *captured, *(reverse.inputs[states + i] for i in slices)]
    stands_for = dict(zip(reverse.inputs, body.graph.inputs, strict=True))
    amounts = reverse.amounts(seeds, wanted, stands_for)
    split = len(carried.states) + len(captured)
    results = [*_advance(reverse, carried, amounts[:split]), *amounts[split:]]
    for index, (value, kept) in enumerate(reverse.dear(results)):
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
    attributes = [
        ir.AttrGraph("body", graph),
        ir.AttrInt64("num_scan_inputs", len(scanned)),
        ir.AttrInt64s("scan_input_axes", [axis for _, _, axis, _ in scanned]),
        ir.AttrInt64s("scan_input_directions", [way for _, _, _, way in scanned]),
        ir.AttrInt64s("scan_output_axes", [in_axes[i] for i in slices]),
        ir.AttrInt64s("scan_output_directions", [1 - in_ways[i] for i in slices]),
    ]
    back = ir.Node("", "Scan", [*carried.starts, *(v for _, v, _, _ in scanned)], attributes, num_outputs=len(results))
    whole = [ir.Value(type=ir.TensorType(walk.dtype), shape=step.operands[body.slices[i][1]].shape) for i in slices]
    outs = _append(walk, step, back, [*carried.parameters, *whole])
    _hand_out(walk, step, body, carried, outs)
    for i, r in zip(slices, outs[len(carried.parameters) :], strict=True):
        walk.send(step.operands[body.slices[i][1]], r)


def _stored(node: ir.Node, graph: ir.Graph, value: ir.Value) -> ir.Value:
    """One of a Scan's values at every step."""
    stacked = _store(node, graph, value)
    for name in ("scan_output_axes", "scan_output_directions"):
        if name in node.attributes:
            node.attributes[name] = ir.AttrInt64s(name, [*node.attributes[name].as_ints(), 0])
    return stacked
