"""The reverse walk: pop a step, apply its treatment, accumulate."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TypeGuard

import onnx_ir as ir

from onnxlrp.analysis.facts import Facts
from onnxlrp.composites import Composite
from onnxlrp.emit.float16 import MANY, bounded, working_type
from onnxlrp.emit.ledger import Ledger
from onnxlrp.emit.relevance import Part, Relevance, Stand, Won
from onnxlrp.graph.builder import Builder
from onnxlrp.graph.call import Call
from onnxlrp.operators.heads import lowest
from onnxlrp.plan import Overrides, Step, StepKind

Treat = Callable[["Walk", Step], None]


def shaped(tensor: ir.Value, like: ir.Value) -> ir.Value:
    """The tensor, known to have the shape of a value: inference through shape arithmetic forgets the names of
    dimensions, and what is not known to be equal must be treated as if it were broadcast."""
    if like.shape is not None:
        tensor.shape = like.shape
    return tensor


class Walk:
    """Relevance on its way from the seeds to the inputs.

    `dtype`: the type that a step computes in. `carried`: the type in which relevance goes from step to step.
    `receivers`: values that relevance goes on from; what is sent anywhere else is stopped.
    """

    def __init__(
        self,
        op: Builder,
        facts: Facts,
        composite: Composite,
        dtype: ir.DataType,
        receivers: Iterable[ir.Value],
        ledger: Ledger | None = None,
        overrides: Overrides = (),
    ) -> None:
        self.op, self.facts, self.composite = op, facts, composite
        self.dtype = self.carried = dtype
        op.epsilon = composite.norm.epsilon
        self.receivers = set(receivers)
        self.ledger, self.overrides = ledger, overrides
        self.rounded: set[ir.Value] = set()
        self.treatments: Mapping[StepKind, Treat] = {}
        self.gradient = composite.seed == "gradient"
        self.relevance: dict[ir.Value, Relevance] = {}
        self.embedded: list[tuple[ir.Value, ir.Value]] = []
        """Ids of embedding lookups under gradient × input, each with the product of embedding and gradient."""
        self._step: Step | None = None

    def note_rounded(self, steps: Iterable[Step]) -> None:
        """Take relevance as amounts at what kernels round inside, and at outputs: there relevance goes on at the same
        computation without rounding, where a factor would stand for another amount."""
        found = {step.layer.x for step in steps if step.layer is not None and step.layer.kernel_rounds}
        self.rounded |= found | set(self.op.graph.outputs) if found else set()

    def run(self, steps: Iterable[Step], treatments: Mapping[StepKind, Treat]) -> None:
        """Walk all steps, in their order."""
        self.treatments, steps = treatments, list(steps)
        self.note_rounded(steps)
        for step in steps:
            if not any(v in self.relevance for v in step.outputs):
                continue
            self._step = step
            self.dtype = working_type(self.carried, step)
            self.op.label(f"{step.name}: {step.rule_text}")
            if self.ledger is not None:
                self.ledger.arrives(step, [self.amount(v) for v in step.outputs if v in self.relevance])
            treatments[step.kind](self, step)
        self.dtype = self.carried

    # Reading

    def read(self, value: ir.Value) -> ir.Value:
        """A value of the model in the type that the step computes in."""
        return self.op.cast(value, self.dtype)

    def call(self, step: Step) -> Call:
        """The step's call with floating-point operands and outputs in the type of the relevance part."""
        call = step.call
        carrying = {*step.operands, *step.entry.operands(call)} | (
            set(range(len(call.inputs))) if step.entry.elementwise or step.entry.scale else set()
        )
        rows = {i: self.finite(v) for i, v in step.operands.items() if v in self.facts.hidden_rows}
        return self.cast(call, carrying).rebind(rows)

    def cast(self, call: Call, operands: Collection[int] | None = None) -> Call:
        """A call with its floating-point outputs and some operands, or all, in the type of the relevance part."""
        if all(v.dtype == self.dtype for v in (*call.inputs, *call.outputs) if self._is_float(v)):
            return call
        read = {i: self._float(v) for i, v in enumerate(call.inputs) if operands is None or i in operands}
        outputs = [self._float(v) or v for v in call.outputs]
        return dataclasses.replace(call.rebind(read), outputs=tuple(outputs))

    def _is_float(self, value: ir.Value | None) -> TypeGuard[ir.Value]:
        """Decide whether a value is a floating-point number; data of a type that cannot be inferred is."""
        if value is None or value.dtype is None:
            return value is not None and value in self.facts.data
        return value.dtype.is_floating_point()

    def _float(self, value: ir.Value | None) -> ir.Value | None:
        return self.read(value) if self._is_float(value) else value

    def carrier(self, value: ir.Value) -> ir.Value | None:
        """The value that all relevance of a value is a factor of; None where some of it is an amount."""
        return self.relevance[value].carrier

    def stand(self, value: ir.Value) -> Stand | None:
        """The relation of a value's carrier to the value; None where there is no carrier."""
        return None if self.carrier(value) is None else self.relevance[value].stand

    def won(self, value: ir.Value) -> Won | None:
        """The winners of the pool that a value's factor comes from; None where there is no pool or the ledger asks for
        more than a quotient."""
        won = self.relevance[value].won
        return won if won is not None and self.ledger is None and won.factor.dtype == self.dtype else None

    def factor(self, value: ir.Value) -> ir.Value:
        """The factor c, where there is a carrier."""
        return shaped(self._sum([p.tensor for p in self.relevance[value].parts]), value)

    def amount(self, value: ir.Value) -> ir.Value:
        """The relevance R of a value, in its shape."""
        won = self.won(value)
        if won is not None:
            return shaped(won.back(bounded(self.op, self._product(won.factor, won.carrier))), value)
        groups: dict[ir.Value | None, list[ir.Value]] = {}
        for part in self.relevance[value].parts:
            groups.setdefault(part.carrier, []).append(part.tensor)
        amounts = [
            self._sum(tensors) if carrier is None else bounded(self.op, self._product(self._sum(tensors), carrier))
            for carrier, tensors in groups.items()
        ]
        return shaped(self._sum(amounts), value)

    def known(self, value: ir.Value) -> ir.Value:
        """A value of the model, 0 where it is NaN because it is missing."""
        return self.where_known(value, self.read(value))

    def where_known(self, value: ir.Value, tensor: ir.Value) -> ir.Value:
        """A tensor in the shape of a value, 0 where the value is NaN because it is missing."""
        if value not in self.facts.missing:
            return tensor
        return shaped(self.op.Where(self.op.IsNaN(value), self.op.number(0.0, tensor), tensor), value)

    def finite(self, carrier: ir.Value) -> ir.Value:
        """A carrier that may be multiplied by 0: the lowest number for a −∞ that a mask or a pad put there, and 0 for a
        missing value or the NaN of a row that a mask hides."""
        value = self.known(carrier)
        if carrier in self.facts.hidden_rows:
            value = self.op.Where(self.op.IsNaN(value), self.op.number(0.0, value), value)
        return self.op.Max(value, lowest(self.op, value)) if carrier in self.facts.maybe_infinite else value

    def _product(self, factor: ir.Value, carrier: ir.Value) -> ir.Value:
        """`c · carrier`."""
        return self.op.Mul(factor, self.finite(carrier))

    def arrived(self, step: Step, *, as_factor: bool = False) -> ir.Value | list[ir.Value | None]:
        """The amount, or the factor, at a step's output; of an operator that takes many, a list with one per output."""
        arrives = self.factor if as_factor else self.amount
        if step.entry.per_output:
            return [arrives(v) if v in self.relevance else None for v in step.outputs]
        return arrives(step.outputs[0])

    def _sum(self, tensors: Sequence[ir.Value]) -> ir.Value:
        """In the type that the step computes in."""
        total = functools.reduce(self.op.Add, [self.op.cast(t, self.dtype) for t in tensors])
        return total if len(tensors) < MANY else bounded(self.op, total)

    # Sending

    def wants(self, value: ir.Value) -> bool:
        """Decide whether it is worth computing what goes to a value: it leads on, or the ledger counts it."""
        return value in self.receivers or (self.ledger is not None and value in self.facts.data)

    def send(
        self,
        value: ir.Value,
        tensor: ir.Value,
        carrier: ir.Value | None = None,
        stand: Stand = Stand.ITSELF,
        won: Won | None = None,
    ) -> None:
        """Relevance for a value: an amount, or a factor of `carrier`; all as `relevance.Part` says."""
        if value in self.rounded and carrier is not None and won is None:
            tensor, carrier, stand = self._product(self.op.cast(tensor, self.dtype), carrier), None, Stand.ITSELF
        tensor = shaped(bounded(self.op, self.op.cast(tensor, self.carried)), value)
        if value in self.facts.missing:
            tensor, won = self.where_known(value, tensor), None
        if self.ledger is not None and self._step is not None:
            sent = tensor if carrier is None else self._product(self.op.cast(tensor, self.dtype), carrier)
            self.ledger.sent(self._step, sent, goes_on=value in self.receivers)
        if value in self.receivers:
            self.relevance.setdefault(value, Relevance()).add(Part(tensor, carrier, stand, self._step, won))
