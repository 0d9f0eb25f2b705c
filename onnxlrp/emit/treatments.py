"""One function for each kind of step without layer parameters: it hands on the relevance that arrives."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import onnx_ir as ir

from onnxlrp.emit import backward
from onnxlrp.emit.backward import Absorbed, Arrived, Backward, Treat, kept_by_division, only
from onnxlrp.emit.context import Context
from onnxlrp.emit.layer_shares import layer
from onnxlrp.emit.offset_activations import offset, slope
from onnxlrp.emit.relevance import Amount, CarrierKind, Factor, Relevance, routed
from onnxlrp.emit.reversed_control import control
from onnxlrp.emit.stabiliser import divide
from onnxlrp.operators.registry import Kind
from onnxlrp.plan import Step, StepKind
from onnxlrp.rule_language import EVENLY


def _sum(context: Context, step: Step, arrived: Arrived) -> Backward:
    """Share the relevance of an output z = A·x, linear in all data operands at once: `x · Aᵀ(R / s(z))`. Constants
    absorb their share."""
    op, rule, z, r = context.op, step.rule, step.outputs[0], only(arrived)
    assert rule is not None
    r = r.undivided() if step.exact else r
    if rule.shares() == EVENLY:
        return _flat_sum(context, step, r)
    call = context.call(step)
    own = step.call.outputs[0] is z and step.call.op_type == step.node.op_type
    value = context.read(z) if own else op.run(call)
    sign = int(z in context.facts.nonnegative)
    s = r.over_output(context, value, rule) if own else r.over(context, value, rule, sign)
    s = context.where_known(z, s) if own else s
    parts = [Factor(v, step.entry.function(op, call, i, s), v) for i, v in context.wanted(step).items()]

    def absorbed() -> Absorbed:
        # No relevance arrives where a mask adds −∞, and 0 · ∞ is no number.
        nothing, zero = op.Equal(s, 0.0), context.zero
        kept = kept_by_division(context, r.amount(context), s, op.Where(nothing, zero, value), rule)
        if not any(i not in step.operands and context.is_float(v) for i, v in enumerate(call.inputs)):
            return kept
        return kept + Absorbed([op.Mul(s, op.Where(nothing, zero, _without(context, step, step.operands)))])

    return Backward(parts, absorbed)


def _without(context: Context, step: Step, operands: Mapping[int, object]) -> ir.Value:
    """Run a step with 0 in the place of some operands."""
    op, call = context.op, context.call(step)
    return op.run(call.rebind({i: op.full_like(call.operand(i), 0) for i in operands}))


def _flat_sum(context: Context, step: Step, r: Relevance) -> Backward:
    """Share R out evenly over the operands of a sum, `Aᵀ(R / s(A1))`, upstream of a first layer whose rule ignores the
    values."""
    op, call, entry = context.op, context.call(step), step.entry
    assert step.rule is not None
    if entry.elementwise:
        # A difference counts its operands, it does not cancel them.
        d = op.constant(len(step.operands), context.dtype)
    else:
        d = op.run(call.rebind({i: op.full_like(context.read(v), 1) for i, v in step.operands.items()}))
    s = divide(context, r.amount(context), d, step.rule, 1)
    parts = [
        Amount(v, op.unbroadcast(s, v) if entry.elementwise else entry.function(op, call, i, s))
        for i, v in context.wanted(step).items()
    ]
    return Backward(parts, lambda: Absorbed(epsilon=[op.Sub(r.amount(context), op.Mul(s, d))]))


def _scale(context: Context, step: Step, arrived: Arrived) -> Backward:
    """Pass all of R on through a product with a constant, or to the signal of a gate; a factor is scaled, which is the
    same."""
    op, call, r, receivers = context.op, context.call(step), only(arrived), step.shares or step.operands
    back = step.entry.function
    return Backward([r.to_multiple(context, step.operands[i], lambda c: back(op, call, i, c)) for i in receivers])


def _pass(context: Context, step: Step, arrived: Arrived) -> Backward:
    """Pass all of R on, whatever the function; the output of one that keeps the sign, or is cut at 0, is a carrier of
    R."""
    if context.exact_factors and step.function is not None:
        return offset(context, step, arrived)
    (operand,) = step.operands.values()
    cut = operand is step.call.input(0) and step.entry.sign_of(step.call) == "rectified"
    kind = CarrierKind.CUT if cut else CarrierKind.SIGN if step.same_sign else None
    return Backward([only(arrived).passed(context, operand, kind)])


def _rectifier(context: Context, step: Step, arrived: Arrived) -> Backward:
    """Pass all of R on: a factor of a ReLU's output becomes a factor of its input, with the output as the carrier."""
    (operand,) = step.operands.values()
    return Backward([only(arrived).rectified(context, operand)])


def routing_step(context: Context, step: Step, arrived: Arrived) -> Backward:
    """Apply the transpose of a selection, to amounts and to factors alike."""
    op, entry, call = context.op, step.entry, context.call(step)
    every = entry.per_output
    winners = entry.selection == "window" and not every
    parts = [
        routed(
            context,
            arrived if every else arrived[:1],
            operand,
            lambda r, i=i: entry.function(op, call, i, list(r) if every else r[0]),  # type: ignore[misc]
            in_place=entry.selection == "in place",
            winners=winners,
        )
        for i, operand in context.wanted(step).items()
    ]
    if every or entry.kind is not Kind.ROUTING or entry.lookup:
        return Backward(parts)

    def to_constants() -> Absorbed:
        r, constants = only(arrived).amount(context), [i for i in entry.operands(call) if i not in step.operands]
        return Absorbed([entry.function(op, call, i, r) for i in constants])

    return Backward(parts, to_constants)


def _product(context: Context, step: Step, arrived: Arrived) -> Backward:
    """Share out the relevance of a product of data. The signal of a gate takes all of R; operands with shares of their
    own, and those of a matrix product, take it by the ε rule."""
    op, z, entry, r = context.op, step.outputs[0], step.entry, only(arrived)
    if entry.elementwise and len(step.shares) == 1:
        return _scale(context, step, arrived)
    assert step.rule is not None
    call, wanted = context.call(step), context.wanted(step)
    rule, value, bias = step.rule, context.read(z), None if entry.layer is None else entry.layer.bias
    s = r.over_output(context, value, rule)
    if any(v in context.facts.hidden_rows for v in step.operands.values()):
        # A row that is NaN would take the values along with it.
        s, value = (op.Where(op.IsNaN(context.read(z)), context.zero, v) for v in (s, value))
    parts = [
        Factor(wanted[i], entry.function(op, call, i, s if k == 1 else op.Mul(s, k)), wanted[i])
        for i, k in step.shares.items()
        if i in wanted
    ]

    def absorbed() -> Absorbed:
        kept = kept_by_division(context, r.amount(context), s, value, rule)
        shifts = bias is not None and call.input(bias) is not None and bias not in step.operands
        return kept + Absorbed([op.Mul(s, _without(context, step, step.shares))] if shifts else [])

    return Backward(parts, absorbed)


def custom_step(context: Context, step: Step, arrived: Arrived) -> Backward:
    """Call the operator's own reverse with R, with the factor c of R = output · c, or with `R / s(y)` of its first
    output y, as its entry asks. Under a gradient call its derivative with the gradient, which is an amount."""
    entry, gradient = step.entry, context.composite.seed == "gradient"
    norm = context.composite.stabilised(context.composite.norm)
    form = "amount" if gradient else entry.receives

    def take(r: Relevance) -> ir.Value:
        if form == "factor":
            return backward.factor_of(context, r, norm.epsilon)
        divided = form == "ratio" and r is arrived[0]
        return r.over_output(context, context.read(r.value), norm) if divided else r.amount(context)

    taken = {r: take(r) for r in (arrived if entry.per_output else arrived[:1]) if r is not None}
    given = [None if r is None else taken[r] for r in arrived] if entry.per_output else taken[only(arrived)]
    back = backward.from_reversed(context, step, entry.function(context.op, context.call(step), given, gradient))

    def absorbed() -> Absorbed:
        kept = back.absorbed()
        for r, s in taken.items():
            if form == "factor":
                kept += backward.lost_by(context, r, s)
            elif form == "ratio" and r is arrived[0]:
                kept += kept_by_division(context, r.amount(context), s, context.read(r.value), norm)
        return kept

    return dataclasses.replace(back, absorbed=absorbed)


def _lookup(context: Context, step: Step, arrived: Arrived) -> Backward:
    """Sum the relevance of an embedding over its axes, and send it to the ids."""
    ((index, ids),) = step.operands.items()
    amount = only(arrived).amount(context)
    return Backward([Amount(ids, step.entry.function(context.op, step.call, index, amount))])


RELEVANCE: Mapping[StepKind, Treat] = {
    StepKind.LAYER: layer,
    StepKind.SUM: _sum,
    StepKind.SCALE: _scale,
    StepKind.ROUTING: routing_step,
    StepKind.PASS_THROUGH: _pass,
    StepKind.RECTIFIER: _rectifier,
    StepKind.OFFSET: offset,
    StepKind.SLOPE: slope,
    StepKind.PRODUCT: _product,
    StepKind.CUSTOM: custom_step,
    StepKind.CONTROL: control,
    StepKind.LOOKUP: _lookup,
}
"""The function for each treatment under a relevance composite."""
