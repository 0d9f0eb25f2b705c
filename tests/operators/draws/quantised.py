"""Pairs of Quantize and Dequantize."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis.strategies import DrawFn
from onnx import helper

from tests.operators.case import Case
from tests.operators.draws.common import dims, draws, normal, pick, random
from tests.operators.draws.routing import axis_of


def scale_of(draw: DrawFn, shape: tuple[int, ...]) -> tuple[np.ndarray, dict[str, Any]]:
    """One for all, one for each place of an axis, or one for each block along an axis."""
    kind, axis = pick(draw, "all", "axis", "blocks"), axis_of(draw, len(shape))
    lengths, attributes = (), {}
    if kind == "axis":
        lengths, attributes = (shape[axis],), {"axis": axis}
    if kind == "blocks":
        block = pick(draw, 2, 3)
        lengths = tuple(-(-n // block) if a == axis % len(shape) else n for a, n in enumerate(shape))
        attributes = {"axis": axis, "block_size": block}
    return random(draw).uniform(0.1, 0.5, lengths), attributes


@draws("QuantizeLinear")
def quantize(draw: DrawFn, op: str) -> Case:
    """Between two roundings it does not change."""
    shape = dims(draw, 2, 3)
    scale, attributes = scale_of(draw, shape)
    body = helper.make_node("CastLike", ["y0", "x0"], ["y"])
    zero = pick(draw, None, np.full(scale.shape, 3, pick(draw, np.uint8, np.int8)))
    return Case(op, [normal(draw, shape), scale, zero], attributes=attributes, bodies=[body], step=1e-9)


@draws("DequantizeLinear")
def dequantize(draw: DrawFn, op: str) -> Case:
    shape = dims(draw, 2, 3)
    scale, attributes = scale_of(draw, shape)
    kind = pick(draw, np.uint8, np.int8)
    x = random(draw).integers(0, 100, shape).astype(kind)
    zero = pick(draw, None, np.full(scale.shape, 3, kind))
    return Case(op, [x, scale, zero], data=(1,), feeds=(0,), attributes=attributes)


@draws("DynamicQuantizeLinear")
def dynamic(draw: DrawFn, op: str) -> Case:
    """Dequantised again: what is explained is the scale that the extremes give."""
    body = helper.make_node("CastLike", ["y1", "x0"], ["y"])
    x = normal(draw, dims(draw)) * 3
    return Case(op, [x], outputs=3, bodies=[body], step=1e-2, tolerance=1e-4, rounding=1e-6)
