"""Treatments of gradients: the walk of relevance with true derivatives in the place of rules."""

from __future__ import annotations

from collections.abc import Mapping

from onnxlrp.analysis.reach import is_lookup
from onnxlrp.emit.backward import Arrived, Backward, Treat, only
from onnxlrp.emit.context import Context
from onnxlrp.emit.relevance import Amount
from onnxlrp.emit.reversed_control import control
from onnxlrp.emit.treatments import custom_step, routing_step
from onnxlrp.plan import Step, StepKind


def _transpose(context: Context, step: Step, arrived: Arrived) -> Backward:
    """Apply the transpose of a linear or routing operator in each data operand."""
    if not context.composite.times_input or not is_lookup(step.node, step.operands):
        return routing_step(context, step, arrived)
    y = step.outputs[0]
    product = Amount(y, context.op.Mul(only(arrived).amount(context), context.read(y)))
    return Backward([], products=routing_step(context, step, [product]).parts)


def _derivative(context: Context, step: Step, arrived: Arrived) -> Backward:
    """Multiply the gradient g of an elementwise function's output by the function's derivative: g·f′."""
    op, call, g = context.op, context.call(step), only(arrived).amount(context)
    wanted = context.wanted(step).items()
    return Backward([Amount(v, op.unbroadcast(op.Mul(g, step.entry.function(op, call, i)), v)) for i, v in wanted])


def _rectifier(context: Context, step: Step, arrived: Arrived) -> Backward:
    """Multiply the gradient of a ReLU's output by its derivative, or by what the composite puts in its place."""
    op, g, kind = context.op, only(arrived).amount(context), context.composite.rectifier
    (operand,) = step.operands.values()
    if kind == "smooth":
        g = op.Mul(g, op.Sigmoid(op.Mul(context.read(operand), 10.0)))
    if kind in ("deconvnet", "guided"):
        g = op.Relu(g)
    if kind not in ("deconvnet", "smooth"):
        g = op.Where(op.Greater(context.read(step.outputs[0]), 0.0), g, context.zero)
    return Backward([Amount(operand, g)])


GRADIENT: Mapping[StepKind, Treat] = {
    StepKind.ROUTING: _transpose,
    StepKind.PASS_THROUGH: _derivative,
    StepKind.RECTIFIER: _rectifier,
    StepKind.CUSTOM: custom_step,
    StepKind.CONTROL: control,
}
"""The function for each treatment under a gradient composite."""
