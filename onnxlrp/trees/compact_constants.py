"""Constants that the file stores compactly, and the session expands on loading."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from onnxlrp.trees.forest import Array

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder

INT32 = ir.DataType.INT32


def whole_numbers(op: Builder, column: Array) -> ir.Value:
    """Emit whole numbers as int32, stored in the smallest type that holds them: the session widens them on loading."""
    small = np.result_type(np.min_scalar_type(column.min(initial=0)), np.min_scalar_type(column.max(initial=0)))
    if small.itemsize > 2:
        return op.constant(column.astype(np.int32))
    return op.Cast(op.constant(column.astype(small)), to=INT32)


def floats(op: Builder, column: Array, dtype: ir.DataType) -> ir.Value:
    """Emit floats [n] or [n, columns] in the form that takes the fewest bytes.

    They are stored in single precision if that loses nothing, and as indices into a list of the distinct numbers, or of
    the distinct rows, if that is smaller.
    """
    column = column.astype(dtype.numpy())
    narrow = column.astype(np.float32)
    numbers = narrow if np.array_equal(narrow, column, equal_nan=True) else column
    ways = [
        (numbers.nbytes, numbers, None),
        *(_listed(*listed) for listed in (_different(numbers), _different_rows(numbers)) if listed),
    ]
    _, table, places = min(ways, key=lambda way: way[0])
    table_values = op.cast(op.constant(table), dtype)
    return table_values if places is None else op.Gather(table_values, whole_numbers(op, places), axis=0)


def _listed(table: Array, places: Array) -> tuple[int, Array, Array]:
    size = 1 if len(table) <= 2**8 else 2 if len(table) <= 2**16 else 4
    return table.nbytes + places.size * size, table, places


def _different(column: Array) -> tuple[Array, Array]:
    table, places = np.unique(column, return_inverse=True)
    return table, places.reshape(column.shape)


def _different_rows(rows: Array) -> tuple[Array, Array] | None:
    """List the distinct rows, and for each row its index among them; None if there are no rows, or one column."""
    if rows.ndim < 2 or not rows.size or rows.shape[1] < 2:
        return None
    whole = np.ascontiguousarray(rows).view(f"V{rows.itemsize * rows.shape[1]}").reshape(-1)
    _, first, places = np.unique(whole, return_index=True, return_inverse=True)
    return rows[first], places.reshape(-1)


def bits(op: Builder, flags: Array) -> ir.Value:
    """Emit booleans, stored eight to a byte."""
    packed = op.Unsqueeze(op.Cast(op.constant(np.packbits(flags)), to=INT32), op.ints([1]))
    places = op.constant(2 ** np.arange(7, -1, -1, dtype=np.int32))
    each = op.Mod(op.Div(packed, places), op.constant(np.int32(2)))
    every = op.Slice(op.Reshape(each, op.ints([-1])), op.ints([0]), op.ints([flags.size]))
    return op.Cast(every, to=ir.DataType.BOOL)


def positions(op: Builder, flags: Array) -> ir.Value:
    """Emit the places at which flags are set, int64; one bit is stored for each flag.

    TopK of constants is folded when a session is created; onnxruntime runs NonZero and Compress again in every run.
    """
    every = op.Range(*(op.ints_scalar(n) for n in (0, flags.size, 1)))
    placed = op.Where(bits(op, flags), every, op.ints_scalar(flags.size))
    return op.TopK(placed, op.ints([int(flags.sum())]), largest=0, _outputs=2)[0]


def merged_places(op: Builder, flags: Array) -> ir.Value:
    """Emit the indices that interleave two parts laid end to end, int32 [n]: where a flag is set, the next element of
    the first part, else the next element of the second."""
    mask = bits(op, flags)
    first, second = (op.CumSum(op.Cast(part, to=INT32), op.ints_scalar(0)) for part in (mask, op.Not(mask)))
    one, count = op.constant(np.int32(1)), op.constant(np.int32(flags.sum() - 1))
    return op.Where(mask, op.Sub(first, one), op.Add(second, count))
