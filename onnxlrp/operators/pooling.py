"""Pools and unpools: an average is linear, a norm is a sum of powers, and a maximum gives all relevance to the winner,
which among equal elements is the first in the operator's order of indices."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.memory import check_elements
from onnxlrp.operators import windows
from onnxlrp.operators.registry import Reversed, custom, linear, routing
from onnxlrp.operators.window_winners import to_winners

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder


@linear("AveragePool", linearity="sum", sign="keeps")
def average_pool(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance is shared in proportion to the contributions (Norm)."""
    kernel = call.ints("kernel_shape")
    spatial = len(kernel)
    if _tiles(op, call, r):
        return windows.repeat_to_windows(op, op.Div(r, float(np.prod(kernel))), kernel)
    strides, dilations = (call.ints(name, [1] * spatial) for name in ("strides", "dilations"))
    begins, ends = windows.pads(op, call, kernel)
    shared = op.Div(r, _counts(op, call, kernel, strides, dilations, begins, ends))
    return _to_windows(op, call, shared)


def _to_windows(op: Builder, call: Call, r: ir.Value) -> ir.Value:
    """Give the `r` of every output to each element of its window, by the transpose of a sum over windows."""
    x, kernel = call.operand(0), call.ints("kernel_shape")
    strides = call.ints("strides", [1] * len(kernel))
    dilations = call.ints("dilations", [1] * len(kernel))
    begins, _ = windows.pads(op, call, kernel)
    # Each channel becomes a sample, [N·C, 1, …], so that one kernel of ones serves all.
    flat = op.Reshape(r, op.Concat(op.ints([-1, 1]), op.shape(r, 2), axis=0))
    check_elements(kernel, f"{call.op_type} node {call.name!r} (its window)")
    ones = op.constant(np.ones([1, 1, *kernel]), r.dtype)
    back = op.ConvTranspose(flat, ones, strides=strides, dilations=dilations, output_padding=[s - 1 for s in strides])
    return op.Reshape(windows.crop(op, back, begins, x), op.shape(x))


def _tiles(op: Builder, call: Call, r: ir.Value) -> bool:
    """Decide whether windows are known to neither overlap nor leave gaps."""
    kernel = call.ints("kernel_shape")
    ones = [1] * len(kernel)
    if call.ints("strides", ones) != kernel or call.ints("dilations", ones) != ones:
        return False
    if any(pad != 0 for pads in windows.pads(op, call, kernel) for pad in pads if isinstance(pad, int)):
        return False
    sizes, outs = op.dims(call.operand(0))[2:], op.dims(r)[2:]
    return None not in sizes and [(o or 0) * k for o, k in zip(outs, kernel, strict=True)] == sizes


def _counts(
    op: Builder,
    call: Call,
    kernel: list[int],
    strides: list[int],
    dilations: list[int],
    begins: windows.Pads,
    ends: windows.Pads,
) -> ir.Value:
    """Count the elements that each window averages, [1, 1, outputs…].

    They are elements of the input or, with count_include_pad, of the padded input. Elements past the pads, which
    ceil_mode permits, never count.
    """
    x, y = call.operand(0), call.outputs[0]
    include = bool(call.attr("count_include_pad", 0))
    assert x.dtype is not None
    product = None
    for axis, (k, s, d) in enumerate(zip(kernel, strides, dilations, strict=True)):
        positions = windows.window_indices(op, y, axis + 2, k, s, d, begins[axis])
        low, high = op.ints([0]), op.dim(x, axis + 2)
        if include:
            low = op.Sub(low, windows.vector(op, [begins[axis]]))
            high = op.Add(high, windows.vector(op, [ends[axis]]))
        inside = op.And(op.GreaterOrEqual(positions, low), op.Less(positions, high))
        count = op.ReduceSum(op.cast(inside, x.dtype), op.ints([1]), keepdims=0)
        shaped = op.Reshape(count, op.ints([1, 1, *(-1 if a == axis else 1 for a in range(len(kernel)))]))
        product = shaped if product is None else op.Mul(product, shaped)
    assert product is not None
    return product


@linear("GlobalAveragePool", linearity="sum", sign="keeps")
def global_average_pool(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance is shared in proportion to the contributions (Norm)."""
    x = call.operand(0)
    assert r.dtype is not None
    count = op.cast(op.elements_for_each(x, r), r.dtype)
    return op.Expand(op.Div(r, count), op.shape(x))


def _as_average(call: Call) -> Call:
    """Return the average pool over the windows of a max pool."""
    return call.variant("AveragePool", without=("storage_order",))


_FEW = 16
"""Largest number of elements of a window whose first maximum is located by comparisons."""


@routing("MaxPool", selection="window", sign="keeps", average=_as_average)
def max_pool(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance goes to the winner; of equal ones, to the first."""
    x, kernel = call.operand(0), call.ints("kernel_shape")
    # Integers are not compared: CUDA has no kernel for eight bits.
    if x.dtype == r.dtype and math.prod(kernel) <= _FEW and _tiles(op, call, r):
        return _to_first_largest(op, call, r, [])
    return to_winners(op, call, r)


def _to_first_largest(op: Builder, call: Call, r: ir.Value, beginning: list[int]) -> ir.Value:
    """Give `r` to the first of the largest elements of each window, and 0 to all others; windows must satisfy `_tiles`.

    The winner's place is located along one axis after the other: it is the first place up to which the running maximum
    equals the maximum of the window. `beginning` counts, for each earlier axis, the places up to and including the one
    to which `r` is known to belong.

    On onnxruntime's CPU a pool that gives indices takes 25 times as long as one that does not, and the scatter that
    follows runs on one thread. Pools, comparisons and products of the output's size take a fifth of that time.
    """
    kernel, y, axis = call.ints("kernel_shape"), op.output(call), len(beginning)
    if axis == len(kernel):
        return r
    assert r.dtype is not None
    parts: list[ir.Value] = []
    before: ir.Value | None = None
    for places in range(1, kernel[axis] + 1):
        so_far, running = [*beginning, places], r
        if places < kernel[axis]:
            largest = op.MaxPool(call.operand(0), kernel_shape=so_far + kernel[axis + 1 :], strides=kernel)
            running = op.Mul(op.cast(op.Equal(largest, y), r.dtype), r)
        parts.append(_to_first_largest(op, call, running if before is None else op.Sub(running, before), so_far))
        before = running
    return windows.interleave(op, parts, axis)


@routing("GlobalMaxPool", selection="window", sign="keeps")
def global_max_pool(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance goes to the winner; of equal ones, to the first."""
    x = call.operand(0)
    # Flatten keeps sizes that a Reshape to −1 cannot infer in an empty batch.
    flat = op.Flatten(x, axis=2)
    winner = op.ArgMax(flat, axis=1, keepdims=1)
    assert r.dtype is not None
    onehot = op.one_hot(winner, op.dim(flat, 1), r.dtype)
    return op.Reshape(op.Mul(op.Flatten(r, axis=2), onehot), op.shape(x))


# ------------------------------------------------------------------------------------------------------ pools by norms


@custom("LpPool", sign="nonnegative")
def lp_pool(op: Builder, call: Call, r: ir.Value, gradient: bool) -> Reversed:
    """Relevance is shared in proportion to |x|^p, of which the norm is a sum."""
    back, absorbed = _by_powers(op, call, r, gradient)
    return Reversed({0: op.Mul(_of_power(op, call, gradient), _to_windows(op, call, back))}, epsilon=absorbed)


@custom("GlobalLpPool", sign="nonnegative")
def global_lp_pool(op: Builder, call: Call, r: ir.Value, gradient: bool) -> Reversed:
    """Relevance is shared in proportion to |x|^p, of which the norm is a sum."""
    back, absorbed = _by_powers(op, call, r, gradient)
    return Reversed({0: op.Mul(_of_power(op, call, gradient), back)}, epsilon=absorbed)


def _by_powers(op: Builder, call: Call, r: ir.Value, gradient: bool) -> tuple[ir.Value, ir.Value | None]:
    """Return `r/(y + ε)^p` and the relevance that ε absorbs.

    For a gradient, return `r/y^(p − 1)` and None; the quotient is 0 where y is 0, because the norm has no derivative
    there.
    """
    y, p = call.outputs[0], float(call.attr("p", 2))
    nothing, one = op.number(0.0, y), op.number(1.0, y)
    if gradient:
        if p == 1:
            return r, None
        flat = op.Equal(y, 0.0)
        return op.Where(flat, nothing, op.Div(r, op.Pow(op.Where(flat, one, y), op.number(p - 1, y)))), None
    # ε is added to the norm and not to its power, so that small norms are not lost in it.
    power, d = (op.Pow(v, op.number(p, y)) for v in (y, op.Add(y, 1e-6)))
    flat = op.Equal(d, 0.0)
    back = op.Where(flat, nothing, op.Div(r, op.Where(flat, one, d)))
    return back, op.Sub(r, op.Mul(back, power))


def _of_power(op: Builder, call: Call, gradient: bool) -> ir.Value:
    """Compute |x|^p, or for a gradient sgn(x)·|x|^(p − 1)."""
    x, p = call.operand(0), float(call.attr("p", 2))
    if not gradient:
        return op.Mul(x, x) if p == 2 else op.Pow(op.Abs(x), op.number(p, x))
    if p in (1, 2):
        return x if p == 2 else op.Sign(x)
    return op.Mul(op.Sign(x), op.Pow(op.Abs(x), op.number(p - 1, x)))


# ------------------------------------------------------------------------------------------------------------- unpools


@routing("MaxUnpool", sign="keeps")
def max_unpool(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance follows the values; where several elements go to one place, the last one gets it all."""
    y = call.outputs[0]
    sizes = _unpooled_sizes(op, call)[0]
    if call.input(2) is None or (y.shape is not None and None not in sizes and op.dims(y)[2:] == sizes):
        return _by_places(op, call, r)
    # If the output's shape is given, indices count in the shape that the pool implies for onnx's evaluator, and in the
    # given shape for onnxruntime: y tells which.
    implied, own = _unpooled(op, call, y), _by_places(op, call, y)
    first, second = (
        op.ReduceSum(op.Cast(op.Equal(v, call.operand(0)), to=ir.DataType.INT64), keepdims=0)
        for v in (_by_places(op, call, implied), own)
    )
    inner = _by_places(op, call, _unpooled(op, call, r))
    return op.Where(op.GreaterOrEqual(first, second), inner, _by_places(op, call, r))


def _by_places(op: Builder, call: Call, places: ir.Value) -> ir.Value:
    """Read for each element of x the number that `places` holds at its place in the output; 0 if a later element went
    to the same place."""
    x, flat = call.operand(0), op.ints([-1])
    count = op.Reshape(op.size(places), flat)
    index = op.Min(op.Reshape(call.operand(1), flat), op.Sub(count, op.ints([1])))
    order = op.Reshape(op.index_grid(x), flat)
    nobody = op.Expand(op.constant(np.int64(-1)), count)
    owner = op.ScatterElements(nobody, index, order, axis=0, reduction="max")
    mine, nothing = op.Equal(op.Gather(owner, index), order), op.constant(0, places.dtype)
    return op.Reshape(op.Where(mine, op.Gather(op.Reshape(places, flat), index), nothing), op.shape(x))


def _unpooled_sizes(op: Builder, call: Call) -> tuple[list[int | None], ir.Value]:
    """Compute the output sizes that the pool implies, (n − 1)·stride − pads + kernel for each spatial axis.

    Return them as numbers, None where unknown, and as an int64 vector.
    """
    x, kernel = call.operand(0), call.ints("kernel_shape")
    spatial = len(kernel)
    strides, pads = call.ints("strides", [1] * spatial), call.ints("pads", [0] * 2 * spatial)
    more = [k - s - pads[a] - pads[a + spatial] for a, (k, s) in enumerate(zip(kernel, strides, strict=True))]
    sizes = [None if n is None else n * s + m for n, s, m in zip(op.dims(x)[2:], strides, more, strict=True)]
    return sizes, op.Add(op.Mul(op.shape(x, 2), op.ints(strides)), op.ints(more))


def _unpooled(op: Builder, call: Call, value: ir.Value) -> ir.Value:
    """Slice from `value`, which has the output's shape, the part of the sizes that the pool implies."""
    spatial = call.rank() - 2
    return op.Slice(value, op.ints([0] * spatial), _unpooled_sizes(op, call)[1], op.ints(range(2, 2 + spatial)))


@linear("Col2Im", linearity="sum", sign="keeps")
def column_to_image(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance is shared in proportion to the contributions, which add up where blocks overlap (Norm)."""
    spatial = len(op.dims(call.outputs[0])) - 2
    strides, dilations = call.ints("strides", [1] * spatial), call.ints("dilations", [1] * spatial)
    pads = call.ints("pads", [0] * 2 * spatial)
    if any(pads):
        r = op.Pad(r, op.ints([0, 0, *pads[:spatial], 0, 0, *pads[spatial:]]))
    blocks = op.known(call.input(2))
    for axis, (stride, dilation) in enumerate(zip(strides, dilations, strict=True)):
        # Each axis that is done has become two: [N, C, kernel, blocks, …].
        at = 2 + 2 * axis
        given = op.Gather(call.operand(2), op.ints([axis])) if blocks is None else op.ints([int(blocks[axis])])
        width = op.Mul(op.Sub(given, op.ints([1])), op.ints([dilation]))
        room = op.Sub(op.Sub(op.dim(r, at), width), op.ints([1]))
        count = op.Add(op.Div(room, op.ints([stride])), op.ints([1]))
        rows = op.Mul(op.count_up(given), op.ints([dilation]))
        starts = op.Mul(op.count_up(count), op.ints([stride]))
        r = op.Gather(r, op.Add(op.Unsqueeze(rows, op.ints([1])), starts), axis=at)
    order = [0, 1, *range(2, 2 + 2 * spatial, 2), *range(3, 3 + 2 * spatial, 2)]
    return op.Reshape(op.Transpose(r, perm=order), op.shape(call.operand(0)))
