"""The conservation ledger: what arrives at each step, what it passes on, and where the rest went."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import onnx_ir as ir

from onnxlrp.emit.backward import Arrived, Backward
from onnxlrp.emit.context import Context
from onnxlrp.emit.float16 import bounded, widest
from onnxlrp.graph.builder import Builder
from onnxlrp.graph.provenance import mark_rule
from onnxlrp.graph.walks import read_by, upstream
from onnxlrp.interface import LEDGER_COLUMNS
from onnxlrp.plan import Step


class LedgerTaps:
    """Signed sums over the batch, each column by its own formula, so that closing is a check."""

    def __init__(self, op: Builder, dtype: ir.DataType) -> None:
        self.op, self.dtype, self._before = op, widest(dtype), set(op.graph)
        self.rows: dict[str, list[list[ir.Value]]] = {}
        """For each step, by its name, the lists of values that its columns add up."""
        self.marked: set[str] = set()
        """Steps that do not conserve relevance: their bias column is the remainder."""

    def _total(self, tensor: ir.Value) -> ir.Value:
        """The sum of a tensor, [1, 1]: without a constant, for onnxruntime's optimiser is slow where hundreds of nodes
        share one."""
        flat = self.op.Flatten(self.op.cast(bounded(self.op, tensor), self.dtype), axis=0)
        return self.op.ReduceSum(flat, keepdims=1)

    def record(self, context: Context, step: Step, arrived: Arrived, back: Backward) -> None:
        """Add the row of a step: what accumulated at its outputs, what it sends to operands and what it keeps."""
        sent: dict[bool, list[ir.Value]] = {True: [], False: []}
        for part in back.parts:
            sent[part.value in context.receivers].append(part.amount(context))
        kept, arrives = back.absorbed(), [r.amount(context) for r in arrived if r is not None]
        columns = (arrives, sent[True], kept.bias, kept.epsilon, [*sent[False], *kept.stopped])
        self.rows[step.name] = [[self._total(amount) for amount in column] for column in columns]
        if not back.conserves:
            self.marked.add(step.name)

    def label(self, results: Sequence[ir.Value]) -> None:
        """Label the nodes that no result needs as the ledger's own, in the metadata where others have their rule."""
        needed = set(upstream(results, lambda node: () if node in self._before else read_by(node)))
        for node in self.op.graph:
            if node not in needed and node not in self._before:
                mark_rule(node, "ledger")

    def total(self) -> ir.Value:
        """The sums of all columns, [5]."""
        op = self.op
        if not self.rows:
            return op.full(op.ints([len(LEDGER_COLUMNS)]), 0, self.dtype)
        return op.ReduceSum(self.table(), op.ints([0]), keepdims=0)

    def table(self) -> ir.Value:
        """The sums of the columns for each step, [steps, 5]."""
        op, zero, rows = self.op, self.op.constant([[0.0]], self.dtype), []
        for name, row in self.rows.items():
            cells = [functools.reduce(op.Add, column) if column else zero for column in row]
            if name in self.marked:
                arrives, passed, _, epsilon, stopped = cells
                cells[2] = op.Sub(arrives, op.Add(op.Add(passed, epsilon), stopped))
            rows.append(cells)
        return op.Concat(*(op.Concat(*column, axis=0) for column in zip(*rows, strict=True)), axis=1)
