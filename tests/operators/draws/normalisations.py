"""Normalisations whose statistics come from the data."""

from __future__ import annotations

import numpy as np
from hypothesis.strategies import DrawFn

from tests.operators.case import Case
from tests.operators.draws.common import dims, draws, each, normal, pick, random

SMOOTH = {"step": 1e-5, "tolerance": 1e-6}


@draws("LayerNormalization")
def layer(draw: DrawFn, op: str) -> Case:
    shape = dims(draw, 2, 4, 2, 4)
    axis = pick(draw, *range(1, len(shape)), -1)
    inner = shape[axis:]
    operands = [normal(draw, shape), normal(draw, inner), normal(draw, inner)][: pick(draw, 2, 3)]
    return Case(op, operands, attributes={"axis": axis, "epsilon": 1e-2}, **SMOOTH)


@draws("InstanceNormalization")
def instance(draw: DrawFn, op: str) -> Case:
    shape = dims(draw, 3, 5, 2, 4)
    operands = [normal(draw, shape), normal(draw, shape[1:2]), normal(draw, shape[1:2])]
    return Case(op, operands, attributes={"epsilon": 1e-2}, deployed=len(shape) < 5, **SMOOTH)


@draws("GroupNormalization")
def group(draw: DrawFn, op: str) -> Case:
    groups, each_group = each(draw, 2, 1, 3)
    shape = (2, groups * each_group, *dims(draw, 1, 3, 2, 4))
    operands = [normal(draw, shape), normal(draw, shape[1:2]), normal(draw, shape[1:2])]
    return Case(op, operands, attributes={"num_groups": groups, "epsilon": 1e-2}, step=1e-2, tolerance=1e-2)


@draws("RMSNormalization")
def root_mean_square(draw: DrawFn, op: str) -> Case:
    shape = dims(draw, 2, 4, 2, 4)
    axis = pick(draw, *range(1, len(shape)), -1)
    operands = [normal(draw, shape), normal(draw, shape[axis:])]
    return Case(op, operands, attributes={"axis": axis, "epsilon": 1e-2}, opset=23, deployed=False, **SMOOTH)


@draws("LpNormalization")
def norm(draw: DrawFn, op: str) -> Case:
    x = random(draw).normal(size=dims(draw, 2, 3, 2, 4))
    attributes = {"p": pick(draw, 1, 2), "axis": pick(draw, 0, 1, -1)}
    return Case(op, [x + 0.3 * np.sign(x)], attributes=attributes, **SMOOTH)
