"""Sums over the rows or columns of a table that belong to the same feature."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from onnxlrp.trees.compact_constants import whole_numbers
from onnxlrp.trees.forest import Array

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder

_DENSE = 2**19
"""Most elements of a 0/1 matrix that multiplies the rows."""
_DENSE_COLUMNS = 2**21
"""Most elements of a 0/1 matrix that multiplies columns: larger than `_DENSE`, because the other way has to transpose
them."""
_LONGEST = 32
"""Most rows that are added up at once."""


def sums_by_feature(op: Builder, run: Builder, rows: ir.Value, feature: Array, count: int) -> ir.Value:
    """Add up the rows [rows, N] of each feature, [count, N]; constants go to `op`, the other nodes to `run`.

    A product with a 0/1 matrix adds them up if the matrix is small. Else the rows of each feature are padded to whole
    blocks and the blocks added up, again and again, until the matrix is small or each feature has one row.
    """
    while feature.size * count > _DENSE and (most := int(np.bincount(feature).max())) > 1:
        mean = feature.size / np.unique(feature).size
        length = min(_LONGEST, most, 2 ** int(np.ceil(np.log2(max(mean, 2)))))
        rows, feature = _blocks_added(op, run, rows, feature, length)
    if feature.size * count > _DENSE:
        places = np.full(count, feature.size)
        places[feature] = np.arange(feature.size)
        return run.Gather(with_nothing(run, rows), whole_numbers(op, places), axis=0)
    return run.MatMul(_one_hot(op, feature, count, rows.dtype), rows)


def sums_of_columns(op: Builder, run: Builder, table: ir.Value, feature: Array, count: int) -> ir.Value:
    """Add up the columns [N, columns] of each feature, [N, count], as `sums_by_feature` does with rows."""
    if feature.size * count <= _DENSE_COLUMNS:
        return run.MatMul(table, op.Transpose(_one_hot(op, feature, count, table.dtype), perm=[1, 0]))
    rows = sums_by_feature(op, run, run.Transpose(table, perm=[1, 0]), feature, count)
    return run.Transpose(rows, perm=[1, 0])


def _one_hot(op: Builder, feature: Array, count: int, dtype: ir.DataType | None) -> ir.Value:
    """Emit the 0/1 matrix [count, features]."""
    assert dtype is not None
    numbers = op.Unsqueeze(op.Range(*(op.constant(np.int32(n)) for n in (0, count, 1))), op.ints([1]))
    return op.Cast(op.Equal(numbers, whole_numbers(op, feature)), to=dtype)


def _blocks_added(op: Builder, run: Builder, rows: ir.Value, feature: Array, length: int) -> tuple[ir.Value, Array]:
    """Add up blocks of `length` rows of one feature; returns the sums with their features."""
    order = np.argsort(feature, kind="stable")
    sizes = np.bincount(feature)
    blocks = -(-sizes // length)
    rank = np.arange(feature.size) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    places = np.full(blocks.sum() * length, feature.size)
    places[np.repeat(np.cumsum(blocks) - blocks, sizes) * length + rank] = order
    padded = run.Gather(with_nothing(run, rows), whole_numbers(op, places), axis=0)
    shape = run.Concat(run.ints([int(blocks.sum()), length]), run.dim(rows, 1), axis=0)
    sums = run.ReduceSum(run.Reshape(padded, shape), run.ints([1]), keepdims=0)
    return sums, np.repeat(np.arange(sizes.size), blocks)


def with_nothing(run: Builder, rows: ir.Value) -> ir.Value:
    """Append a row of zeros."""
    one = run.Concat(run.ints([1]), run.dim(rows, 1), axis=0)
    return run.Concat(rows, run.full(one, 0, rows.dtype), axis=0)
