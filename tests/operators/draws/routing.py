"""Operators that only move values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from onnx import TensorProto, helper

from tests.operators.case import Case, distinct
from tests.operators.draws.common import dims, draws, each, ints, normal, pick, random


def axis_of(draw: DrawFn, rank: int) -> int:
    return draw(st.integers(-rank, rank - 1), label="axis")


@draws("Identity")
def unchanged(draw: DrawFn, op: str) -> Case:
    return Case(op, [normal(draw, dims(draw))])


@draws("Cast")
def cast(draw: DrawFn, op: str) -> Case:
    back = helper.make_node("CastLike", ["y0", "x0"], ["y"])
    # Rounding to float32 leaves seven digits of a difference.
    return Case(op, [normal(draw, dims(draw))], attributes={"to": TensorProto.FLOAT}, bodies=[back], tolerance=1e-5)


@draws("CastLike")
def cast_like(draw: DrawFn, op: str) -> Case:
    back = helper.make_node("Cast", ["y0"], ["y1"], to=TensorProto.DOUBLE)
    like = helper.make_node("CastLike", ["y1", "x0"], ["y"])
    return Case(op, [normal(draw, dims(draw)), np.float32([0])], bodies=[back, like], tolerance=1e-5)


@draws("Reshape")
def reshape(draw: DrawFn, op: str) -> Case:
    shape = dims(draw, 2)
    cut = pick(draw, *range(1, len(shape)))
    shapes = [ints(-1), ints(0, -1), ints(*shape[:cut], -1), ints(math.prod(shape[:cut]), *shape[cut:])]
    return Case(op, [normal(draw, shape), pick(draw, *shapes)], feeds=pick(draw, (), (1,)), static=(1,))


@draws("Reshape")
def reshape_of_nothing(draw: DrawFn, op: str) -> Case:
    """A length of 0 is one where allowzero says so."""
    shape, target = pick(draw, ((0, 3, 4), (3, 4, 0)), ((2, 0), (0, 5)), ((2, 3), (3, 2)))
    operands = [normal(draw, shape), ints(*target)]
    return Case(op, operands, feeds=pick(draw, (), (1,)), static=(1,), attributes={"allowzero": 1})


@draws("Flatten")
def flatten(draw: DrawFn, op: str) -> Case:
    shape = dims(draw)
    return Case(op, [normal(draw, shape)], attributes={"axis": draw(st.integers(-len(shape), len(shape)))})


@draws("Squeeze")
def squeeze(draw: DrawFn, op: str) -> Case:
    shape = list(dims(draw, low=2))
    where = pick(draw, *range(len(shape) + 1))
    shape.insert(where, 1)
    axes = pick(draw, None, ints(where), ints(where - len(shape)))
    feeds = () if axes is None else pick(draw, (), (1,))
    return Case(op, [normal(draw, shape), axes], feeds=feeds, static=(0, 1) if axes is None else (1,))


@draws("Unsqueeze")
def unsqueeze(draw: DrawFn, op: str) -> Case:
    axes = pick(draw, ints(0), ints(-1), ints(0, 2), ints(-1, 1))
    return Case(op, [normal(draw, dims(draw)), axes], feeds=pick(draw, (), (1,)), static=(1,))


@draws("Transpose")
def transpose(draw: DrawFn, op: str) -> Case:
    shape = dims(draw)
    perm = draw(st.permutations(range(len(shape))))
    return Case(op, [normal(draw, shape)], attributes=pick(draw, {}, {"perm": perm}))


@draws("Concat")
def concat(draw: DrawFn, op: str) -> Case:
    shape = list(dims(draw))
    axis = axis_of(draw, len(shape))
    operands = []
    for _ in range(pick(draw, 1, 2, 3)):
        shape[axis] = pick(draw, 1, 2, 3)
        operands.append(normal(draw, shape))
    data = pick(draw, (0,), tuple(range(len(operands))), (len(operands) - 1,))
    return Case(op, operands, data=data, attributes={"axis": axis})


@draws("Split")
def split(draw: DrawFn, op: str) -> Case:
    """Uneven parts, the last one first, or one part alone."""
    shape = list(dims(draw))
    axis, parts = axis_of(draw, len(shape)), each(draw, pick(draw, 2, 3), 1, 3)
    shape[axis] = sum(parts)
    names = [f"y{i}" for i in range(len(parts))][::-1]
    body = helper.make_node("Concat", pick(draw, names, names[:1], names[1:]), ["y"], axis=axis)
    by_number = pick(draw, False, True)
    if by_number:
        shape[axis] = len(parts) * 2 - 1
    attributes: dict[str, Any] = {"axis": axis, **({"num_outputs": len(parts)} if by_number else {})}
    operands = [normal(draw, shape), None if by_number else ints(*parts)]
    # Of parts whose sizes are not known onnx does not know the rank either: behind them only axes from the front.
    feeds = () if by_number or axis < 0 else pick(draw, (), (1,))
    return Case(op, operands, feeds=feeds, static=(1,), attributes=attributes, outputs=len(parts), bodies=[body])


@draws("Slice")
def slice_(draw: DrawFn, op: str) -> Case:
    """Any starts, ends and steps that leave something, constant or computed."""
    shape = dims(draw, low=2, high=5)
    axes = sorted(draw(st.sets(st.integers(0, len(shape) - 1), min_size=1)))
    starts, ends, steps = [], [], []
    for axis in axes:
        step, size = pick(draw, 1, 1, 2, -1, -2), shape[axis]
        first, last = sorted(each(draw, 2, 0, size - 1))
        bounds = (first, last + 1) if step > 0 else (last, first - 1)
        ends.append(2**31 if bounds[1] == size else bounds[1] if bounds[1] >= 0 else -(2**31))
        starts.append(bounds[0] - size * pick(draw, 0, 1))
        steps.append(step)
    plain = set(steps) == {1}
    every = axes == list(range(len(shape)))
    operands = [normal(draw, shape), ints(*starts), ints(*ends), None if every else ints(*axes)]
    operands += [] if plain else [ints(*steps)]
    if every and plain:
        operands = operands[:3]
    feeds = pick(draw, (), (1,), (1, 2))
    return Case(op, operands, feeds=feeds, static=(1, 2))


@draws("Gather")
def gather(draw: DrawFn, op: str) -> Case:
    shape = dims(draw)
    axis = axis_of(draw, len(shape))
    size = shape[axis]
    indices = np.array(draw(st.integers(-size, size - 1))) if pick(draw, False, True) else None
    if indices is None:
        indices = random(draw).integers(-size, size, dims(draw, 1, 2))
    return Case(op, [normal(draw, shape), indices], feeds=pick(draw, (), (1,)), attributes={"axis": axis})


@draws("GatherElements")
def gather_elements(draw: DrawFn, op: str) -> Case:
    shape = dims(draw)
    axis = axis_of(draw, len(shape))
    size, rows = shape[axis], list(shape)
    rows[axis] = pick(draw, 1, 2, 5)
    indices = random(draw).integers(-size, size, rows)
    return Case(op, [normal(draw, shape), indices], feeds=pick(draw, (), (1,)), attributes={"axis": axis})


@draws("GatherND")
def gather_nd(draw: DrawFn, op: str) -> Case:
    shape = dims(draw, 2)
    batch = pick(draw, 0, 1)
    depth = pick(draw, *range(1, len(shape) - batch + 1))
    lead = (*shape[:batch], *dims(draw, 1, 2, 1, 3))
    parts = [random(draw).integers(-n, n, lead) for n in shape[batch : batch + depth]]
    operands = [normal(draw, shape), np.stack(parts, -1)]
    return Case(op, operands, feeds=pick(draw, (), (1,)), static=(1,), attributes={"batch_dims": batch})


@draws("Tile")
def tile(draw: DrawFn, op: str) -> Case:
    shape = dims(draw)
    return Case(op, [normal(draw, shape), ints(*each(draw, len(shape), 1, 3))], feeds=pick(draw, (), (1,)), static=(1,))


@draws("Expand")
def expand(draw: DrawFn, op: str) -> Case:
    """Axes of one element grow, new ones come in front; the target may say 1 where the input is longer."""
    shape = [n if pick(draw, 0, 1) else 1 for n in dims(draw)]
    wanted = [pick(draw, 1, n) if n > 1 else pick(draw, 1, 3) for n in shape]
    target = ints(*each(draw, pick(draw, 0, 1), 2, 3), *wanted)
    return Case(op, [normal(draw, shape), target], feeds=pick(draw, (), (1,)), static=(1,))


@draws("Pad")
def pad(draw: DrawFn, op: str) -> Case:
    shape = dims(draw, low=3)
    mode = pick(draw, "constant", "constant", "reflect", "edge", "wrap")
    axes = pick(draw, None, sorted(draw(st.sets(st.integers(0, len(shape) - 1), min_size=1))))
    count = len(shape) if axes is None else len(axes)
    low = -1 if mode == "constant" else 0
    fill = normal(draw, ()) if mode == "constant" and pick(draw, False, True) else None
    operands = [normal(draw, shape), ints(*each(draw, 2 * count, low, 2)), fill]
    operands += [] if axes is None else [ints(*(a - len(shape) * pick(draw, 0, 1) for a in axes))]
    data = (0, 2) if fill is not None and pick(draw, False, True) else (0,)
    return Case(op, operands, data=data, feeds=pick(draw, (), (), (1,)), static=(1,), attributes={"mode": mode})


@draws("DepthToSpace")
def depth_to_space(draw: DrawFn, op: str) -> Case:
    block = pick(draw, 1, 2, 3)
    n, c, h, w = each(draw, 4, 1, 3)
    attributes = {"blocksize": block, "mode": pick(draw, "DCR", "CRD")}
    return Case(op, [normal(draw, (n, c * block * block, h, w))], attributes=attributes)


@draws("SpaceToDepth")
def space_to_depth(draw: DrawFn, op: str) -> Case:
    block = pick(draw, 1, 2, 3)
    n, c, h, w = each(draw, 4, 1, 3)
    return Case(op, [normal(draw, (n, c, h * block, w * block))], attributes={"blocksize": block})


@draws("Where")
def where(draw: DrawFn, op: str) -> Case:
    shape = dims(draw)
    shapes = [tuple(1 if pick(draw, 0, 0, 1) else n for n in shape)[pick(draw, 0, 0, 1) :] for _ in range(3)]
    mask = random(draw).integers(0, 2, shapes[0]).astype(bool)
    operands = [mask, normal(draw, shapes[1]), normal(draw, shapes[2])]
    return Case(op, operands, data=pick(draw, (1,), (2,), (1, 2)), feeds=pick(draw, (), (0,)))


@draws("Trilu")
def trilu(draw: DrawFn, op: str) -> Case:
    shape = dims(draw, 2, 4, 2)
    k = pick(draw, None, np.array(-1), np.array(1), np.array(0))
    return Case(op, [normal(draw, shape), k], attributes={"upper": pick(draw, 0, 1)})


@draws("TopK")
def top_k(draw: DrawFn, op: str) -> Case:
    shape = dims(draw)
    axis = axis_of(draw, len(shape))
    attributes = {"axis": axis, "largest": pick(draw, 0, 1)}
    k = ints(pick(draw, *range(1, shape[axis] + 1)))
    x = distinct(random(draw), shape)
    feeds = pick(draw, (), (1,))
    return Case(op, [x, k], feeds=feeds, static=(1,), attributes=attributes, outputs=2, step=1e-3)


@draws("ReverseSequence")
def reverse_sequence(draw: DrawFn, op: str) -> Case:
    shape = dims(draw, 2)
    batch = pick(draw, 0, 1)
    lengths = ints(*each(draw, shape[batch], 1, shape[1 - batch]))
    attributes = {"batch_axis": batch, "time_axis": 1 - batch}
    return Case(op, [normal(draw, shape), lengths], feeds=pick(draw, (), (1,)), attributes=attributes)


@draws("Compress")
def compress(draw: DrawFn, op: str) -> Case:
    shape = dims(draw)
    axis = pick(draw, None, axis_of(draw, len(shape)))
    size = math.prod(shape) if axis is None else shape[axis]
    kept = random(draw).integers(0, 2, size).astype(bool)
    kept[0] = True
    attributes = {} if axis is None else {"axis": axis}
    return Case(op, [normal(draw, shape), kept], feeds=pick(draw, (), (1,)), attributes=attributes)


@draws("OneHot")
def one_hot(draw: DrawFn, op: str) -> Case:
    """Indices from the front and from the end, and some that are none."""
    shape, depth = dims(draw, 1, 3, 1, 3), pick(draw, 1, 3, 4)
    indices = random(draw).integers(-depth, depth + 2, shape)
    feeds = pick(draw, (), (0,), (1,))
    axis = draw(st.integers(-len(shape) - 1, len(shape)))
    return Case(op, [indices, np.array(depth), normal(draw, (2,))], data=(2,), feeds=feeds, attributes={"axis": axis})


@draws("Unique")
def unique(draw: DrawFn, op: str) -> Case:
    """Of numbers no two of which are equal; as many outputs as wanted, of which the first is explained."""
    shape = dims(draw, 1, 3)
    outputs, axis = pick(draw, 1, 2, 4), pick(draw, None, 0, len(shape) - 1, -1)
    attributes: dict[str, Any] = {"sorted": pick(draw, 0, 1), **({} if axis is None else {"axis": axis})}
    return Case(op, [distinct(random(draw), shape)], attributes=attributes, outputs=outputs, step=1e-3)
