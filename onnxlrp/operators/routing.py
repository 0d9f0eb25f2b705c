"""Operators that only move values: relevance follows the values, and the relevance of copies adds up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from onnxlrp.graph.call import Call, content
from onnxlrp.operators.encoders import becomes_category
from onnxlrp.operators.registry import routing

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder


def _from_sources(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Carry `r` back by running the operator on the operand's indices 0, 1, 2, …, which tell each element's source."""
    x = call.operand(operand)
    return op.scatter_back(r, op.run(call.rebind({operand: op.index_grid(x)})), x)


@routing("Reshape", "Flatten", "Squeeze", "Unsqueeze", selection="in place", sign="keeps")
def reshape(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance follows the values."""
    shape = op.shape(call.operand(0))
    known = op.known(shape)
    # With allowzero a size of 0 means 0 elements; without it, the size would be copied from r.
    return op.Reshape(r, shape, allowzero=0 if known is not None and known.all() else 1)


@routing("Identity", selection="in place", sign="keeps")
def identity(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance follows the values."""
    return r


def _cast_carries(call: Call) -> tuple[int, ...]:
    """Name the operands of a Cast that may carry relevance.

    Casts from truth values and integers to floats or integers carry it, and so do those from strings to numbers. Casts
    from floats to integers, and from numbers to strings do not, unless they prepare categories for an encoder.
    """
    source, target = call.operand(0).dtype, ir.DataType(call.attr("to", ir.DataType.FLOAT))
    if source is None:
        return (0,) if target.is_floating_point() else ()
    rounds = source.is_floating_point() and not target.is_floating_point()
    named = target == ir.DataType.STRING and source != ir.DataType.STRING
    return (0,) if not (rounds or named) or becomes_category(call) else ()


@routing("Cast", "CastLike", operands=_cast_carries, sign="keeps")
def cast(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance follows the values between number types; it ends where floats are rounded to integers."""
    return r


@routing("Transpose", sign="keeps")
def transpose(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance follows the values."""
    perm = call.ints("perm", list(range(call.rank()))[::-1])
    return op.Transpose(r, perm=[perm.index(axis) for axis in range(len(perm))])


@routing("Concat", operands=lambda call: range(len(call.inputs)), sign="keeps")
def concat(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance follows the values."""
    axis = int(call.attr("axis"))
    axis = axis if axis >= 0 else axis % call.rank(operand)
    before, after = (op.offset(call.inputs, place, axis) for place in (operand, operand + 1))
    return op.Slice(r, before, after, op.ints([axis]))


@routing("Split", per_output=True, sign="keeps")
def split(op: Builder, call: Call, operand: int, r: list[ir.Value | None]) -> ir.Value:
    """Relevance follows the values."""
    dtype = next(v.dtype for v in r if v is not None)
    assert dtype is not None
    parts = [op.full(op.shape(y), 0, dtype) if v is None else v for v, y in zip(r, call.outputs, strict=True)]
    return op.Concat(*parts, axis=int(call.attr("axis", 0)))


@routing("Slice", sign="keeps")
def slice_(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance follows the values."""
    x = call.operand(0)
    starts, ends, axes, steps = (op.known(call.input(i)) for i in range(1, 5))
    sizes = op.dims(x)
    if starts is None or ends is None or (call.input(3) and axes is None) or (call.input(4) and steps is None):
        return _from_sources(op, call, operand, r)
    where = [int(a) % len(sizes) for a in (range(len(starts)) if axes is None else axes)]
    if any(sizes[a] is None for a in where) or (steps is not None and set(steps.tolist()) != {1}):
        return _from_sources(op, call, operand, r)
    pads = [0] * 2 * len(sizes)
    for axis, start, end in zip(where, starts, ends, strict=True):
        first, last, _ = slice(int(start), int(end)).indices(int(sizes[axis] or 0))
        pads[axis], pads[axis + len(sizes)] = first, int(sizes[axis] or 0) - max(last, first)
    return op.Pad(r, op.ints(pads))


@routing("Gather", operands=lambda call: (0, 1), lookup=True, sign="keeps")
def gather(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance follows the values; where ids look up a constant table, it is summed over the embedding and goes to the
    ids."""
    axis = int(call.attr("axis", 0))
    if operand == 1:
        return over_embedding(op, call, axis, r)
    places = op.known(call.input(1))
    back = None if places is None else _to_places(op, call.operand(0), places, axis % call.rank(), r)
    return _from_sources(op, call, operand, r) if back is None else back


def _to_places(op: Builder, x: ir.Value, places: np.ndarray, axis: int, r: ir.Value) -> ir.Value | None:
    """Carry `r` back from known places along an axis if they are consecutive or a permutation; else return None.

    This spares a scatter, which runs on one thread and needs the index of every element.
    """
    size, rank = op.dims(x)[axis], len(op.dims(x))
    if size is not None:
        places = places % max(size, 1)
        if places.ndim == 1 and sorted(places) == list(range(size)):
            return op.Gather(r, op.ints(np.argsort(places).tolist()), axis=axis)
    if places.ndim > 1 or not places.size or (np.diff(places.reshape(-1)) != 1).any():
        return None
    rows = r if places.ndim else op.Unsqueeze(r, op.ints([axis]))
    first, count = int(places.reshape(-1)[0]), places.size
    if size is not None:
        return op.Pad(
            rows, op.ints([*[0] * axis, first, *[0] * (rank - 1), size - first - count, *[0] * (rank - 1 - axis)])
        )
    more = op.dim(x, axis)
    before = op.ints([first]) if first >= 0 else op.Add(more, op.ints([first]))
    after = op.Sub(more, op.ints([first + count])) if first >= 0 else op.ints([-first - count])
    none = [op.ints([0] * n) for n in (axis, rank - 1, rank - 1 - axis)]
    return op.Pad(rows, op.Concat(none[0], before, none[1], after, none[2], axis=0))


def over_embedding(op: Builder, call: Call, axis: int, r: ir.Value) -> ir.Value:
    """Sum `r` over the axes of the table other than `axis`, which leaves one number for each id."""
    table, ids = call.rank(0), call.rank(1)
    axis %= table
    return op.ReduceSum(r, op.ints([*range(axis), *range(axis + ids, table - 1 + ids)]), keepdims=0)


@routing("OneHot", operands=lambda call: (2,), sign="keeps")
def one_hot(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance follows the two values that are written; the indices that choose between them are positions."""
    assert r.dtype is not None
    indices, depth = (op.cast(call.operand(i), ir.DataType.INT64) for i in (0, 1))
    hot = op.OneHot(indices, depth, op.ints([0, 1]), axis=int(call.attr("axis", -1)))
    on = op.ReduceSum(op.Mul(r, op.cast(hot, r.dtype)), keepdims=0)
    rest = op.Sub(op.ReduceSum(r, keepdims=0), on)
    return op.Reshape(op.Concat(*(op.Reshape(v, op.ints([1])) for v in (rest, on)), axis=0), op.shape(call.operand(2)))


def _by_value(call: Call) -> tuple[int, ...]:
    """Let floats carry relevance; strings do not, and neither do integers, whose comparison is a choice."""
    dtype = call.operand(0).dtype
    return (0,) if dtype is not None and dtype.is_floating_point() else ()


@routing("Unique", per_output=True, selection="value", operands=_by_value, sign="keeps")
def unique(op: Builder, call: Call, operand: int, r: list[ir.Value | None]) -> ir.Value:
    """Relevance follows the values to the first of several equal ones; the other outputs are positions."""
    x, y, back = call.operand(0), op.output(call), r[0]
    if back is None:
        return op.full_like(x, 0)
    axis = call.attr("axis")
    grid = op.index_grid(x)
    if axis is None:
        flat = op.Reshape(x, op.ints([-1]))
        equal = op.Equal(op.Unsqueeze(y, op.ints([1])), op.Unsqueeze(flat, op.ints([0])))
        return op.scatter_back(back, op.Gather(op.Reshape(grid, op.ints([-1])), _first_true(op, equal)), x)
    # Slices [n, …] are compared with [m, …]: two are equal where all their elements are.
    axis, rank = int(axis) % call.rank(), call.rank()
    front = [axis, *(a for a in range(rank) if a != axis)]
    results, given = (op.Flatten(op.Transpose(v, perm=front), axis=1) for v in (y, x))
    same = op.Equal(op.Unsqueeze(results, op.ints([1])), op.Unsqueeze(given, op.ints([0])))
    least = op.ReduceMin(op.Cast(same, to=ir.DataType.INT32), op.ints([2]), keepdims=0)
    equal = op.Equal(least, op.constant(np.int32(1)))
    return op.scatter_back(back, op.Gather(grid, _first_true(op, equal), axis=axis), x)


def _first_true(op: Builder, condition: ir.Value) -> ir.Value:
    """Find for each row the first column in which a condition holds."""
    return op.ArgMax(op.Cast(condition, to=ir.DataType.FLOAT), axis=1, keepdims=0)


@routing("GatherElements", "GatherND", "Tile", "ReverseSequence", "Compress", sign="keeps")
def selection(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance follows the values."""
    return _from_sources(op, call, operand, r)


@routing("Expand", sign="keeps")
def expand(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance follows the values; the relevance of copies adds up."""
    return op.unbroadcast(r, call.operand(0))


def _pad_sign(call: Call) -> str:
    fill = call.input(2)
    known = content(fill)
    return "keeps" if fill is None or (known is not None and known.min(initial=0) >= 0) else "unknown"


@routing("Pad", sign=_pad_sign, operands=lambda call: (0, 2) if call.attr("mode", "constant") == "constant" else (0,))
def pad(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance follows the values; the relevance of padding goes to its constant."""
    x, pads = call.operand(0), call.operand(1)
    if operand == 2:
        inside = op.run(call.rebind({0: op.full(op.shape(x), 1, r.dtype), 2: None}))
        return op.ReduceSum(op.Mul(r, op.Sub(1.0, inside)), keepdims=0)
    if call.attr("mode", "constant") != "constant":
        # Indices are padded as doubles, because onnxruntime's CUDA provider cannot pad integers.
        grid = op.run(call.rebind({0: op.cast(op.index_grid(x), ir.DataType.DOUBLE), 2: None}))
        return op.scatter_back(r, op.cast(grid, ir.DataType.INT64), x)
    # The transpose of a pad is the negative pad: it removes added elements and restores removed ones as zeros.
    known = op.known(pads)
    return op.Pad(r, op.Neg(pads) if known is None else op.ints((-known).tolist()), None, call.input(3))


@routing("DepthToSpace", sign="keeps")
def depth_to_space(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance follows the values."""
    x, block = call.operand(0), int(call.attr("blocksize"))
    if call.attr("mode", "DCR") == "DCR":
        return op.SpaceToDepth(r, blocksize=block)
    n, c, h, w = (op.dim(x, axis) for axis in range(4))
    deep = op.Div(c, op.ints([block * block]))
    apart = op.Reshape(r, op.Concat(n, deep, h, op.ints([block]), w, op.ints([block]), axis=0))
    return op.Reshape(op.Transpose(apart, perm=[0, 1, 3, 5, 2, 4]), op.shape(x))


@routing("SpaceToDepth", sign="keeps")
def space_to_depth(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance follows the values."""
    return op.DepthToSpace(r, blocksize=int(call.attr("blocksize")), mode=call.attr("mode", "DCR"))


@routing("Where", operands=lambda call: (1, 2), sign="keeps")
def where(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance follows the values that were chosen."""
    zero = op.constant(0, r.dtype)
    chosen = (r, zero) if operand == 1 else (zero, r)
    return op.unbroadcast(op.Where(call.operand(0), *chosen), call.operand(operand))


@routing("Trilu", sign="keeps")
def trilu(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance follows the values."""
    return op.run(call.rebind({0: r}))


@routing("TopK", selection="value", sign="keeps")
def top_k(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance goes to the winners."""
    indices = op.run(call, outputs=2)[1]
    axis = int(call.attr("axis", -1))
    x = call.operand(0)
    return op.ScatterElements(op.full(op.shape(x), 0, r.dtype), indices, r, axis=axis)
