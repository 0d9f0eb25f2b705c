"""Treatments of DeepLIFT: changes from the baseline in the place of derivatives."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping

import onnx_ir as ir

from onnxlrp.emit.backward import Arrived, Backward, Treat, only
from onnxlrp.emit.context import Context
from onnxlrp.emit.relevance import Amount
from onnxlrp.emit.treatments import routing_step
from onnxlrp.operators.registry import Kind
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
    entry, several = step.entry, len(step.operands) > 1
    if entry.elementwise and (entry.selects_by_value or (entry.linearity == "quotient" and 0 not in step.operands)):
        return _rescaled(context, step, arrived)
    if entry.selects_by_value:
        return _largest(context, step, arrived)
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


def _largest(context: Context, step: Step, arrived: Arrived) -> Backward:
    """A maximum: a rise from the baseline's goes to the winner, a fall to the winner at the baseline; what each gets is
    divided by its change."""
    op, call, g = context.op, context.call(step), only(arrived).amount(context)
    ((index, x),) = step.operands.items()
    y = context.read(step.outputs[0])
    x0, y0 = (op.Expand(_before(context, v), op.shape(v)) for v in (x, step.outputs[0]))
    top = op.Max(y, y0)
    then = dataclasses.replace(call.rebind({index: x0}), outputs=(y0, *call.outputs[1:]))
    risen = step.entry.function(op, call, index, op.Mul(g, op.Sub(top, y0)))
    fallen = step.entry.function(op, then, index, op.Mul(g, op.Sub(y, top)))
    slope = step.entry.function(op, call, index, g)
    return Backward([Amount(x, _over(context, op.Add(risen, fallen), _change(context, x), slope))])


def _rescaled(context: Context, step: Step, arrived: Arrived) -> Backward:
    """An elementwise function: g·Δy/Δx, or g·f′(x) where x does not change."""
    op, call, g = context.op, context.call(step), only(arrived).amount(context)
    ((index, x),), y = step.operands.items(), step.outputs[0]
    if x.shape != y.shape:
        call = call.rebind({index: op.Expand(context.read(x), op.shape(y))})
    change = op.Mul(g, _change(context, y))
    if step.kind is StepKind.RECTIFIER:
        slope = op.Where(op.Greater(context.read(y), 0.0), g, context.zero)
    elif step.kind is StepKind.PASS_THROUGH:
        slope = op.Mul(g, step.entry.function(op, call, index))
    else:
        slope = step.entry.function(op, call, index, g)
    return Backward([Amount(x, op.unbroadcast(_over(context, change, _change(context, x), slope), x))])


def _over(context: Context, change: ir.Value, by: ir.Value, slope: ir.Value) -> ir.Value:
    """Divide a change by the change that it comes from; the slope where that is too small."""
    op, least = context.op, 1e-10 if context.dtype == ir.DataType.DOUBLE else 1e-6
    # The quotient may be no number where it is not taken: another Where would cost a tenth of the way back.
    return op.Where(op.Less(op.Abs(by), least), slope, op.Div(change, by))


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
}
"""The function for each treatment under DeepLIFT; the plan refuses all other kinds."""
