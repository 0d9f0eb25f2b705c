"""The reverse walk: take a step, call its treatment, add what it gives back to its operands."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable

import onnx_ir as ir

from onnxlrp.emit.backward import Absorbed, Arrived, Backward
from onnxlrp.emit.context import Context
from onnxlrp.emit.float16 import working_type
from onnxlrp.emit.ledger import LedgerTaps
from onnxlrp.emit.relevance import Relevance, total
from onnxlrp.plan import Step


def rounded_values(steps: Iterable[Step], graph: ir.Graph) -> frozenset[ir.Value]:
    """Find the values whose relevance is to be an amount: those that kernels round inside, and outputs. Upstream of
    them relevance goes through the same computation without rounding, where a factor would stand for another amount."""
    found = {step.layer.x for step in steps if step.layer is not None and step.layer.kernel_rounds}
    return frozenset(found | set(graph.outputs) if found else ())


class Walk:
    """Relevance on its way from the seeds to the inputs: all that changes on the way back is here."""

    def __init__(self, context: Context, ledger: LedgerTaps | None = None) -> None:
        self.context, self.ledger = context, ledger
        self.relevance: dict[ir.Value, list[Relevance]] = {}
        """The contributions that have arrived at each value, which are added up when a step takes them."""
        self.products: list[Relevance] = []
        """All that steps gave back as `Backward.products`."""
        self.interactions: dict[str, ir.Value] = {}
        """All that steps gave back as `Backward.interactions`, by the step's name."""

    def start(self, relevance: Relevance) -> None:
        """Let relevance begin at a value."""
        self._add([relevance.settled(self.context)])

    def hand_on(self, step: Step, value: ir.Value) -> None:
        """Record a step that is left out, because it hands all relevance on to a value as it is."""
        if self.ledger is not None:
            self.ledger.record(self.context, step, self.relevance[value], Backward(self.relevance[value]))

    def run(self, steps: Iterable[Step]) -> None:
        """Walk all steps, in their order."""
        for step in steps:
            found = [self.relevance.get(v) for v in step.outputs]
            if not any(found):
                continue
            context = dataclasses.replace(self.context, dtype=working_type(self.context.carried, step))
            context.op.label(f"{step.name}: {step.rule_text}")
            arrived = [None if r is None else total(context, r) for r in found]
            passing = [None if r is None else masked(context, r) for r in arrived]
            back = context.treatments[step.kind](context, step, passing)
            parts = [part.settled(context) for part in back.parts]
            self._add(parts)
            self.products += back.products
            if back.interactions is not None:
                self.interactions[step.name] = back.interactions
            if self.ledger is not None:
                absorbed = functools.partial(_with_dropped, context, back, arrived, passing)
                self.ledger.record(context, step, arrived, dataclasses.replace(back, parts=parts, absorbed=absorbed))

    def _add(self, parts: Iterable[Relevance]) -> None:
        for part in parts:
            if part.value in self.context.receivers:
                self.relevance.setdefault(part.value, []).append(part)

    def amount(self, value: ir.Value, dtype: ir.DataType) -> ir.Value:
        """The relevance that a value has received, in a type; zeros where none arrived."""
        context, parts = dataclasses.replace(self.context, dtype=dtype), self.relevance.get(value)
        if parts is None:
            return context.op.full_like(value, 0, dtype)
        return masked(context, total(context, parts)).amount(context)


def masked(context: Context, relevance: Relevance) -> Relevance:
    """Let the relevance of a value that has a mask pass it."""
    mask = context.masks.get(relevance.value)
    return relevance if mask is None else relevance.masked(context, mask)


def _with_dropped(context: Context, back: Backward, arrived: Arrived, passing: Arrived) -> Absorbed:
    """Add what masks drop of the relevance that arrives at a step to what the step keeps."""
    pairs = [(r, kept) for r, kept in zip(arrived, passing, strict=True) if r is not None and kept is not None]
    dropped = [context.op.Sub(r.amount(context), kept.amount(context)) for r, kept in pairs if kept is not r]
    return back.absorbed() + Absorbed(stopped=dropped)
