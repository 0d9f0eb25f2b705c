"""The conservation ledger: what arrives at each step, what it passes on, and where the rest went."""

from __future__ import annotations

import dataclasses
import functools

import onnx_ir as ir

from onnxlrp.emit.backward import Arrived, Backward
from onnxlrp.emit.context import Context
from onnxlrp.emit.float16 import bounded, widest
from onnxlrp.graph.builder import Builder
from onnxlrp.plan import Step

COLUMNS = ("arrives", "passed on", "bias", "ε", "stopped")


@dataclasses.dataclass
class _Row:
    arrives: list[ir.Value] = dataclasses.field(default_factory=list)
    passed: list[ir.Value] = dataclasses.field(default_factory=list)
    bias: list[ir.Value] = dataclasses.field(default_factory=list)
    epsilon: list[ir.Value] = dataclasses.field(default_factory=list)
    stopped: list[ir.Value] = dataclasses.field(default_factory=list)
    marked: bool = False


class NoLedger:
    """The ledger of a conversion that keeps none."""

    def record(self, context: Context, step: Step, arrived: Arrived, back: Backward) -> None:
        """Leave a step out."""


class Ledger(NoLedger):
    """Signed sums over the batch, each column by its own formula, so that closing is a check."""

    def __init__(self, op: Builder, dtype: ir.DataType) -> None:
        self.op, self.dtype = op, widest(dtype)
        self.rows: dict[str, _Row] = {}

    def _total(self, tensor: ir.Value) -> ir.Value:
        """The sum of a tensor, [1, 1]: without a constant, for onnxruntime's optimiser is slow where hundreds of nodes
        share one."""
        flat = self.op.Flatten(self.op.cast(bounded(self.op, tensor), self.dtype), axis=0)
        return self.op.ReduceSum(flat, keepdims=1)

    def record(self, context: Context, step: Step, arrived: Arrived, back: Backward) -> None:
        """Add the row of a step: what accumulated at its outputs, what it sends to operands and what it keeps."""
        row = self.rows[step.name] = _Row(marked=not back.conserves)
        row.arrives = [self._total(r.amount(context)) for r in arrived if r is not None]
        for part in back.parts.values():
            goes_on = part.value in context.receivers
            (row.passed if goes_on else row.stopped).append(self._total(part.amount(context)))
        kept = back.absorbed()
        for column in ("bias", "epsilon", "stopped"):
            getattr(row, column).extend(map(self._total, getattr(kept, column)))

    @property
    def marked(self) -> bool:
        """True where any step does not conserve relevance."""
        return any(row.marked for row in self.rows.values())

    def total(self) -> ir.Value:
        """The sums of all columns, [5]."""
        op = self.op
        if not self.rows:
            return op.full(op.ints([5]), 0, self.dtype)
        return op.ReduceSum(self.table(), op.ints([0]), keepdims=0)

    def table(self) -> ir.Value:
        """All rows, [steps, 5]."""
        op, zero = self.op, self.op.constant([[0.0]], self.dtype)
        columns: list[list[ir.Value]] = [[] for _ in COLUMNS]
        for row in self.rows.values():
            arrives, passed, bias, epsilon, stopped = (
                functools.reduce(op.Add, part) if part else zero
                for part in (row.arrives, row.passed, row.bias, row.epsilon, row.stopped)
            )
            if row.marked:
                bias = op.Sub(arrives, op.Add(op.Add(passed, epsilon), stopped))
            for column, cell in zip(columns, (arrives, passed, bias, epsilon, stopped), strict=True):
                column.append(cell)
        return op.Concat(*(op.Concat(*column, axis=0) for column in columns), axis=1)
