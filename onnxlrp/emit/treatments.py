"""One function for each kind of step without layer parameters: it hands on the relevance that arrives."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import onnx_ir as ir

from onnxlrp.emit.layer_shares import layer
from onnxlrp.emit.offset_activations import offset, slope
from onnxlrp.emit.relevance import Stand, Won
from onnxlrp.emit.reversed_control import control
from onnxlrp.emit.stabilised_division import divide, ratio
from onnxlrp.emit.walk import Treat, Walk
from onnxlrp.operators.registry import Kind
from onnxlrp.plan import Step, StepKind
from onnxlrp.rule_language import EVENLY


def _output(step: Step) -> ir.Value:
    return step.outputs[0]


def _sum(walk: Walk, step: Step) -> None:
    """Linear in all data operands at once: `x · Aᵀ(R / s(z))`; constants absorb their share."""
    op, rule, z = walk.op, step.rule, _output(step)
    assert rule is not None
    if rule.shares() == EVENLY:
        _flat_sum(walk, step)
        return
    own = step.call.outputs[0] is z and step.call.op_type == step.node.op_type
    value = walk.read(z) if own else op.run(walk.call(step))
    s = ratio(walk, z, value, rule, own=own, sign=1 if z in walk.facts.nonnegative else 0)
    call = walk.call(step)
    for index, operand in step.operands.items():
        if walk.wants(operand):
            walk.send(operand, step.entry.function(op, call, index, s), operand)
    if walk.ledger is not None:
        r = walk.amount(z)
        if rule.epsilon == 0 and rule.relative == 0:
            dropped = op.Equal(value, 0.0)
            walk.ledger.stopped(step, op.Where(dropped, r, op.constant(0, walk.dtype)))
            r = op.Where(dropped, op.constant(0, walk.dtype), r)
        # No relevance arrives where a mask adds −∞, and 0 · ∞ is no number.
        nothing, zero = op.Equal(s, 0.0), op.constant(0, walk.dtype)
        walk.ledger.epsilon(step, op.Sub(r, op.Where(nothing, zero, op.Mul(s, value))))
        if any(i not in step.operands and _is_float(v) for i, v in enumerate(call.inputs)):
            shift = op.run(call.rebind({i: op.full_like(walk.read(v), 0) for i, v in step.operands.items()}))
            walk.ledger.bias(step, op.Where(nothing, zero, op.Mul(s, shift)))


def _is_float(value: ir.Value | None) -> bool:
    return value is not None and value.dtype is not None and value.dtype.is_floating_point()


def _flat_sum(walk: Walk, step: Step) -> None:
    """Before a first layer whose rule ignores the values: evenly over what is summed, `Aᵀ(R / s(A1))`."""
    op, z, call = walk.op, _output(step), walk.call(step)
    assert step.rule is not None
    if step.entry.elementwise:
        # A difference counts its operands, it does not cancel them.
        d = op.constant(len(step.operands), walk.dtype)
    else:
        d = op.run(call.rebind({i: op.full_like(walk.read(v), 1) for i, v in step.operands.items()}))
    s = divide(walk, walk.amount(z), d, step.rule, 1)
    for index, operand in step.operands.items():
        if walk.wants(operand):
            elementwise = step.entry.elementwise
            walk.send(operand, op.unbroadcast(s, operand) if elementwise else step.entry.function(op, call, index, s))
    if walk.ledger is not None:
        walk.ledger.epsilon(step, op.Sub(walk.amount(z), op.Mul(s, d)))


def _scale(walk: Walk, step: Step) -> None:
    """One operand times a constant: R as it is; a factor is scaled, which is the same."""
    ((index, operand),) = step.operands.items()
    z = _output(step)
    if walk.carrier(z) is z:
        walk.send(operand, step.entry.function(walk.op, walk.call(step), index, walk.factor(z)), operand)
    else:
        walk.send(operand, walk.op.unbroadcast(walk.amount(z), operand))


def _pass(walk: Walk, step: Step) -> None:
    """R as it is, whatever the function. Of one that keeps the sign, or is cut at 0, a factor goes on, with the output
    standing in."""
    ((_, operand),) = step.operands.items()
    y = _output(step)
    cut = operand is step.call.input(0) and step.entry.cut_at_zero(step.call)
    if walk.carrier(y) is y and (cut or step.same_sign):
        walk.send(operand, walk.factor(y), y, Stand.CUT if cut else Stand.SIGN)
    else:
        walk.send(operand, walk.op.unbroadcast(walk.amount(y), operand))


def _rectifier(walk: Walk, step: Step) -> None:
    """R as it is: a factor of the output goes on as a factor of the input, with the output standing in for it."""
    ((_, operand),) = step.operands.items()
    y = _output(step)
    carrier, stand = walk.carrier(y), walk.stand(y)
    if carrier is None:
        walk.send(operand, walk.amount(y))
    else:
        equal = stand in (Stand.ITSELF, Stand.RECTIFIED)
        walk.send(operand, walk.factor(y), carrier, Stand.RECTIFIED if equal else Stand.CUT, walk.won(y))


def _routing(walk: Walk, step: Step) -> None:
    """The transpose of the selection, of amounts and of factors alike."""
    op, entry = walk.op, step.entry
    call = walk.call(step)
    stand_in = walk.carrier(_output(step)) if entry.in_place else None
    stands = stand_in is not None and stand_in is not _output(step)
    as_factor = stands or all(walk.carrier(v) is v for v in step.outputs if v in walk.relevance)
    arrived = walk.arrived(step, as_factor=as_factor)
    for index, operand in step.operands.items():
        if not walk.wants(operand):
            continue
        back = entry.function(op, call, index, arrived)
        if stands and stand_in is not None:
            carrier = entry.function(op, call, index, walk.read(stand_in))
            if stand_in in walk.facts.maybe_infinite:
                walk.facts.maybe_infinite.add(carrier)
            walk.send(operand, back, carrier, walk.relevance[_output(step)].stand)
        elif as_factor and entry.selects_by_value and entry.pooling and isinstance(arrived, ir.Value):
            won = Won(arrived, _output(step), functools.partial(entry.function, op, call, index))
            walk.send(operand, back, operand, won=won)
        else:
            walk.send(operand, back, operand if as_factor else None)
    if walk.ledger is not None and not entry.per_output:
        amount = walk.amount(_output(step))
        for index in entry.operands(call):
            if index not in step.operands and entry.kind is Kind.ROUTING and not entry.lookup:
                walk.ledger.bias(step, entry.function(op, call, index, amount))


def _product(walk: Walk, step: Step) -> None:
    """A product of data: a gate's signal takes R as it is; shares, and all of a matrix product, go by ε."""
    op, z, entry = walk.op, _output(step), step.entry
    call = walk.call(step)
    assert step.rule is not None
    if entry.elementwise and len(step.shares) == 1:
        as_factor = walk.carrier(z) is z
        r = walk.factor(z) if as_factor else walk.amount(z)
    else:
        as_factor = True
        r = ratio(walk, z, walk.read(z), step.rule, own=True)
        if any(v in walk.facts.hidden_rows for v in step.operands.values()):
            # A row that is NaN would take the values along with it.
            r = op.Where(op.IsNaN(walk.read(z)), op.constant(0, walk.dtype), r)
        if walk.ledger is not None:
            walk.ledger.epsilon(step, op.Sub(walk.amount(z), op.Mul(r, walk.read(z))))
            bias = None if entry.layer is None or entry.layer.bias is None else call.input(entry.layer.bias)
            if bias is not None and entry.layer is not None and entry.layer.bias not in step.operands:
                nothing = {i: op.full_like(call.operand(i), 0) for i in step.shares}
                walk.ledger.bias(step, op.Mul(r, op.run(call.rebind(nothing))))
    for index, share in step.shares.items():
        operand = step.operands[index]
        if not walk.wants(operand):
            continue
        part = r if share == 1 else op.Mul(r, share)
        if as_factor:
            walk.send(operand, entry.function(op, call, index, part), operand)
        else:
            walk.send(operand, op.unbroadcast(part, operand))


def _custom(walk: Walk, step: Step) -> None:
    """The operator's own reverse."""
    arrives = _factors if step.entry.factor else _divided if step.entry.divided else Walk.arrived
    back = step.entry.function(walk.op, walk.call(step), arrives(walk, step), False)
    for index, factor in back.factors.items():
        if index in step.operands and walk.wants(step.operands[index]):
            walk.send(step.operands[index], factor, step.operands[index])
    for index, amount in back.amounts.items():
        if index in step.operands and walk.wants(step.operands[index]):
            walk.send(step.operands[index], amount)
        elif index not in step.operands and walk.ledger is not None:
            # A constant's share: of a recurrent operator's initial state, say.
            walk.ledger.bias(step, amount)
    if walk.ledger is not None:
        if back.epsilon is not None:
            walk.ledger.epsilon(step, back.epsilon)
        if back.bias is not None:
            walk.ledger.bias(step, back.bias)
        if not back.conserves:
            walk.ledger.mark(step)


def _factors(walk: Walk, step: Step) -> ir.Value | list[ir.Value | None]:
    """The factor c of each output, with R = output · c; an amount that arrives is divided, by ε."""
    op = walk.op
    factors: list[ir.Value | None] = []
    for y in step.outputs:
        if y not in walk.relevance:
            factors.append(None)
        elif walk.carrier(y) is y:
            factors.append(walk.factor(y))
        else:
            c = op.Div(walk.amount(y), op.stabilise(walk.read(y)))
            if walk.ledger is not None:
                walk.ledger.epsilon(step, op.Sub(walk.amount(y), op.Mul(c, walk.read(y))))
            factors.append(c)
    if step.entry.per_output:
        return factors
    assert factors[0] is not None
    return factors[0]


def _divided(walk: Walk, step: Step) -> ir.Value | list[ir.Value | None] | None:
    """`R / s(y)` of the first output, R of all others."""
    y, first = _output(step), None
    if y in walk.relevance:
        value = walk.read(y)
        first = ratio(walk, y, value, walk.composite.norm, own=True)
        if walk.ledger is not None:
            walk.ledger.epsilon(step, walk.op.Sub(walk.amount(y), walk.op.Mul(first, value)))
    if not step.entry.per_output:
        return first
    return [first, *(walk.amount(v) if v in walk.relevance else None for v in step.outputs[1:])]


def _lookup(walk: Walk, step: Step) -> None:
    """An embedding: summed over its axes, to the ids."""
    ((index, ids),) = step.operands.items()
    walk.send(ids, step.entry.function(walk.op, step.call, index, walk.amount(_output(step))))


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
