"""Running sums and products, rows of numbers."""

from __future__ import annotations

import numpy as np
from hypothesis.strategies import DrawFn

from tests.operators.case import Case
from tests.operators.draws.common import dims, draws, normal, pick, random
from tests.operators.draws.routing import axis_of

SMOOTH = {"step": 1e-5, "tolerance": 1e-7}


@draws("CumSum")
def cumulative_sum(draw: DrawFn, op: str) -> Case:
    shape = dims(draw)
    attributes = {"exclusive": pick(draw, 0, 1), "reverse": pick(draw, 0, 1)}
    axis = np.array(axis_of(draw, len(shape)), pick(draw, np.int32, np.int64))
    return Case(op, [normal(draw, shape), axis], feeds=pick(draw, (), (1,)), attributes=attributes)


@draws("CumProd")
def cumulative_product(draw: DrawFn, op: str) -> Case:
    """Zeros among the factors: the first one alone has a derivative, up to the second."""
    shape = dims(draw, high=5)
    attributes = {"exclusive": pick(draw, 0, 1), "reverse": pick(draw, 0, 1)}
    axis = np.array(axis_of(draw, len(shape)))
    x = normal(draw, shape)
    x = np.where(random(draw).random(shape) < pick(draw, 0.0, 0.3), 0.0, x + 0.3 * np.sign(x))
    feeds = pick(draw, (), (1,))
    return Case(op, [x, axis], feeds=feeds, attributes=attributes, opset=26, deployed=False, **SMOOTH)


@draws("Range")
def arange(draw: DrawFn, op: str) -> Case:
    """Fractions, of which no small step makes one more or less."""
    step = np.array(pick(draw, 0.75, -0.5, 2.0))
    start = np.array(0.3)
    limit = start + step * (pick(draw, 1, 2, 5) - 0.4)
    data = pick(draw, (0,), (2,), (0, 2))
    return Case(op, [start, limit, step], data=data, feeds=pick(draw, (), (1,)), step=1e-3)
