"""The same walk with true derivatives: what each kind of step does with a gradient."""

from __future__ import annotations

from collections.abc import Mapping

from onnxlrp.analysis.reach import is_lookup
from onnxlrp.emit.reversed_control import control
from onnxlrp.emit.walk import Treat, Walk
from onnxlrp.plan import Step, StepKind


def _transpose(walk: Walk, step: Step) -> None:
    """Linear and routing operators: the transpose in each data operand."""
    g = walk.arrived(step)
    for index, operand in step.operands.items():
        if not walk.wants(operand):
            continue
        if walk.composite.times_input and is_lookup(step.node, step.operands):
            product = walk.op.Mul(g, walk.read(step.outputs[0]))
            walk.embedded.append((operand, step.entry.function(walk.op, walk.call(step), index, product)))
        else:
            walk.send(operand, step.entry.function(walk.op, walk.call(step), index, g))


def _derivative(walk: Walk, step: Step) -> None:
    """Elementwise functions: g·f′."""
    op, g = walk.op, walk.amount(step.outputs[0])
    for index, operand in step.operands.items():
        if walk.wants(operand):
            walk.send(operand, op.unbroadcast(op.Mul(g, step.entry.function(op, walk.call(step), index)), operand))


def _rectifier(walk: Walk, step: Step) -> None:
    """ReLU, or what the composite makes of it."""
    op, g = walk.op, walk.amount(step.outputs[0])
    (operand,) = step.operands.values()
    y = walk.read(step.outputs[0])
    zero = op.constant(0, walk.dtype)
    kind = walk.composite.rectifier
    if kind == "smooth":
        walk.send(operand, op.Mul(g, op.Sigmoid(op.Mul(walk.read(operand), 10.0))))
        return
    if kind in ("deconvnet", "guided"):
        g = op.Relu(g)
    walk.send(operand, g if kind == "deconvnet" else op.Where(op.Greater(y, 0.0), g, zero))


def _custom(walk: Walk, step: Step) -> None:
    """The operator's own derivative."""
    back = step.entry.function(walk.op, walk.call(step), walk.arrived(step), True)
    for index, amount in back.amounts.items():
        if index in step.operands and walk.wants(step.operands[index]):
            walk.send(step.operands[index], amount)


GRADIENT: Mapping[StepKind, Treat] = {
    StepKind.ROUTING: _transpose,
    StepKind.PASS_THROUGH: _derivative,
    StepKind.RECTIFIER: _rectifier,
    StepKind.CUSTOM: _custom,
    StepKind.CONTROL: control,
}
"""The function for each treatment under a gradient composite."""
