"""Scatters: updates written into data, or combined with what is there."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis.strategies import DrawFn

from tests.operators.case import Case, distinct
from tests.operators.draws.common import dims, draws, ints, normal, pick, random
from tests.operators.draws.routing import axis_of

REDUCTIONS = ("none", "add", "mul", "min", "max")


def operands_of(draw: DrawFn, reduction: str, data: tuple[int, ...], indices: np.ndarray, updates: Any) -> Case:
    """A case whose winners, if there are any, no small step changes."""
    if reduction in ("min", "max"):
        every = distinct(random(draw), (math.prod(data) + math.prod(updates),)) * 0.5
        values = [every[: math.prod(data)].reshape(data), every[math.prod(data) :].reshape(updates)]
    else:
        values = [normal(draw, data), normal(draw, updates)]
        if reduction == "mul" and pick(draw, 0, 1):
            # One zero among the factors: it alone has a derivative; two: none has.
            values = [np.where(random(draw).random(v.shape) < 0.3, 0.0, v) for v in values]
    # A product is not linear in its factors together.
    smooth = {"mul": {"step": 1e-5, "tolerance": 1e-7}, "min": {"step": 1e-3}, "max": {"step": 1e-3}}
    return Case(
        "",
        [values[0], indices, values[1]],
        data=pick(draw, (0,), (2,), (0, 2)),
        feeds=pick(draw, (), (1,)),
        attributes={"reduction": reduction},
        **smooth.get(reduction, {}),
    )


@draws("ScatterND")
def scatter_nd(draw: DrawFn, op: str) -> Case:
    """Each cell at most once where updates are written, else perhaps again."""
    shape, reduction = dims(draw), pick(draw, *REDUCTIONS)
    depth, count = pick(draw, *range(1, len(shape) + 1)), pick(draw, 1, 2, 3, 5)
    size = math.prod(shape[:depth])
    rng = random(draw)
    cells = rng.permutation(size)[:count] if reduction == "none" else rng.integers(0, size, count)
    indices = np.stack(np.unravel_index(cells, shape[:depth]), -1).astype(np.int64)
    case = operands_of(draw, reduction, shape, indices, (len(cells), *shape[depth:]))
    case.op = op
    return case


@draws("ScatterElements")
def scatter_elements(draw: DrawFn, op: str) -> Case:
    """Each cell at most once where updates are written, else perhaps again."""
    shape, reduction = dims(draw), pick(draw, *REDUCTIONS)
    axis, rng = axis_of(draw, len(shape)), random(draw)
    rows = [pick(draw, *range(1, n + 1)) for n in shape]
    if reduction == "none":
        order = np.argsort(rng.normal(size=shape), axis=axis)
        indices = order[tuple(slice(n) for n in rows)].astype(np.int64)
    else:
        rows[axis] = pick(draw, 1, 2, 4)
        indices = rng.integers(-shape[axis], shape[axis], rows)
    case = operands_of(draw, reduction, shape, indices, rows)
    case.op, case.attributes = op, {**case.attributes, "axis": axis}
    return case


@draws("Scatter")
def scatter(draw: DrawFn, op: str) -> Case:
    """What ScatterElements was called before opset 11."""
    shape = dims(draw)
    axis = axis_of(draw, len(shape))
    indices = np.argsort(random(draw).normal(size=shape), axis=axis).astype(np.int64)
    operands = [normal(draw, shape), indices, normal(draw, shape)]
    return Case(op, operands, data=pick(draw, (0,), (2,), (0, 2)), attributes={"axis": axis % len(shape)}, opset=10)


@draws("TensorScatter")
def tensor_scatter(draw: DrawFn, op: str) -> Case:
    shape = dims(draw, 2, 4, 2)
    axis, mode = pick(draw, *range(1, len(shape))), pick(draw, "linear", "circular")
    length = pick(draw, *range(1, shape[axis] + 1))
    update = tuple(length if a == axis else n for a, n in enumerate(shape))
    last = shape[axis] - (length if mode == "linear" else 1)
    begins = pick(draw, None, random(draw).integers(0, last + 1, shape[0]))
    attributes = {"axis": axis - len(shape) * pick(draw, 0, 1), "mode": mode}
    operands = [normal(draw, shape), normal(draw, update), None if begins is None else ints(*begins)]
    feeds = () if begins is None else pick(draw, (), (2,))
    return Case(
        op, operands, data=pick(draw, (0,), (1,), (0, 1)), feeds=feeds, attributes=attributes, opset=24, deployed=False
    )
