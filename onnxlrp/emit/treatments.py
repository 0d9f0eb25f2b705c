"""One function for each kind of step without layer parameters: it hands on the relevance that arrives."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import onnx_ir as ir

from onnxlrp.emit.backward import (
    NOTHING,
    Absorbed,
    Arrived,
    Backward,
    Tap,
    Treat,
    amounts,
    factor_of,
    from_reversed,
    kept_by_division,
    only,
    share_of,
)
from onnxlrp.emit.context import Context
from onnxlrp.emit.layer_shares import layer
from onnxlrp.emit.offset_activations import offset, slope
from onnxlrp.emit.relevance import Amount, CarrierKind, Factor, Relevance, routed
from onnxlrp.emit.reversed_control import control
from onnxlrp.emit.stabiliser import divide
from onnxlrp.operators.registry import Kind
from onnxlrp.plan import Step, StepKind
from onnxlrp.rules import EVENLY


def _sum(context: Context, step: Step, arrived: Arrived) -> Backward:
    """Linear in all data operands at once: `x · Aᵀ(R / s(z))`; constants absorb their share."""
    op, rule, z, r = context.op, step.rule, step.outputs[0], only(arrived)
    assert rule is not None
    if rule.shares() == EVENLY:
        return _flat_sum(context, step, r)
    call = context.call(step)
    own = step.call.outputs[0] is z and step.call.op_type == step.node.op_type
    value = context.read(z) if own else op.run(call)
    s = r.over(context, value, rule, is_output=own, sign=int(z in context.facts.nonnegative))
    parts = {i: Factor(v, step.entry.function(op, call, i, s), v) for i, v in context.wanted(step).items()}
    absorbed = kept_by_division(context, lambda: r.amount(context), s, lambda: value, rule, masked=True)
    if any(i not in step.operands and _is_float(v) for i, v in enumerate(call.inputs)):
        absorbed += Absorbed(bias=[lambda: share_of(context, s, _without(context, step, step.operands))])
    return Backward(parts, absorbed)


def _without(context: Context, step: Step, operands: Mapping[int, object]) -> ir.Value:
    """What a step computes of its other operands, these being 0."""
    op, call = context.op, context.call(step)
    return op.run(call.rebind({i: op.full_like(call.operand(i), 0) for i in operands}))


def _is_float(value: ir.Value | None) -> bool:
    return value is not None and value.dtype is not None and value.dtype.is_floating_point()


def _flat_sum(context: Context, step: Step, r: Relevance) -> Backward:
    """Upstream of a first layer whose rule ignores the values: evenly over what is summed, `Aᵀ(R / s(A1))`."""
    op, call, entry = context.op, context.call(step), step.entry
    assert step.rule is not None
    if entry.elementwise:
        # A difference counts its operands, it does not cancel them.
        d = op.constant(len(step.operands), context.dtype)
    else:
        d = op.run(call.rebind({i: op.full_like(context.read(v), 1) for i, v in step.operands.items()}))
    s = divide(context, r.amount(context), d, step.rule, 1)
    parts = {
        i: Amount(v, op.unbroadcast(s, v) if entry.elementwise else entry.function(op, call, i, s))
        for i, v in context.wanted(step).items()
    }
    return Backward(parts, Absorbed(epsilon=[lambda: op.Sub(r.amount(context), op.Mul(s, d))]))


def _scale(context: Context, step: Step, arrived: Arrived) -> Backward:
    """One operand times a constant: R as it is; a factor is scaled, which is the same."""
    ((index, operand),) = step.operands.items()
    return Backward({index: _onto(context, step, index, operand, only(arrived))})


def _onto(context: Context, step: Step, index: int, operand: ir.Value, r: Relevance) -> Relevance:
    """All of R for one operand of a product."""
    call = context.call(step)
    return r.to_factor_of(context, operand, lambda c: step.entry.function(context.op, call, index, c))


def _pass(context: Context, step: Step, arrived: Arrived) -> Backward:
    """R as it is, whatever the function; the output of one that keeps the sign, or is cut at 0, is a carrier of it."""
    ((index, operand),) = step.operands.items()
    cut = operand is step.call.input(0) and step.entry.cut_at_zero(step.call)
    kind = CarrierKind.CUT if cut else CarrierKind.SIGN if step.same_sign else None
    return Backward({index: only(arrived).passed(context, operand, kind)})


def _rectifier(context: Context, step: Step, arrived: Arrived) -> Backward:
    """R as it is: a factor of the output goes on as a factor of the input, with the output standing in for it."""
    ((index, operand),) = step.operands.items()
    return Backward({index: only(arrived).rectified(context, operand)})


def _routing(context: Context, step: Step, arrived: Arrived) -> Backward:
    """The transpose of the selection, of amounts and of factors alike."""
    op, entry, call = context.op, step.entry, context.call(step)
    every = entry.per_output
    winners = entry.selects_by_value and entry.pooling and not every
    parts = {
        i: routed(
            context,
            arrived if every else arrived[:1],
            operand,
            lambda r, i=i: entry.function(op, call, i, list(r) if every else r[0]),  # type: ignore[misc]
            in_place=entry.in_place,
            winners=winners,
        )
        for i, operand in context.wanted(step).items()
    }
    if every or entry.kind is not Kind.ROUTING or entry.lookup:
        return Backward(parts)
    constants = [i for i in entry.operands(call) if i not in step.operands]
    return Backward(parts, Absorbed(bias=[_routed_amount(context, step, i, only(arrived)) for i in constants]))


def _routed_amount(context: Context, step: Step, index: int, r: Relevance) -> Tap:
    """What goes to a constant that values are selected from."""
    return lambda: step.entry.function(context.op, context.call(step), index, r.amount(context))


def _product(context: Context, step: Step, arrived: Arrived) -> Backward:
    """A product of data: a gate's signal takes R as it is; shares, and all of a matrix product, go by ε."""
    op, z, entry, r = context.op, step.outputs[0], step.entry, only(arrived)
    call, wanted = context.call(step), context.wanted(step)
    shares = {index: share for index, share in step.shares.items() if index in wanted}
    if entry.elementwise and len(step.shares) == 1:
        return Backward({i: _onto(context, step, i, wanted[i], r.scaled(context, k)) for i, k in shares.items()})
    assert step.rule is not None
    s = r.over(context, context.read(z), step.rule, is_output=True)
    hidden = any(v in context.facts.hidden_rows for v in step.operands.values())
    if hidden:
        # A row that is NaN would take the values along with it.
        s = op.Where(op.IsNaN(context.read(z)), context.zero, s)
    parts = {
        i: Factor(wanted[i], entry.function(op, call, i, s if k == 1 else op.Mul(s, k)), wanted[i])
        for i, k in shares.items()
    }
    absorbed = kept_by_division(
        context, lambda: r.amount(context), s, lambda: context.read(z), step.rule, masked=hidden
    )
    bias = None if entry.layer is None else entry.layer.bias
    if bias is not None and call.input(bias) is not None and bias not in step.operands:
        absorbed += Absorbed(bias=[lambda: share_of(context, s, _without(context, step, step.shares))])
    return Backward(parts, absorbed)


def _custom(context: Context, step: Step, arrived: Arrived) -> Backward:
    """The operator's own reverse."""
    take = _factors if step.entry.factor else _divided if step.entry.divided else _amounts
    taken, kept = take(context, step, arrived if step.entry.per_output else arrived[:1])
    given = taken if step.entry.per_output else taken[0]
    back = from_reversed(context, step, step.entry.function(context.op, context.call(step), given, False))
    return dataclasses.replace(back, absorbed=kept + back.absorbed)


Taken = tuple[list[ir.Value | None], Absorbed]


def _amounts(context: Context, step: Step, arrived: Arrived) -> Taken:
    """R of each output."""
    return amounts(context, arrived), NOTHING


def _factors(context: Context, step: Step, arrived: Arrived) -> Taken:
    """The factor c of each output, with R = output · c; an amount that arrives is divided, by ε."""
    taken: list[ir.Value | None] = []
    kept = NOTHING
    for r in arrived:
        c, own = (None, NOTHING) if r is None else factor_of(context, r, context.composite.norm.epsilon)
        taken.append(c)
        kept += own
    return taken, kept


def _divided(context: Context, step: Step, arrived: Arrived) -> Taken:
    """`R / s(y)` of the first output, R of all others."""
    first, rule = arrived[0], context.composite.norm
    if first is None:
        return amounts(context, arrived), NOTHING
    y = context.read(first.value)
    s = first.over(context, y, rule, is_output=True)
    kept = kept_by_division(context, lambda: first.amount(context), s, lambda: y, rule)
    return [s, *amounts(context, arrived[1:])], kept


def _lookup(context: Context, step: Step, arrived: Arrived) -> Backward:
    """An embedding: summed over its axes, to the ids."""
    ((index, ids),) = step.operands.items()
    amount = only(arrived).amount(context)
    return Backward({index: Amount(ids, step.entry.function(context.op, step.call, index, amount))})


RELEVANCE: Mapping[StepKind, Treat] = {
    StepKind.LAYER: layer,
    StepKind.SUM: _sum,
    StepKind.SCALE: _scale,
    StepKind.ROUTING: _routing,
    StepKind.PASS_THROUGH: _pass,
    StepKind.RECTIFIER: _rectifier,
    StepKind.OFFSET: offset,
    StepKind.SLOPE: slope,
    StepKind.PRODUCT: _product,
    StepKind.CUSTOM: _custom,
    StepKind.CONTROL: control,
    StepKind.LOOKUP: _lookup,
}
"""The function for each treatment under a relevance composite."""
