"""Reductions over axes, softmax, and the other operators that normalise."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from tests.operators.case import Case, distinct
from tests.operators.draws.common import dims, draws, ints, normal, pick, random

SMOOTH = {"step": 1e-5, "tolerance": 1e-7}


def reduction(draw: DrawFn, rank: int) -> tuple[list[np.ndarray], dict[str, Any]]:
    """Axes as an operand (none: all of them, or with noop_with_empty_axes none), and attributes."""
    attributes: dict[str, Any] = {"keepdims": pick(draw, 0, 1)}
    axes = pick(draw, None, ints(), draw(st.sets(st.integers(0, rank - 1), min_size=1)))
    if axes is None or isinstance(axes, np.ndarray):
        attributes["noop_with_empty_axes"] = pick(draw, 0, 0, 1)
        return ([] if axes is None else [axes]), attributes
    return [ints(*(a - rank * pick(draw, 0, 1) for a in sorted(axes)))], attributes


def options_of(draw: DrawFn, axes: list[np.ndarray], attributes: dict[str, Any]) -> dict[str, Any]:
    """Of a case: the axes are constant, or an input of the model."""
    return {"attributes": attributes, "feeds": pick(draw, (), (), (1,)) if axes else (), "static": (1,)}


@draws("ReduceSum", "ReduceMean")
def linear(draw: DrawFn, op: str) -> Case:
    shape = dims(draw)
    axes, attributes = reduction(draw, len(shape))
    options = options_of(draw, axes, attributes)
    return Case(op, [normal(draw, shape), *axes], **options)


@draws("ReduceMax", "ReduceMin")
def extreme(draw: DrawFn, op: str) -> Case:
    shape = dims(draw)
    axes, attributes = reduction(draw, len(shape))
    options = options_of(draw, axes, attributes)
    return Case(op, [distinct(random(draw), shape), *axes], **options, step=1e-3)


@draws("ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp", "ReduceProd")
def curved(draw: DrawFn, op: str) -> Case:
    shape = dims(draw)
    axes, attributes = reduction(draw, len(shape))
    options = options_of(draw, axes, attributes)
    x = normal(draw, shape)
    return Case(op, [x + 0.3 * np.sign(x), *axes], **options, **SMOOTH)


@draws("ReduceLogSum")
def of_positive(draw: DrawFn, op: str) -> Case:
    shape = dims(draw)
    axes, attributes = reduction(draw, len(shape))
    options = options_of(draw, axes, attributes)
    return Case(op, [np.abs(normal(draw, shape)) + 0.5, *axes], **options, **SMOOTH)


@draws("ReduceProd")
def with_zeros(draw: DrawFn, op: str) -> Case:
    """One zero among the factors: it alone has a derivative; two: none has."""
    x = np.array([[2.0, 0.0, 3.0], [0.0, 0.0, 4.0], [1.5, -2.0, 0.5]])
    axes = [ints(pick(draw, 0, 1))]
    options = options_of(draw, axes, {"keepdims": pick(draw, 0, 1)})
    return Case(op, [x, *axes], **options, **SMOOTH)


@draws("Softmax", "LogSoftmax")
def softmax(draw: DrawFn, op: str) -> Case:
    shape = dims(draw)
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    return Case(op, [normal(draw, shape)], attributes=pick(draw, {}, {"axis": axis}), **SMOOTH)


@draws("LRN")
def lrn(draw: DrawFn, op: str) -> Case:
    shape, size = (2, pick(draw, 2, 5), *dims(draw, 1, 3)), pick(draw, 1, 2, 3, 4, 5)
    attributes = {"size": size, "alpha": 0.5, "beta": 0.75, "bias": pick(draw, 1.0, 2.0)}
    deployed = len(shape) == 4 and size % 2 == 1
    # alpha and beta are held in single precision.
    return Case(op, [normal(draw, shape)], attributes=attributes, step=1e-5, tolerance=1e-6, deployed=deployed)
