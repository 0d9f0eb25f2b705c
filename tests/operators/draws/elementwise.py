"""Elementwise functions of one operand, each on a range where it is smooth between its own corners."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis.strategies import DrawFn

from onnxlrp.operators.registry import Kind, table
from tests.operators.case import Case
from tests.operators.draws.common import dims, draws, normal, pick, random

SMOOTH: dict[str, Any] = {"step": 1e-6, "tolerance": 1e-6}
RANGES = {
    "Log": (0.3, 3.0),
    "Sqrt": (0.3, 3.0),
    "Reciprocal": (0.5, 3.0),
    "Tan": (-1.2, 1.2),
    "Asin": (-0.9, 0.9),
    "Acos": (-0.9, 0.9),
    "Atanh": (-0.9, 0.9),
    "Acosh": (1.2, 3.0),
}
ATTRIBUTES: dict[str, list[dict[str, Any]]] = {
    "LeakyRelu": [{}, {"alpha": 0.3}],
    "ThresholdedRelu": [{}, {"alpha": 0.4}, {"alpha": -0.5}],
    "HardSigmoid": [{}, {"alpha": 0.5, "beta": 0.3}],
    "Elu": [{}, {"alpha": 0.4}],
    "Celu": [{}, {"alpha": 0.4}],
    "Selu": [{}, {"alpha": 1.5, "gamma": 0.8}],
    "Gelu": [{}, {"approximate": "tanh"}],
    "Swish": [{}, {"alpha": 1.7}],
    "Shrink": [{}, {"lambd": 0.3, "bias": 0.1}],
}
OPSETS = {"Swish": 24}
ELSEWHERE = ("Clip", "PRelu", "Pow", "Mod")


def one_operand(draw: DrawFn, op: str) -> Case:
    low, high = RANGES.get(op, (-4.0, 4.0))
    x = random(draw).uniform(low, high, dims(draw))
    attributes = pick(draw, *ATTRIBUTES.get(op, [{}]))
    return Case(op, [x], attributes=attributes, opset=OPSETS.get(op, 21), **SMOOTH)


draws(*(row.operator for row in table() if Kind(row.kind) is Kind.ELEMENTWISE and row.operator not in ELSEWHERE))(
    one_operand
)


@draws("Clip")
def clip(draw: DrawFn, op: str) -> Case:
    """Bounds left out, constant or data; the lower one may be above the upper one."""
    bounds = [pick(draw, None, np.array(-0.5)), pick(draw, None, np.array(0.7), np.array(-0.9))]
    given = [i + 1 for i, b in enumerate(bounds) if b is not None and pick(draw, 0, 0, 1)]
    data = [0, *given] if pick(draw, 0, 1) else [0]
    feeds = [] if len(data) > 1 else given
    return Case(op, [normal(draw, dims(draw)), *bounds], data=data, feeds=feeds, static=(1, 2), **SMOOTH)


@draws("PRelu")
def prelu(draw: DrawFn, op: str) -> Case:
    shape = dims(draw)
    slopes = pick(draw, shape, shape[-1:], (1,) * len(shape))
    return Case(op, [normal(draw, shape), normal(draw, slopes)], data=pick(draw, (0,), (0, 1)), **SMOOTH)
