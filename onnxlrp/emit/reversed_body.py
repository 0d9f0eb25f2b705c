"""The common part of If, Loop and Scan on the way back: a copy of a body, walked in reverse, and the node around it.

A step of the way back reads what the same step of the forward pass left: the carried values at its start and what was
expensive to compute (products, convolutions, softmaxes, loops), each stored once; what is cheap is computed again.
Memory grows linearly in the number of steps.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as passes

from onnxlrp.emit.backward import Absorbed, Arrived, Backward
from onnxlrp.emit.context import Context
from onnxlrp.emit.ledger import LedgerTaps
from onnxlrp.emit.relevance import Amount
from onnxlrp.emit.walk import Walk, rounded_values
from onnxlrp.graph.call import shaped, sizes_known
from onnxlrp.graph.walks import read_by, upstream
from onnxlrp.interface import LEDGER_COLUMNS
from onnxlrp.operators.control_flow import Body
from onnxlrp.operators.registry import Kind, find
from onnxlrp.plan import Step
from onnxlrp.plan.carried_over import Copies


class Reverse:
    """A copy of a body that is walked from the relevance of its outputs to that of its inputs."""

    def __init__(self, context: Context, step: Step, body: Body) -> None:
        self.context, self.step, self.body = context, step, body
        self.graph = body.graph.clone(allow_outer_scope_values=True)
        self.graph.opset_imports.update(context.op.graph.opset_imports)
        self.copies = Copies.of(body.graph, self.graph)
        self.op = context.op.inside(self.graph, f"{step.name}_back")
        self.total: ir.Value | None = None
        """The ledger's sums, [5]."""
        self.conserves = True

    def copied(self, own: ir.Value) -> ir.Value:
        """The copy of a value of the body, or its replacement; a value of the surrounding graph is returned as it
        is."""
        return self.copies.values.get(own, own)

    def replace(self, own: ir.Value, now: ir.Value) -> None:
        """Replace the copy of a value of the body by another value."""
        ir.convenience.replace_all_uses_with(self.copied(own), now, replace_graph_outputs=True)
        self.copies.values[own] = now

    def amounts(self, seeds: Iterable[Amount], wanted: Sequence[ir.Value]) -> list[ir.Value]:
        """The relevance of each wanted value, from that of outputs."""
        context, op = self.context, self.op
        facts = context.facts.of_copy(self.graph, {self.copied(v): v for v in self.body.graph.inputs})
        seeds = [seed for seed in seeds if seed.value in facts.data]
        steps = self.copies.steps(s for s in self.step.inner if s.node.graph is self.body.graph)
        # Relevance of a wanted value is a result, and goes no further upstream.
        steps = [s for s in steps if not any(v in wanted for v in s.outputs)]
        receivers = frozenset({*(v for s in steps for v in s.outputs), *(seed.value for seed in seeds), *wanted})
        rounded = rounded_values(steps, self.graph)
        ledger = LedgerTaps(op, context.dtype) if context.keeps_ledger else None
        inside = dataclasses.replace(
            context, op=op, facts=facts.frozen(), carried=context.dtype, receivers=receivers, rounded=rounded
        )
        inner = Walk(inside, ledger)
        for seed in seeds:
            inner.start(seed)
        inner.run(steps)
        op.label(f"{self.step.name}: {self.step.rule_text}")
        results = [inner.amount(v, context.dtype) for v in wanted]
        if ledger is not None:
            self.total, self.conserves = ledger.total(), not ledger.marked
            ledger.label(results)
        return results

    def finish(self, inputs: Sequence[ir.Value], outputs: Sequence[ir.Value]) -> ir.Graph:
        """The body with these inputs and outputs, without nodes that nobody reads."""
        self.op.assert_inferred()
        # One output may neither be listed twice nor be an input.
        named = [shaped(self.op.alias(v, f"{self.step.name}_back_{i}"), v) for i, v in enumerate(outputs)]
        self.graph.inputs[:], self.graph.outputs[:] = list(inputs), named
        self.graph.sort()
        passes.RemoveUnusedNodesPass()(ir.Model(self.graph, ir_version=10))
        return self.graph

    def append(self, operands: list, attributes: list[ir.Attr], like: Sequence[ir.Value]) -> list[ir.Value]:
        """Put the node of the way back into the graph around; its outputs have the types and shapes of `like`."""
        outs = [ir.val(f"{self.step.name}_back_{i}", type=v.type, shape=v.shape) for i, v in enumerate(like)]
        self.context.op.append(ir.Node("", self.step.node.op_type, operands, attributes, outputs=outs))
        return outs


class Repeated(Reverse):
    """The body of a Loop or Scan, and what the way back carries from step to step: relevance of the states, sums for
    what is captured, and the ledger."""

    def __init__(
        self, context: Context, step: Step, body: Body, arrived: Arrived, captured: Sequence[ir.Value]
    ) -> None:
        super().__init__(context, step, body)
        self.arrived, self.captured = arrived_at(context, arrived), captured
        op, dtype = context.op, context.dtype
        self.states = [state for state in body.states if not context.facts.data.isdisjoint(state[:2])]
        self.carried: list[ir.Value] = []
        self.starts: list[ir.Value] = []
        for k, (_, out, _, result) in enumerate(self.states):
            came = self.arrived.get(result)
            start = op.full_like(step.outputs[result], 0, dtype) if came is None else came
            self._carry(f"r_state_{k}", out.shape, start)
        for k, value in enumerate(captured):
            self._carry(f"r_sum_{k}", value.shape, op.full_like(value, 0, dtype))
        if context.keeps_ledger:
            nothing = op.constant(np.zeros(len(LEDGER_COLUMNS)), dtype)
            self._carry("r_ledger", nothing.shape, nothing)

    def _carry(self, name: str, shape: ir.Shape | None, start: ir.Value) -> None:
        self.carried.append(ir.val(name, self.context.dtype, shape))
        self.starts.append(start)

    def results(self, stacked: Sequence[Amount], slices: Sequence[ir.Value]) -> list[ir.Value]:
        """The outputs of one step back: the relevance of the states, the sums with this step's part added, and the
        relevance of slices. `stacked` is the relevance of the values that the body stacks."""
        seeds = [Amount(self.copied(out), r) for (_, out, _, _), r in zip(self.states, self.carried, strict=False)]
        ends = [*(self.copied(value) for value, *_ in self.states), *self.captured]
        amounts = self.amounts([*seeds, *stacked], [*ends, *slices])
        states, split = len(self.states), len(ends)
        added = [*amounts[states:split], *([] if self.total is None else [self.total])]
        sums = [shaped(self.op.Add(p, a), p) for p, a in zip(self.carried[states:], added, strict=True)]
        return [*amounts[:states], *sums, *amounts[split:]]

    def read_stored(self, results: Sequence[ir.Value], read: Callable[[ir.Value], ir.Value]) -> Sequence[ir.Value]:
        """Let the results read from storage every value that costs more to compute again than to store: `read` gives a
        value of the body as it was in the same step."""
        costly = {copy: own for own, copy in self.copies.values.items() if self._is_costly(own)}

        def computed_from(node: ir.Node) -> Sequence[ir.Value | None]:
            stored = node.graph is not self.graph or not costly.keys().isdisjoint(node.outputs)
            return () if stored else read_by(node)

        needed = {*results, *(v for node in upstream(results, computed_from) for v in computed_from(node))}
        for value in [copy for copy in costly if copy in needed]:
            own = costly[value]
            self.replace(own, read(own))
            results = [self.copied(own) if v is value else v for v in results]
        return results

    def _is_costly(self, value: ir.Value) -> bool:
        node = value.producer()
        if node is None or node.graph is not self.body.graph or not sizes_known(value):
            return False
        entry = find(node)
        return entry is None or not (entry.elementwise or entry.kind in (Kind.ROUTING, Kind.STOP))

    def backward(self, outs: Sequence[ir.Value], slices: Sequence[Amount]) -> Backward:
        """Hand out what the last step back leaves: relevance of initial states, captured values and slices, and the
        ledger."""
        wanted, split = self.context.wanted(self.step), len(self.states)
        starts = [(operand, r) for (_, _, operand, _), r in zip(self.states, outs, strict=False)]
        parts = [Amount(wanted[i], r) for i, r in starts if i in wanted]
        parts += [Amount(v, r) for v, r in zip(self.captured, outs[split:], strict=False)]
        total = outs[split + len(self.captured)] if self.context.keeps_ledger else None
        return Backward([*parts, *slices], lambda: absorbed_inside(self.context, total), self.conserves)


def arrived_at(context: Context, arrived: Arrived) -> dict[int, ir.Value]:
    """The amounts by the outputs' positions."""
    return {i: r.amount(context) for i, r in enumerate(arrived) if r is not None}


def absorbed_inside(context: Context, total: ir.Value | None) -> Absorbed:
    """Take from the ledger's sums the relevance that all steps inside gave to biases and stabilisers, or stopped."""
    op = context.op
    return Absorbed() if total is None else Absorbed(*([op.Gather(total, op.ints_scalar(i))] for i in (2, 3, 4)))


def captured_by(context: Context, step: Step) -> list[ir.Value]:
    """The values of surrounding graphs that the bodies read and that relevance goes to."""
    own = len(step.node.inputs)
    return [v for i, v in step.operands.items() if i >= own and v in context.receivers]


def store(node: ir.Node, graph: ir.Graph, value: ir.Value) -> ir.Value:
    """Let a loop stack one of its body's values, one a step, as one more output."""
    name = f"{node.name}_store_{len(node.outputs)}"
    kept = ir.val(f"{name}_out", type=value.type, shape=value.shape)
    graph.append(ir.node("Identity", [value], outputs=[kept], name=name))
    graph.outputs.append(kept)
    node.resize_outputs(len(node.outputs) + 1)
    stacked = node.outputs[-1]
    stacked.name, stacked.type = f"{name}_stack", value.type
    stacked.shape = None if value.shape is None else ir.Shape([None, *value.shape])
    for attribute in ("scan_output_axes", "scan_output_directions"):  # of a Scan
        if attribute in node.attributes:
            node.attributes[attribute] = ir.AttrInt64s(attribute, [*node.attributes[attribute].as_ints(), 0])
    return stacked
