"""Normalisations whose statistics come from the data."""

from __future__ import annotations

import numpy as np
from hypothesis.strategies import DrawFn
from onnx import helper

from tests.operators.case import Case
from tests.operators.draws.common import dims, draws, each, normal, pick, random

SMOOTH = {"step": 1e-5, "tolerance": 1e-6}


def data_of(draw: DrawFn, operands: list) -> tuple[int, ...]:
    """The input alone, or its parameters too."""
    return pick(draw, (0,), tuple(range(len(operands))))


@draws("BatchNormalization")
def batch(draw: DrawFn, op: str) -> Case:
    """All parameters are data."""
    shape = (2, pick(draw, 1, 3), *dims(draw, 0, 3))
    c = shape[1]
    parameters = [normal(draw, (c,)) for _ in range(3)]
    operands = [normal(draw, shape), *parameters, np.full(c, 0.7)]
    return Case(op, operands, data=range(5), attributes={"epsilon": pick(draw, 1e-5, 1e-2)}, **SMOOTH)


@draws("BatchNormalization")
def in_training(draw: DrawFn, op: str) -> Case:
    """The normalised values, the running statistics, or all of them; onnxruntime does not train."""
    shape = (pick(draw, 2, 3), pick(draw, 1, 3), *dims(draw, 0, 2, 2))
    parameters = [normal(draw, shape[1:2]) for _ in range(3)]
    operands = [normal(draw, shape), *parameters, np.full(shape[1], 0.7)]
    names = pick(draw, ["y0"], ["y0"], ["y1"], ["y2"], ["y1", "y2"])
    body = helper.make_node("Sum", names, ["y"])
    attributes = {"training_mode": 1, "epsilon": 1e-2, "momentum": pick(draw, 0.9, 0.3)}
    data = pick(draw, (0,), range(5)) if len(names) > 1 else {"y0": (0, 1, 2), "y1": (0, 3), "y2": (0, 4)}[names[0]]
    return Case(
        op,
        operands,
        data=data,
        attributes=attributes,
        outputs=3,
        bodies=[body],
        deployed=False,
        step=1e-5,
        tolerance=1e-6,
    )


@draws("LayerNormalization")
def layer(draw: DrawFn, op: str) -> Case:
    shape = dims(draw, 2, 4, 2, 4)
    axis = pick(draw, *range(1, len(shape)), -1)
    inner = pick(draw, shape[axis:], shape[-1:])
    operands = [normal(draw, shape), normal(draw, inner), normal(draw, inner)][: pick(draw, 2, 3)]
    # onnxruntime takes no scale that is broadcast over several axes.
    deployed = inner == shape[axis:]
    attributes = {"axis": axis, "epsilon": 1e-2}
    return Case(op, operands, data=data_of(draw, operands), attributes=attributes, deployed=deployed, **SMOOTH)


@draws("LayerNormalization")
def statistics(draw: DrawFn, op: str) -> Case:
    """The sum of the normalised values, of the means and of the deviations, or one of them alone."""
    shape = dims(draw, 2, 4, 2, 4)
    axis = pick(draw, *range(1, len(shape)), -1)
    operands = [normal(draw, shape), normal(draw, shape[axis:]), normal(draw, shape[axis:])]
    names = pick(draw, ["y0", "y1", "y2"], ["y1"], ["y2"], ["y2", "y0"])
    bodies = [helper.make_node("CastLike", [n, "x0"], [f"{n}_wide"]) for n in names]
    bodies.append(helper.make_node("Sum", [f"{n}_wide" for n in names], ["y"]))
    attributes = {"axis": axis, "epsilon": 1e-2}
    data = data_of(draw, operands) if "y0" in names else (0,)
    # Both statistics are in single precision.
    return Case(op, operands, data=data, attributes=attributes, outputs=3, bodies=bodies, step=1e-2, tolerance=1e-2)


@draws("InstanceNormalization")
def instance(draw: DrawFn, op: str) -> Case:
    shape = dims(draw, 3, 5, 2, 4)
    operands = [normal(draw, shape), normal(draw, shape[1:2]), normal(draw, shape[1:2])]
    attributes = {"epsilon": 1e-2}
    return Case(op, operands, data=data_of(draw, operands), attributes=attributes, deployed=len(shape) < 5, **SMOOTH)


@draws("GroupNormalization")
def group(draw: DrawFn, op: str) -> Case:
    groups, each_group = each(draw, 2, 1, 3)
    shape = (2, groups * each_group, *dims(draw, 1, 3, 2, 4))
    operands = [normal(draw, shape), normal(draw, shape[1:2]), normal(draw, shape[1:2])]
    attributes = {"num_groups": groups, "epsilon": 1e-2}
    return Case(op, operands, data=data_of(draw, operands), attributes=attributes, step=1e-2, tolerance=1e-2)


@draws("MeanVarianceNormalization")
def mean_variance(draw: DrawFn, op: str) -> Case:
    shape = dims(draw, 4, 4, 3, 4)
    # Never left out: onnx infers the function body without the default.
    axes = pick(draw, [0, 2, 3], [1], [-1, 1], [0, 1, 2, 3])
    return Case(op, [normal(draw, shape)], attributes={"axes": axes}, **SMOOTH)


@draws("RMSNormalization")
def root_mean_square(draw: DrawFn, op: str) -> Case:
    shape = dims(draw, 2, 4, 2, 4)
    axis = pick(draw, *range(1, len(shape)), -1)
    operands = [normal(draw, shape), normal(draw, pick(draw, shape[axis:], shape[-1:], (1,)))]
    attributes, data = {"axis": axis, "epsilon": 1e-2}, data_of(draw, operands)
    return Case(op, operands, data=data, attributes=attributes, opset=23, deployed=False, **SMOOTH)


@draws("LpNormalization")
def norm(draw: DrawFn, op: str) -> Case:
    x = random(draw).normal(size=dims(draw, 2, 3, 2, 4))
    attributes = {"p": pick(draw, 1, 2), "axis": pick(draw, 0, 1, -1)}
    return Case(op, [x + 0.3 * np.sign(x)], attributes=attributes, **SMOOTH)
