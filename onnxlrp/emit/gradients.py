"""The same walk with true derivatives: what each kind of step does with a gradient."""

from __future__ import annotations

from collections.abc import Mapping

from onnxlrp.analysis.reach import is_lookup
from onnxlrp.emit.backward import Arrived, Backward, Treat, amounts, from_reversed, only
from onnxlrp.emit.context import Context
from onnxlrp.emit.relevance import Amount
from onnxlrp.emit.reversed_control import control
from onnxlrp.plan import Step, StepKind


def _transpose(context: Context, step: Step, arrived: Arrived) -> Backward:
    """Linear and routing operators: the transpose in each data operand."""
    op, entry, call = context.op, step.entry, context.call(step)
    g = amounts(context, arrived)
    multiplied = context.composite.times_input and is_lookup(step.node, step.operands)
    if multiplied:
        g = [None if v is None else op.Mul(v, context.read(y)) for v, y in zip(g, step.outputs, strict=True)]
    parts = {
        i: Amount(v, entry.function(op, call, i, g if entry.per_output else g[0]))
        for i, v in context.wanted(step).items()
    }
    return Backward({}, products=parts) if multiplied else Backward(parts)


def _derivative(context: Context, step: Step, arrived: Arrived) -> Backward:
    """Elementwise functions: g·f′."""
    op, call, g = context.op, context.call(step), only(arrived).amount(context)
    return Backward(
        {
            i: Amount(v, op.unbroadcast(op.Mul(g, step.entry.function(op, call, i)), v))
            for i, v in context.wanted(step).items()
        }
    )


def _rectifier(context: Context, step: Step, arrived: Arrived) -> Backward:
    """ReLU, or what the composite makes of it."""
    op, g, kind = context.op, only(arrived).amount(context), context.composite.rectifier
    ((index, operand),) = step.operands.items()
    if kind == "smooth":
        g = op.Mul(g, op.Sigmoid(op.Mul(context.read(operand), 10.0)))
    if kind in ("deconvnet", "guided"):
        g = op.Relu(g)
    if kind not in ("deconvnet", "smooth"):
        g = op.Where(op.Greater(context.read(step.outputs[0]), 0.0), g, context.zero)
    return Backward({index: Amount(operand, g)})


def _custom(context: Context, step: Step, arrived: Arrived) -> Backward:
    """The operator's own derivative."""
    g = amounts(context, arrived)
    given = g if step.entry.per_output else g[0]
    return from_reversed(context, step, step.entry.function(context.op, context.call(step), given, True))


GRADIENT: Mapping[StepKind, Treat] = {
    StepKind.ROUTING: _transpose,
    StepKind.PASS_THROUGH: _derivative,
    StepKind.RECTIFIER: _rectifier,
    StepKind.CUSTOM: _custom,
    StepKind.CONTROL: control,
}
"""The function for each treatment under a gradient composite."""
