"""A computation row by row, done for a few rows at a time so that its memory is bounded."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import onnx_ir as ir

from onnxlrp.graph.row_slices import RowSlices
from onnxlrp.trees.loop_bodies import loop_body

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder

CHUNK = 2**22
"""Elements of the largest array that a chunk's rows need."""
FEWEST_ROWS = 8
"""Fewest rows of a chunk."""
UNCHUNKED = 2**10
"""Rows that need fewer elements than this each are not cut into chunks."""
Computation = Callable[["Builder", Sequence[ir.Value]], ir.Value]


def in_chunks(op: Builder, rows: int, tables: Sequence[ir.Value], computations: Sequence[Computation]) -> ir.Value:
    """Emit the sum of some computations, each in a Loop of its own that computes at most `rows` rows at a time.

    `tables`, [N, columns], are cut along their rows; a computation emits its result for cut tables, [rows, ...]. Chunks
    are of equal size: the last one begins early enough, and what it computes twice is left out.

    The time that onnxruntime takes to create a session grows with the square of the number of constants that a Loop
    reads from outside: for a body of 9,000 nodes it took 44 s, and 3 s for 45 Loops with the same nodes.
    """
    slices = RowSlices.of(op, op.dim(tables[0], 0), rows)
    trips = op.Reshape(slices.trips, op.ints([]))
    each = [_loop(op, trips, slices, tables, compute) for compute in computations]
    return slices.joined(op, functools.reduce(op.Add, each))


def _loop(
    op: Builder, trips: ir.Value, slices: RowSlices, tables: Sequence[ir.Value], compute: Computation
) -> ir.Value:
    """Append a Loop over slices of rows; returns its results, stacked."""
    scalars = {"chunk": (ir.DataType.INT64, ir.Shape([])), "going": (ir.DataType.BOOL, ir.Shape([]))}
    body, run = loop_body(op, "rows", scalars)
    chunk, going = body.inputs
    start = slices.start(run, chunk)
    end = run.Add(start, slices.size)
    cut = [run.Slice(table, start, end, run.ints([0])) for table in tables]
    body.outputs.extend([run.Identity(going), compute(run, cut)])
    result = body.outputs[1]
    stacked = ir.val(body.name, type=result.type, shape=ir.Shape([None, *(result.shape or ())]))
    op.append(ir.Node("", "Loop", [trips, op.constant(True)], [ir.AttrGraph("body", body)], outputs=[stacked]))
    return stacked
