"""The common part of If, Loop and Scan on the way back: a copy of a body, walked in reverse, and the node around it.

A step of the way back reads what the same step of the forward pass left: the carried values at its start and what was
expensive to compute (products, convolutions, softmaxes, loops), each stored once; what is cheap is computed again.
Memory grows linearly in the number of steps.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as passes

from onnxlrp.emit.backward import Absorbed, Arrived, Backward
from onnxlrp.emit.context import Context, shaped
from onnxlrp.emit.ledger import LedgerTaps, NoLedger
from onnxlrp.emit.relevance import Amount
from onnxlrp.emit.walk import Walk, rounded_values
from onnxlrp.graph.builder import Builder
from onnxlrp.graph.call import captured
from onnxlrp.graph.provenance import mark_rule
from onnxlrp.interface import LEDGER_COLUMNS
from onnxlrp.operators.control_flow import Body
from onnxlrp.operators.registry import Kind, find
from onnxlrp.plan import Step
from onnxlrp.plan.carried_over import Copies

Pairs = list[tuple[ir.Value, ir.Value]]


@dataclasses.dataclass
class Reverse:
    """A copy of a body that is walked from the relevance of its outputs to that of its inputs."""

    context: Context
    step: Step
    body: Body

    def __post_init__(self) -> None:
        self.graph = self.body.graph.clone(allow_outer_scope_values=True)
        self.graph.opset_imports.update(self.context.op.graph.opset_imports)
        self.inputs, self.outputs = list(self.graph.inputs), list(self.graph.outputs)
        self.copies = Copies.of(self.body.graph, self.graph)
        self.op = self.context.op.inside(self.graph, f"{self.step.name}_back")
        self.total: ir.Value | None = None
        """The ledger's sums, [5]."""
        self.conserves = True

    def parameter(self, name: str, dtype: ir.DataType, shape: ir.Shape | None) -> ir.Value:
        """A new input of the body."""
        return ir.Value(name=name, type=ir.TensorType(dtype), shape=shape)

    def amounts(self, seeds: Pairs, wanted: Sequence[ir.Value], stands_for: dict[ir.Value, ir.Value]) -> list[ir.Value]:
        """The relevance of each wanted value, from (output, relevance) pairs."""
        context, op = self.context, self.op
        facts = context.facts.of_copy(self.graph, stands_for)
        seeds = [(value, r) for value, r in seeds if value in facts.data]
        own = [s for s in self.step.inner if s.node.graph is self.body.graph]
        steps = self.copies.replaced(stands_for).steps(own)
        # Relevance of a wanted value is a result, and goes no further upstream.
        steps = [s for s in steps if not any(v in wanted for v in s.outputs)]
        receivers = frozenset({*(v for s in steps for v in s.outputs), *(v for v, _ in seeds), *wanted})
        rounded = rounded_values(steps, self.graph)
        ledger = LedgerTaps(op, context.dtype) if context.keeps_ledger else NoLedger()
        inside = dataclasses.replace(
            context, op=op, facts=facts.frozen(), carried=context.dtype, receivers=receivers, rounded=rounded
        )
        inner = Walk(inside, ledger)
        for value, r in seeds:
            inner.start(Amount(value, r))
        inner.run(steps)
        op.label(f"{self.step.name}: {self.step.rule_text}")
        found = [(v, inner.amount(v, context.dtype)) for v in wanted]
        results = [shaped(op.full(op.shape(v), 0, context.dtype), v) if r is None else r for v, r in found]
        if isinstance(ledger, LedgerTaps):
            self.total, self.conserves = ledger.total(), not ledger.marked
            ledger.label(results)
        return results

    def values_to_store(self, results: Sequence[ir.Value]) -> list[tuple[ir.Value, ir.Value]]:
        """The values that some results need and that should not be computed again: (the copy's value, the body's)."""
        found, seen, waiting = [], set(), list(results)
        originals = {copy: node for node, copy in self.copies.nodes.items()}
        while waiting:
            value = waiting.pop()
            node = value.producer()
            if value in seen or node is None or node.graph is not self.graph:
                continue
            seen.add(value)
            original = originals.get(node)
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


def append(context: Context, step: Step, node: ir.Node, like: Sequence[ir.Value]) -> list[ir.Value]:
    """Put a node into the graph; its outputs have the types and shapes of `like`."""
    mark_rule(node, f"{step.name}: {step.rule_text}")
    context.op.graph.append(node)
    for index, (value, known) in enumerate(zip(node.outputs, like, strict=True)):
        value.type, value.shape = known.type, known.shape
        value.name = f"{step.name}_back_{index}"
    return list(node.outputs)


def arrived_at(context: Context, arrived: Arrived) -> dict[int, ir.Value]:
    """The amounts by the outputs' positions."""
    return {i: r.amount(context) for i, r in enumerate(arrived) if r is not None}


def absorbed_inside(context: Context, total: ir.Value | None) -> Absorbed:
    """Take from the ledger's sums what all steps inside gave to biases, stabilisers and nowhere."""
    op = context.op
    return Absorbed() if total is None else Absorbed(*([op.Gather(total, op.ints_scalar(i))] for i in (2, 3, 4)))


def captured_by(context: Context, step: Step) -> dict[int, ir.Value]:
    """The values around the bodies that they read and that relevance goes to, by the step's operands."""
    own = len(step.node.inputs)
    return {i: v for i, v in step.operands.items() if i >= own and v in context.receivers}


@dataclasses.dataclass
class Carried:
    """The values that the way back carries from step to step: relevance of the states, sums for what is captured, the
    ledger."""

    states: list[int]
    captured: dict[int, ir.Value]
    """By the step's operands."""
    parameters: list[ir.Value]
    starts: list[ir.Value]


def _states(context: Context, body: Body) -> list[int]:
    """Positions of the states that are data."""
    data = context.facts.data
    return [k for k, (value, out, _, _) in enumerate(body.states) if value in data or out in data]


def loop_carried(
    context: Context, step: Step, reverse: Reverse, arrived: dict[int, ir.Value], captured: dict[int, ir.Value]
) -> Carried:
    op, body = context.op, reverse.body
    states = _states(context, body)
    parameters, starts = [], []
    for k in states:
        _, out, _, result = body.states[k]
        final = step.outputs[result]
        parameters.append(reverse.parameter(f"r_state_{k}", context.dtype, out.shape))
        starts.append(arrived[result] if result in arrived else op.full(op.shape(final), 0, context.dtype))
    for index, value in enumerate(captured.values()):
        parameters.append(reverse.parameter(f"r_sum_{index}", context.dtype, value.shape))
        starts.append(op.full(op.shape(value), 0, context.dtype))
    if context.keeps_ledger:
        parameters.append(reverse.parameter("r_ledger", context.dtype, ir.Shape([len(LEDGER_COLUMNS)])))
        starts.append(op.constant(np.zeros(len(LEDGER_COLUMNS)), context.dtype))
    return Carried(states, captured, parameters, starts)


def next_state(reverse: Reverse, carried: Carried, amounts: Sequence[ir.Value]) -> list[ir.Value]:
    """The values for the next step: the states' relevance, and the sums with this step's added."""
    split = len(carried.states)
    added = [*amounts[split : len(carried.parameters)], *([] if reverse.total is None else [reverse.total])]
    sums = [shaped(reverse.op.Add(p, a), p) for p, a in zip(carried.parameters[split:], added, strict=True)]
    return [*amounts[:split], *sums]


def distribute(context: Context, step: Step, reverse: Reverse, carried: Carried, outs: Sequence[ir.Value]) -> Backward:
    """Hand out what the last step back leaves: relevance of initial states and of captured values, and the ledger."""
    split, wanted = len(carried.states), context.wanted(step)
    starts = {reverse.body.states[k][2]: r for k, r in zip(carried.states, outs, strict=False)}
    parts = {i: Amount(wanted[i], r) for i, r in starts.items() if i in wanted}
    parts |= {i: Amount(v, r) for (i, v), r in zip(carried.captured.items(), outs[split:], strict=False)}
    total = outs[split + len(carried.captured)] if context.keeps_ledger else None
    return Backward(parts, lambda: absorbed_inside(context, total), reverse.conserves)


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
