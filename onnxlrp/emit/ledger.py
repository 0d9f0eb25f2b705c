"""The conservation ledger: what arrives at each step, what it passes on, and where the rest went."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import onnx_ir as ir

from onnxlrp.emit.float16 import bounded, widest
from onnxlrp.graph.builder import Builder
from onnxlrp.plan import Step

COLUMNS = ("arrives", "passed on", "bias", "ε", "stopped")


@dataclasses.dataclass
class _Row:
    name: str
    arrives: ir.Value
    passed: list[ir.Value] = dataclasses.field(default_factory=list)
    bias: list[ir.Value] = dataclasses.field(default_factory=list)
    epsilon: list[ir.Value] = dataclasses.field(default_factory=list)
    stopped: list[ir.Value] = dataclasses.field(default_factory=list)
    marked: bool = False


class Ledger:
    """Signed sums over the batch, each column by its own formula, so that closing is a check."""

    def __init__(self, op: Builder, dtype: ir.DataType) -> None:
        self.op, self.dtype = op, widest(dtype)
        self.rows: dict[str, _Row] = {}

    def _total(self, tensor: ir.Value) -> ir.Value:
        """The sum of a tensor, [1, 1]: without a constant, for onnxruntime's optimiser is slow where hundreds of nodes
        share one."""
        flat = self.op.Flatten(self.op.cast(bounded(self.op, tensor), self.dtype), axis=0)
        return self.op.ReduceSum(flat, keepdims=1)

    def arrives(self, step: Step, amounts: Sequence[ir.Value]) -> None:
        """What has accumulated at the outputs of a step."""
        total = functools.reduce(self.op.Add, map(self._total, amounts))
        self.rows[step.name] = _Row(step.name, total)

    def sent(self, step: Step, amount: ir.Value, *, goes_on: bool) -> None:
        """What a step gives to an operand."""
        row = self.rows[step.name]
        (row.passed if goes_on else row.stopped).append(self._total(amount))

    def bias(self, step: Step, amount: ir.Value) -> None:
        """The share of constants."""
        self.rows[step.name].bias.append(self._total(amount))

    def epsilon(self, step: Step, amount: ir.Value) -> None:
        """What the stabiliser kept."""
        self.rows[step.name].epsilon.append(self._total(amount))

    def stopped(self, step: Step, amount: ir.Value) -> None:
        """What a rule dropped."""
        self.rows[step.name].stopped.append(self._total(amount))

    def mark(self, step: Step) -> None:
        """A step that does not conserve relevance: its bias column is the remainder."""
        self.rows[step.name].marked = True

    @property
    def marked(self) -> bool:
        """Whether any step does not conserve relevance."""
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
                for part in ([row.arrives], row.passed, row.bias, row.epsilon, row.stopped)
            )
            if row.marked:
                bias = op.Sub(arrives, op.Add(op.Add(passed, epsilon), stopped))
            for column, cell in zip(columns, (arrives, passed, bias, epsilon, stopped), strict=True):
                column.append(cell)
        return op.Concat(*(op.Concat(*column, axis=0) for column in columns), axis=1)
