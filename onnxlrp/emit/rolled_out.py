"""Attention rollout: the weights of all blocks, multiplied from the rows that the score reads to the tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import onnx_ir as ir

from onnxlrp.emit.context import Context
from onnxlrp.emit.enlarged_map import map_on_input
from onnxlrp.graph.builder import Builder
from onnxlrp.plan.axis_factors import Axes, AxisFactor
from onnxlrp.plan.steps import AttentionBlock, Rollout


def rollouts_of_inputs(
    context: Context, wanted: Rollout, gradients: Sequence[ir.Value], inputs: Sequence[ir.Value]
) -> list[ir.Value]:
    """The weights of tokens on each input, in the input's shape and the type of the gradients, which are those at
    `wanted.ends`."""
    found = dict(zip(wanted.ends, gradients, strict=True))
    return [_on_input(context, wanted, found, v) for v in inputs]


def _on_input(context: Context, wanted: Rollout, gradients: Mapping[ir.Value, ir.Value], like: ir.Value) -> ir.Value:
    op, blocks, tokens, samples = context.op, wanted.blocks[like], wanted.tokens[like], wanted.samples[like]
    row = _rows_read(op, blocks[-1], gradients[blocks[-1].product])
    for block in reversed(blocks):
        row = _through(context, wanted, block, row)
    row = op.Squeeze(row, op.ints([1]))
    patches = len(tokens.axes) > 1 or 2 in wanted.axes[like].picture
    count = op.ints([math.prod(tokens.sizes)]) if patches else op.dim(like, tokens.axes[0])
    row = _cut(op, _cut(op, row, 1, tokens, count), 0, samples, op.dim(like, 0))
    if len(tokens.axes) > 1:
        row = op.Reshape(row, op.ints([-1, *tokens.sizes]))
    return map_on_input(op, row, wanted.axes[like], like)


def _cut(op: Builder, tensor: ir.Value, axis: int, run: AxisFactor, count: ir.Value) -> ir.Value:
    """Cut the `count` places of a run out of an axis that has further places at its ends. How many these are may depend
    on other inputs, where they are at one end alone."""
    if not run.lead and not run.trail:
        return tensor
    start = op.ints([run.lead]) if run.trail else op.Sub(op.dim(tensor, axis), count)
    return op.Slice(tensor, start, op.Add(start, count), op.ints([axis]))


def _rows_read(op: Builder, block: AttentionBlock, gradient: ir.Value) -> ir.Value:
    """The weights [N, 1, rows] of the rows that the score reads: equal, and with the sum 1."""
    moves = op.Where(op.Equal(gradient, 0.0), op.number(0.0, gradient), op.number(1.0, gradient))
    split, heads = _by_heads(op, moves, block.of_product)
    read = op.ReduceMax(split, op.ints([*heads, len(op.dims(split)) - 1]), keepdims=0)
    read = op.Unsqueeze(read, op.ints([1] if _has_samples(block.of_product) else [0, 1]))
    # Where the score depends on no row, all weights are 0.
    return op.Div(read, op.Max(op.ReduceSum(read, op.ints([-1]), keepdims=1), op.number(1.0, read)))


def _through(context: Context, wanted: Rollout, block: AttentionBlock, row: ir.Value) -> ir.Value:
    """Multiply weights of rows [N, 1, rows] with the matrix of a block, whose rows are brought to the sum 1."""
    op, rolling = context.op, wanted.rolling
    assert row.dtype is not None
    split, heads = _by_heads(op, op.cast(context.finite(block.weights), row.dtype), block.leading)
    reduce = {"mean": op.ReduceMean, "max": op.ReduceMax, "min": op.ReduceMin}[rolling.heads]
    matrix = reduce(split, op.ints(heads), keepdims=0) if heads else split
    matrix = matrix if _has_samples(block.leading) else op.Unsqueeze(matrix, op.ints([0]))
    sums = op.Transpose(op.ReduceSum(matrix, op.ints([-1]), keepdims=1), perm=[0, 2, 1])
    sums = op.Add(op.Mul(sums, 1 - rolling.residual), rolling.residual)
    # A row that a mask hides completely has the sum 0.
    row = op.Div(row, op.Where(op.Equal(sums, 0.0), op.number(1.0, sums), sums))
    return op.Add(op.Mul(row, rolling.residual), op.MatMul(op.Mul(row, 1 - rolling.residual), matrix))


def _by_heads(op: Builder, tensor: ir.Value, leading: Axes) -> tuple[ir.Value, list[int]]:
    """Give every factor of the leading axes an axis of its own; returns the indices of those that count heads."""
    factors = [f for axis in leading for f in axis]
    if len(factors) > len(leading):
        sizes = [-1 if f.axes else f.size for f in factors]
        tensor = op.Reshape(tensor, op.Concat(op.ints(sizes), op.shape(tensor, len(leading)), axis=0))
    return tensor, [i for i, f in enumerate(factors) if not f.axes]


def _has_samples(leading: Axes) -> bool:
    return any(f.axes for axis in leading for f in axis)
