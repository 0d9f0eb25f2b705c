"""Treatments of DeepLIFT: changes from the baseline in the place of derivatives."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping

import onnx_ir as ir

from onnxlrp.emit.backward import Arrived, Backward, Treat, only
from onnxlrp.emit.context import Context
from onnxlrp.emit.relevance import Amount
from onnxlrp.emit.treatments import routing_step
from onnxlrp.graph.call import Call
from onnxlrp.operators.changes import over_change, over_own_change, quotient_change
from onnxlrp.operators.registry import Kind
from onnxlrp.operators.reverse_builder import ReverseBuilder
from onnxlrp.plan import Step, StepKind


def compared_values(steps: Iterable[Step]) -> Iterator[ir.Value]:
    """Yield the values whose change or baseline a step asks for; steps that are linear in their operands ask none."""
    for step in steps:
        entry, one = step.entry, len(step.operands) == 1
        linear = entry.moves or (entry.kind is Kind.LINEAR and (one or entry.linearity == "sum"))
        if not linear or entry.linearity == "quotient":
            yield from (*step.operands.values(), *step.outputs)


def _moved(context: Context, step: Step, arrived: Arrived) -> Backward:
    """Apply the transpose of a linear or routing operator, or what stands in for it where the operator is not linear in
    what changes."""
    entry, several, quotient = step.entry, len(step.operands) > 1, step.entry.linearity == "quotient"
    if entry.elementwise and not several and (entry.selects_by_value or (quotient and 0 not in step.operands)):
        return _rescaled(context, step, arrived)
    if entry.selects_by_value:
        return _extreme(context, step, arrived)
    if quotient and several:
        return _given(context, step, quotient_change(*_points(context, step), only(arrived).amount(context)))
    if entry.kind is Kind.LINEAR and several and entry.linearity != "sum":
        return _product(context, step, arrived)
    return routing_step(context, step, arrived)


def _product(context: Context, step: Step, arrived: Arrived) -> Backward:
    """Share out a product: each operand takes the transpose with the mean of the other and the other's baseline, which
    is exact, `Δ(a·b) = Δa·(b + b₀)/2 + Δb·(a + a₀)/2`."""
    op, call, g = context.op, context.call(step), only(arrived).amount(context)
    means = {i: op.Mul(op.Add(context.read(v), _before(context, v)), 0.5) for i, v in step.operands.items()}
    parts = []
    for index, operand in context.wanted(step).items():
        others = {i: v for i, v in means.items() if i != index}
        parts.append(Amount(operand, step.entry.function(op, call.rebind(others), index, g)))
    return Backward(parts)


def _extreme(context: Context, step: Step, arrived: Arrived) -> Backward:
    """A maximum: a rise from the baseline's goes to the winner, a fall to the winner at the baseline; what each gets is
    divided by its change. A minimum has it the other way round."""
    op, call, g = context.op, context.call(step), only(arrived).amount(context)
    y, least = context.read(step.outputs[0]), step.entry.op_type in ("Min", "ReduceMin")
    y0 = op.Expand(_before(context, step.outputs[0]), op.shape(step.outputs[0]))
    outside = op.Min(y, y0) if least else op.Max(y, y0)
    starts = {i: _before(context, v) for i, v in step.operands.items()}
    # A pool of one sample at the baseline is computed as a session is created; others need the sizes of their output.
    if step.entry.op_type != "MaxPool":
        starts = {i: op.Expand(v, op.shape(step.operands[i])) for i, v in starts.items()}
    then = dataclasses.replace(call.rebind(starts), outputs=(y0, *call.outputs[1:]))
    to_now, to_then = op.Mul(g, op.Sub(outside, y0)), op.Mul(g, op.Sub(y, outside))
    parts = []
    for index, x in context.wanted(step).items():
        moved = (step.entry.function(op, c, index, r) for c, r in ((call, to_now), (then, to_then)))
        parts.append(Amount(x, over_own_change(op, op.Add(*moved), _change(context, x))))
    return Backward(parts)


def _custom(context: Context, step: Step, arrived: Arrived) -> Backward:
    """Call the function that the operator has for its multipliers."""
    entry, given = step.entry, [None if r is None else r.amount(context) for r in arrived]
    assert entry.multiplier is not None
    g = given if entry.per_output else only(arrived).amount(context)
    return _given(context, step, entry.multiplier(*_points(context, step), g))


def _points(context: Context, step: Step) -> tuple[ReverseBuilder, Call, Call]:
    """The builder, and a step's call at the input and at the baseline."""
    call = context.call(step)
    starts = {i: context.baseline[v] for i, v in enumerate(step.call.inputs) if v is not None and v in context.baseline}
    floats = {i: context.read(v) if context.is_float(v) else v for i, v in starts.items()}
    outputs = tuple(_before(context, v) for v in step.call.outputs)
    return context.op, call, dataclasses.replace(call.rebind(floats), outputs=outputs)


def _given(context: Context, step: Step, multipliers: Mapping[int, ir.Value]) -> Backward:
    return Backward([Amount(v, multipliers[i]) for i, v in context.wanted(step).items() if i in multipliers])


def _rescaled(context: Context, step: Step, arrived: Arrived) -> Backward:
    """An elementwise function: g·Δy/Δx, or g·f′(x) where x does not change. A ReLU or a bound passes nothing there."""
    op, call, g = context.op, context.call(step), only(arrived).amount(context)
    ((index, x),), y = step.operands.items(), step.outputs[0]
    if step.kind is StepKind.RECTIFIER or step.entry.selects_by_value or step.entry.op_type == "Clip":
        ratio = over_own_change(op, _change(context, y), _change(context, x))
        return Backward([Amount(x, op.unbroadcast(op.Mul(g, ratio), x))])
    if x.shape != y.shape:
        call = call.rebind({index: op.Expand(context.read(x), op.shape(y))})
    change = op.Mul(g, _change(context, y))
    if step.kind is StepKind.PASS_THROUGH:
        slope = op.Mul(g, step.entry.function(op, call, index))
    else:
        slope = step.entry.function(op, call, index, g)
    return Backward([Amount(x, op.unbroadcast(over_change(op, change, _change(context, x), slope), x))])


def _change(context: Context, value: ir.Value) -> ir.Value:
    """The change of a value from that at the baseline."""
    return context.op.Sub(context.read(value), _before(context, value))


def _before(context: Context, value: ir.Value) -> ir.Value:
    """A value at the baseline; the value itself where it does not depend on the inputs."""
    return context.read(context.baseline.get(value, value))


RESCALED: Mapping[StepKind, Treat] = {
    StepKind.ROUTING: _moved,
    StepKind.PASS_THROUGH: _rescaled,
    StepKind.RECTIFIER: _rescaled,
    StepKind.CUSTOM: _custom,
}
"""The function for each treatment under DeepLIFT; the plan refuses all other kinds."""
