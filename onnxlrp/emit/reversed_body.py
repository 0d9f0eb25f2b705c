"""The common part of If, Loop and Scan on the way back: a copy of a body, walked in reverse, and the node around it.

A step of the way back reads what the same step of the forward pass left: the carried values at its start and what was
dear to compute (products, convolutions, softmaxes, loops), each stored once; what is cheap is computed again.
Memory grows linearly in the number of steps.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import onnx_ir as ir
import onnx_ir.passes.common as passes

from onnxlrp.emit.ledger import Ledger
from onnxlrp.emit.walk import Walk, shaped
from onnxlrp.graph.builder import Builder
from onnxlrp.graph.call import captured
from onnxlrp.graph.provenance import RULE
from onnxlrp.operators.control_flow import Body
from onnxlrp.operators.registry import Kind, find
from onnxlrp.plan import Step, plan_copy

Pairs = list[tuple[ir.Value, ir.Value]]


@dataclasses.dataclass
class Reverse:
    """A copy of a body that is walked from the relevance of its outputs to that of its inputs."""

    walk: Walk
    step: Step
    body: Body

    def __post_init__(self) -> None:
        self.graph = self.body.graph.clone(allow_outer_scope_values=True)
        self.graph.opset_imports.update(self.walk.op.graph.opset_imports)
        self.inputs, self.outputs = list(self.graph.inputs), list(self.graph.outputs)
        ends = zip(self.outputs, self.body.graph.outputs, strict=True)
        self.near = [copy for copy, original in ends if original in self.walk.facts.near]
        # The copy's nodes, each with the one that it was copied from.
        self.copied = dict(zip(self.graph, self.body.graph, strict=True))
        self.op = Builder(self.graph, f"{self.step.name}_back")
        self.total: ir.Value | None = None
        """The ledger's sums, [5]."""

    def parameter(self, name: str, dtype: ir.DataType, shape: ir.Shape | None) -> ir.Value:
        """A new input of the body."""
        return ir.Value(name=name, type=ir.TensorType(dtype), shape=shape)

    def amounts(self, seeds: Pairs, wanted: Sequence[ir.Value], stands_for: dict[ir.Value, ir.Value]) -> list[ir.Value]:
        """The relevance of each wanted value, from (output, relevance) pairs."""
        walk, op = self.walk, self.op
        facts = walk.facts.of_copy(self.graph, stands_for)
        seeds = [(value, r) for value, r in seeds if value in facts.data]
        steps = plan_copy(self.graph, facts, walk.composite, walk.overrides, [v for v, _ in seeds], self.near)
        # Relevance of a wanted value is a result, and goes no further upstream.
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
        """The values that some results need and that should not be computed again: (the copy's value, the body's)."""
        found, seen, waiting = [], set(), list(results)
        while waiting:
            value = waiting.pop()
            node = value.producer()
            if value in seen or node is None or node.graph is not self.graph:
                continue
            seen.add(value)
            original = self.copied.get(node)
            index = value.index() or 0
            if original is not None and _is_stored(original) and index < len(original.outputs):
                kept = original.outputs[index]
                if keeps_shape(kept):
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


def _is_stored(node: ir.Node) -> bool:
    """Decide whether a node costs more than to store and read what it makes."""
    entry = find(node)
    cheap = entry is not None and (entry.elementwise or entry.kind in (Kind.ROUTING, Kind.STOP))
    return not cheap


def _own(op: Builder, value: ir.Value, name: str) -> ir.Value:
    """The value under a name of its own: one output may neither be listed twice nor be an input."""
    out = op.alias(value, name)
    out.shape, out.type = value.shape, value.type
    return out


def append(walk: Walk, step: Step, node: ir.Node, like: Sequence[ir.Value]) -> list[ir.Value]:
    """Put a node into the graph; its outputs have the types and shapes of `like`."""
    node.metadata_props[RULE] = f"{step.name}: {step.rule_text}"
    walk.op.graph.append(node)
    for index, (value, known) in enumerate(zip(node.outputs, like, strict=True)):
        value.type, value.shape = known.type, known.shape
        value.name = f"{step.name}_back_{index}"
    return list(node.outputs)


def arrived_at(walk: Walk, step: Step) -> dict[int, ir.Value]:
    return {i: walk.amount(v) for i, v in enumerate(step.outputs) if v in walk.relevance}


def record_inner_ledger(walk: Walk, step: Step, total: ir.Value) -> None:
    """Book what all steps inside gave to biases, stabilisers and nowhere as this step's."""
    assert walk.ledger is not None
    parts = (walk.op.Gather(total, walk.op.ints_scalar(i)) for i in (2, 3, 4))
    for column, part in zip((walk.ledger.bias, walk.ledger.epsilon, walk.ledger.stopped), parts, strict=True):
        column(step, part)


def captured_by(walk: Walk, step: Step) -> list[ir.Value]:
    """The values around the bodies that they read and that relevance goes to."""
    own = len(step.node.inputs)
    return [v for i, v in step.operands.items() if i >= own and walk.wants(v)]


@dataclasses.dataclass
class Carried:
    """The values that the way back carries from step to step: relevance of the states, sums for what is captured, the
    ledger."""

    states: list[int]
    captured: list[ir.Value]
    parameters: list[ir.Value]
    starts: list[ir.Value]


def _states(walk: Walk, body: Body) -> list[int]:
    """Positions of the states that are data."""
    data = walk.facts.data
    return [k for k, (value, out, _, _) in enumerate(body.states) if value in data or out in data]


def loop_carried(
    walk: Walk, step: Step, reverse: Reverse, arrived: dict[int, ir.Value], captured: list[ir.Value]
) -> Carried:
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
    return Carried(states, captured, parameters, starts)


def next_state(reverse: Reverse, carried: Carried, amounts: Sequence[ir.Value]) -> list[ir.Value]:
    """The values for the next step: the states' relevance, and the sums with this step's added."""
    split = len(carried.states)
    added = list(amounts[split : split + len(carried.parameters) - split])
    if reverse.total is not None:
        added.append(reverse.total)
    sums = [shaped(reverse.op.Add(p, a), p) for p, a in zip(carried.parameters[split:], added, strict=True)]
    return [*amounts[:split], *sums]


def distribute(walk: Walk, step: Step, body: Body, carried: Carried, outs: Sequence[ir.Value]) -> None:
    """Hand out what the last step back leaves: relevance of initial states and of captured values, and the ledger."""
    for k, r in zip(carried.states, outs, strict=False):
        value = step.operands.get(body.states[k][2])
        if value is not None and walk.wants(value):
            walk.send(value, r)
    for value, r in zip(carried.captured, outs[len(carried.states) :], strict=False):
        walk.send(value, r)
    if walk.ledger is not None:
        record_inner_ledger(walk, step, outs[len(carried.states) + len(carried.captured)])


def store(node: ir.Node, graph: ir.Graph, value: ir.Value) -> ir.Value:
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


def keeps_shape(value: ir.Value) -> bool:
    """Decide whether a carried value is known to keep its shape: only then can its steps be stacked."""
    return value.shape is not None and all(isinstance(d, int) or d.value is not None for d in value.shape)
