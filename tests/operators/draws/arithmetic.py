"""Operators of several operands that broadcast against each other."""

from __future__ import annotations

import numpy as np
from hypothesis.strategies import DrawFn

from tests.operators.case import Case, broadcasts, distinct
from tests.operators.draws.common import dims, draws, normal, pick, random


def operands_of(draw: DrawFn, count: int) -> list[tuple[int, ...]]:
    """Shapes that broadcast to one."""
    shape = dims(draw)
    return [pick(draw, shape, *broadcasts(shape)) for _ in range(count)]


def data_of(draw: DrawFn, count: int) -> tuple[int, ...]:
    """Which operands are data: one, or all."""
    return pick(draw, tuple(range(count)), (0,), (count - 1,))


@draws("Add", "Sub", "Mul")
def two(draw: DrawFn, op: str) -> Case:
    return Case(op, [normal(draw, s) + i for i, s in enumerate(operands_of(draw, 2))], data=data_of(draw, 2))


@draws("Sum", "Mean")
def several(draw: DrawFn, op: str) -> Case:
    count = pick(draw, 1, 2, 3)
    return Case(op, [normal(draw, s) for s in operands_of(draw, count)], data=data_of(draw, count))


@draws("Max", "Min")
def extreme(draw: DrawFn, op: str) -> Case:
    """No two operands hold numbers that are close."""
    count = pick(draw, 1, 2, 3)
    shapes = operands_of(draw, count)
    operands = [distinct(random(draw), s) + 0.3 * i for i, s in enumerate(shapes)]
    return Case(op, operands, data=data_of(draw, count), step=1e-3)


@draws("Div")
def div(draw: DrawFn, op: str) -> Case:
    """The numerator linear, the denominator not; no denominator is near 0."""
    a, b = operands_of(draw, 2)
    denominator = normal(draw, b)
    data = pick(draw, (0,), (1,), (0, 1))
    step, tolerance = (1.0, 1e-9) if data == (0,) else (1e-5, 1e-7)
    return Case(
        op, [normal(draw, a), denominator + 2 * np.sign(denominator)], data=data, step=step, tolerance=tolerance
    )


@draws("Neg")
def neg(draw: DrawFn, op: str) -> Case:
    return Case(op, [normal(draw, dims(draw))])


@draws("Pow")
def power(draw: DrawFn, op: str) -> Case:
    """A base of any sign under an integer exponent, else a positive one."""
    a, b = operands_of(draw, 2)
    kind = pick(draw, "square", "integer", "positive", "exponent", "both")
    base = np.abs(normal(draw, a)) + 0.5
    smooth = {"step": 1e-5, "tolerance": 1e-7}
    if kind == "square":
        return Case(op, [normal(draw, a), np.array(2.0)], **smooth)
    if kind == "integer":
        base = normal(draw, a)
        exponent = np.full(b, pick(draw, 1, 3, -1))
        return Case(op, [base + np.sign(base), exponent.astype(pick(draw, np.int64, np.float64, np.int32))], **smooth)
    data = {"positive": (0,), "exponent": (1,), "both": (0, 1)}[kind]
    return Case(op, [base, normal(draw, b)], data=data, **smooth)


@draws("Mod")
def mod(draw: DrawFn, op: str) -> Case:
    """Quotients of either sign, rounded down or towards 0, none near a whole number."""
    a, b = operands_of(draw, 2)
    divisor = pick(draw, 1.0, -1.0) * np.abs(normal(draw, b)) + 1
    divisor = np.where(divisor >= 0, divisor + 1, divisor - 1)
    part = random(draw).integers(-3, 4, np.broadcast_shapes(a, b)) + random(draw).uniform(0.2, 0.8, a)
    data = pick(draw, (0,), (0, 1))
    # Before opset 28 only the remainder of a rounding towards 0 is one of fractions.
    return Case(op, [part * divisor, divisor], data=data, attributes={"fmod": 1}, step=1e-5, tolerance=1e-7)


@draws("Dropout")
def dropout(draw: DrawFn, op: str) -> Case:
    """At inference; in training by the mask that a seed draws, of which onnxruntime draws another every time."""
    training = pick(draw, None, False, True)
    x = normal(draw, dims(draw))
    if training is None:
        return Case(op, [x, *pick(draw, [], [np.array(0.3)])])
    operands = [x, np.array(0.3), np.array(training)]
    feeds = pick(draw, (), (2,))
    return Case(op, operands, feeds=feeds, attributes={"seed": 7}, deployed=not training)
