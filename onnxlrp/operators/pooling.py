"""Pools. An average is linear; of a maximum the winner takes all, ties to the first in the operator's index order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from onnxlrp.operators import windows
from onnxlrp.operators.registry import Call, linear, routing

if TYPE_CHECKING:
    from onnxlrp.builder import Builder


@linear("AveragePool", jointly=True, pooling=True, sign="keeps")
def average_pool(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """In proportion to the contributions (Norm)."""
    x = call.operand(0)
    kernel = call.ints("kernel_shape")
    spatial = len(kernel)
    strides = call.ints("strides", [1] * spatial)
    dilations = call.ints("dilations", [1] * spatial)
    begins, ends = windows.pads(op, call, kernel)
    sizes, outs = op.dims(x)[2:], op.dims(r)[2:]
    plain = set(dilations) == {1} and kernel == strides and all(p == 0 for p in [*begins, *ends] if isinstance(p, int))
    if plain and None not in sizes and [(o or 0) * k for o, k in zip(outs, kernel, strict=True)] == sizes:
        return _spread(op, op.Div(r, float(np.prod(kernel))), kernel, x)
    shared = op.Div(r, _counts(op, call, kernel, strides, dilations, begins, ends))
    # Every channel alone: [N·C, 1, …] under one kernel of ones.
    flat = op.Reshape(shared, op.Concat(op.ints([-1, 1]), op.shape(shared, 2), axis=0))
    ones = op.constant(np.ones([1, 1, *kernel]), r.dtype)
    back = op.ConvTranspose(flat, ones, strides=strides, dilations=dilations, output_padding=[s - 1 for s in strides])
    return op.Reshape(windows.crop(op, back, begins, x), op.shape(x))


def _spread(op: Builder, r: ir.Value, kernel: list[int], like: ir.Value) -> ir.Value:
    """Windows that neither overlap nor leave gaps: every element to its whole window."""
    spatial = len(kernel)
    outs = [int(d or 0) for d in op.dims(r)[2:]]
    lead = op.shape(like, 0, 2)
    apart = op.Concat(lead, op.ints([n for o in outs for n in (o, 1)]), axis=0)
    whole = op.Concat(lead, op.ints([n for o, k in zip(outs, kernel, strict=True) for n in (o, k)]), axis=0)
    assert spatial == len(outs)
    return op.Reshape(op.Expand(op.Reshape(r, apart), whole), op.shape(like))


def _counts(
    op: Builder,
    call: Call,
    kernel: list[int],
    strides: list[int],
    dilations: list[int],
    begins: windows.Pads,
    ends: windows.Pads,
) -> ir.Value:
    """How many elements each window averages, [1, 1, outputs…]: of the input, or with count_include_pad of the padded
    input (a window that ceil_mode lets past the pads counts less still)."""
    x, y = call.operand(0), call.outputs[0]
    include = bool(call.attr("count_include_pad", 0))
    assert x.dtype is not None
    product = None
    for axis, (k, s, d) in enumerate(zip(kernel, strides, dilations, strict=True)):
        positions = windows.taps(op, y, axis + 2, k, s, d, begins[axis])
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


@linear("GlobalAveragePool", jointly=True, pooling=True, sign="keeps")
def global_average_pool(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """In proportion to the contributions (Norm)."""
    x = call.operand(0)
    assert r.dtype is not None
    count = op.cast(op.Div(op.size(x), op.size(r)), r.dtype)
    return op.Expand(op.Div(r, count), op.shape(x))


def _as_average(call: Call) -> Call:
    """The average pool over a max pool's windows."""
    return call.variant("AveragePool", without=("storage_order",))


@routing("MaxPool", winner=True, pooling=True, sign="keeps", average=_as_average)
def max_pool(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """The winner takes all, ties to the first."""
    # Indices are asked of a second node: with them the pool itself would leave its faster kernel.
    _, winners = op.run(call.variant(without=("storage_order",)), outputs=2)
    return op.scatter_back(r, winners, call.operand(0))


@routing("GlobalMaxPool", winner=True, pooling=True, sign="keeps")
def global_max_pool(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """The winner takes all, ties to the first."""
    x = call.operand(0)
    flat = op.Reshape(x, op.ints([0, 0, -1]))
    winner = op.ArgMax(flat, axis=2, keepdims=1)
    assert r.dtype is not None
    onehot = op.one_hot(winner, op.dim(flat, 2), r.dtype)
    return op.Reshape(op.Mul(op.Reshape(r, op.ints([0, 0, 1])), onehot), op.shape(x))
