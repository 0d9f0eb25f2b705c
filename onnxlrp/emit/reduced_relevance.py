"""Reduced relevance: sums over channels and over cells, the largest elements with their places, float16."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from onnxlrp.graph.builder import Builder
from onnxlrp.plan.asked_reductions import ReducedInput
from onnxlrp.reductions import edges_of_cells

_MOST = 65_536
"""Most numbers of a matrix of cells that is stored in the file; a larger one is computed in the graph."""


def reduced(op: Builder, relevance: ir.Value, asked: ReducedInput, targets: int) -> tuple[ir.Value, ir.Value | None]:
    """Reduce the relevance of an input, [N, ...], or [N, K, ...] with K targets.

    An input of one sample without an axis of samples has none in its relevance either, [...] or [K, ...]; N is 1 then.
    Returns the reduced relevance and, for the largest elements, their places in the flattened sample, else None.
    """
    reduction, axes = asked.reduction, asked.axes
    front = 1 if targets == 1 else 2
    if asked.has_no_batch:
        relevance = op.Unsqueeze(relevance, op.ints([0]))
    if reduction.sums_channels and axes.channels is not None:
        axis = axes.channels + front - (0 if axes.batch is None else 1)
        relevance = op.ReduceSum(relevance, op.ints([axis]), keepdims=0)
    if reduction.grid is not None:
        relevance = _cells(op, relevance, reduction.grid, front, len(asked.space))
    places = None
    if reduction.top is not None:
        relevance, places = _largest(op, relevance, reduction.top, front, targets, asked.choices)
    return op.cast(relevance, ir.DataType.FLOAT16) if reduction.half else relevance, places


def _cells(op: Builder, relevance: ir.Value, count: int, front: int, axes: int) -> ir.Value:
    """Sum over the cells along each of the last `axes` axes: a product with a matrix of 0 and 1 along one axis after
    the other, the last first, each of which is then moved to the place of the first."""
    order = [*range(front), front + axes - 1, *range(front, front + axes - 1)]
    for _ in range(axes):
        if op.dims(relevance)[-1] != count:
            relevance = _product(op, relevance, _matrix(op, relevance, count), count)
        if axes > 1:
            relevance = op.Transpose(relevance, perm=order)
    return relevance


def _product(op: Builder, relevance: ir.Value, matrix: ir.Value, count: int) -> ir.Value:
    """Multiply with a matrix [size, count] along the last axis.

    onnxruntime 1.31.1 fuses a transposition with a product, and then refuses a batch of no samples (1.32 does not);
    Flatten keeps the two apart.
    """
    last = len(op.dims(relevance)) - 1
    rows = op.MatMul(op.Flatten(relevance, axis=last), matrix)
    known = op.dims(relevance)[1:last]
    if all(size is not None for size in known):
        return op.Reshape(rows, op.ints([-1, *(size for size in known if size is not None), count]))
    sizes = [op.dim(relevance, axis) for axis in range(1, last)]
    return op.Reshape(rows, op.Concat(op.ints([-1]), *sizes, op.ints([count]), axis=0))


def _matrix(op: Builder, relevance: ir.Value, count: int) -> ir.Value:
    """Make the matrix [size, count] that is 1 where a place on the last axis lies in a cell."""
    size = op.dims(relevance)[-1]
    if size is not None and size * count <= _MOST:
        edges, places = np.array(edges_of_cells(size, count)), np.arange(size)[:, None]
        return op.constant((edges[:-1] <= places) & (places < edges[1:]), relevance.dtype)
    last = op.dim(relevance, len(op.dims(relevance)) - 1)
    length = op.Squeeze(last, op.ints([0]))
    places = op.Unsqueeze(op.Range(op.ints_scalar(0), length, op.ints_scalar(1)), op.ints([1]))
    starts, ends = (
        op.Div(op.Mul(op.ints(numbers), last), op.ints([count])) for numbers in (range(count), range(1, count + 1))
    )
    started, ended = (op.cast(op.Less(places, edges), relevance.dtype) for edges in (starts, ends))  # type: ignore[arg-type]
    return op.Sub(ended, started)


def _largest(
    op: Builder, relevance: ir.Value, count: int, front: int, targets: int, size: int | None
) -> tuple[ir.Value, ir.Value]:
    """Pick the elements of the largest absolute relevance in each sample, the largest first, with their places.

    A sample that may have fewer is padded with relevance 0 at the place -1.
    """
    flat = op.Flatten(relevance, axis=front)
    amounts = op.Abs(flat)
    if size is None:
        ends = op.ints([0, 0, 0, count])
        length = op.dim(flat, 1)
        amounts = op.Pad(amounts, ends, op.number(-1.0, amounts))
        flat = op.Pad(flat, ends, op.number(0.0, flat))
    _, places = op.TopK(amounts, op.ints([count]), axis=-1, _outputs=2)
    values = op.GatherElements(flat, places, axis=-1)
    if size is None:
        places = op.Where(op.Less(places, length), places, op.ints([-1]))
    if targets > 1:
        shape = op.ints([-1, targets, count])
        values, places = op.Reshape(values, shape), op.Reshape(places, shape)
    return values, places
