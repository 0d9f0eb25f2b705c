"""Slices of rows of equal size, which a Loop computes one after the other so that its memory is bounded."""

from __future__ import annotations

import dataclasses

import onnx_ir as ir

from onnxlrp.graph.builder import Builder


@dataclasses.dataclass(frozen=True)
class RowSlices:
    """Slices of N rows, at most a given number each.

    The last slice begins early enough to be of the size of the others, so that some rows may be computed twice.
    """

    rows: ir.Value
    """Number N of rows, int64 [1]."""
    trips: ir.Value
    """Number of slices, int64 [1], at least 1."""
    size: ir.Value
    """Rows of a slice, int64 [1]."""
    last: ir.Value
    """Row at which the last slice begins, int64 [1]."""

    @classmethod
    def of(cls, op: Builder, rows: ir.Value, most: int) -> RowSlices:
        """Emit the slices of N rows, int64 [1], of at most `most` rows each."""
        one = op.ints([1])
        trips = op.Max(op.Div(op.Sub(op.Add(rows, op.ints([most])), one), op.ints([most])), one)
        size = op.Div(op.Sub(op.Add(rows, trips), one), trips)
        return cls(rows, trips, size, op.Sub(rows, size))

    def start(self, run: Builder, index: ir.Value) -> ir.Value:
        """Emit the row, int64 [1], at which the slice of an index, int64 [], begins; `run` builds the Loop's body."""
        return run.Min(run.Mul(run.Reshape(index, run.ints([1])), self.size), self.last)

    def joined(self, op: Builder, stacked: ir.Value) -> ir.Value:
        """Emit the N rows of stacked slices [trips, size, ...], each row once."""
        one = op.ints([1])
        flat = op.Reshape(stacked, op.Concat(op.ints([-1]), op.shape(stacked, 2), axis=0))
        index = op.Range(op.ints_scalar(0), op.Reshape(self.rows, op.ints([])), op.ints_scalar(1))
        twice = op.Sub(op.Mul(self.trips, self.size), self.rows)
        in_last = op.GreaterOrEqual(index, op.Mul(op.Sub(self.trips, one), self.size))
        return op.Gather(flat, op.Where(in_last, op.Add(index, twice), index), axis=0)
