"""The context of a step on the way back: all that its treatment may look at, and nothing that it may change."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, TypeGuard

import onnx_ir as ir

from onnxlrp.analysis.facts import Facts
from onnxlrp.composites import Composite
from onnxlrp.graph.call import Call, shaped
from onnxlrp.operators.heads import lowest
from onnxlrp.operators.reverse_builder import ReverseBuilder
from onnxlrp.plan import Step, StepKind

if TYPE_CHECKING:
    from onnxlrp.emit.backward import Treat
    from onnxlrp.emit.concept_masks import Mask


@dataclasses.dataclass(frozen=True)
class Context:
    """The graph that is built, the facts about the model, and the choices of this conversion."""

    op: ReverseBuilder
    facts: Facts
    composite: Composite
    dtype: ir.DataType
    """The type that the step computes in."""
    carried: ir.DataType
    """The type in which relevance goes from step to step."""
    receivers: frozenset[ir.Value]
    """Values whose relevance is passed on; relevance that is sent to any other value is stopped."""
    treatments: Mapping[StepKind, Treat]
    baseline: Mapping[ir.Value, ir.Value] = dataclasses.field(default_factory=dict)
    """Values at the baseline of DeepLIFT, by the model's own."""
    rounded: frozenset[ir.Value] = frozenset()
    """Values whose relevance is carried as an amount, because kernels round them."""
    keeps_ledger: bool = False
    exact_factors: bool = False
    """True where the factors of inner values are asked for: activations then give the factor of their own operand."""
    forms: str = "cheapest"
    """"plain": relevance is carried as amounts alone, which every other form must agree with."""
    masks: Mapping[ir.Value, Mask] = dataclasses.field(default_factory=dict)
    """Masks that the relevance of inner values is multiplied with, before it is passed on."""

    def wants(self, value: ir.Value) -> bool:
        """Decide whether the relevance of a value must be computed: it is passed on, or the ledger counts it."""
        return value in self.receivers or (self.keeps_ledger and value in self.facts.data)

    def wanted(self, step: Step) -> dict[int, ir.Value]:
        """List the operands of a step whose relevance must be computed."""
        return {index: operand for index, operand in step.operands.items() if self.wants(operand)}

    @property
    def zero(self) -> ir.Value:
        """The number 0 in the type that the step computes in."""
        return self.op.constant(0, self.dtype)

    # The model's values

    def read(self, value: ir.Value) -> ir.Value:
        """A value of the model in the type that the step computes in."""
        return self.op.cast(value, self.dtype)

    def known(self, value: ir.Value) -> ir.Value:
        """A value of the model, 0 where it is NaN because it is missing."""
        return self.where_known(value, self.read(value))

    def where_known(self, value: ir.Value, tensor: ir.Value) -> ir.Value:
        """A tensor in the shape of a value, 0 where the value is NaN because it is missing."""
        if value not in self.facts.missing:
            return tensor
        return shaped(self.op.Where(self.op.IsNaN(value), self.op.number(0.0, tensor), tensor), value)

    def finite(self, carrier: ir.Value, maybe_infinite: bool = False) -> ir.Value:
        """A carrier that may be multiplied by 0: the lowest number for a −∞ that a mask or a pad put there, and 0 for a
        missing value or the NaN of a row that a mask hides."""
        value = self.known(carrier)
        if carrier in self.facts.hidden_rows:
            value = self.op.Where(self.op.IsNaN(value), self.op.number(0.0, value), value)
        infinite = maybe_infinite or carrier in self.facts.maybe_infinite
        return self.op.Max(value, lowest(self.op, value)) if infinite else value

    # The model's nodes

    def call(self, step: Step) -> Call:
        """The step's call with floating-point operands and outputs in the type of the relevance part."""
        call, every = step.call, step.entry.elementwise or step.entry.scales
        carrying = None if every else {*step.operands, *step.entry.operands(call)}
        rows = {i: self.finite(v) for i, v in step.operands.items() if v in self.facts.hidden_rows}
        return self.cast(call, carrying).rebind(rows)

    def cast(self, call: Call, operands: Collection[int] | None = None) -> Call:
        """A call with its floating-point outputs and some operands, or all, in the type of the relevance part."""
        floats = {i: v for i, v in enumerate(call.inputs) if self.is_float(v)}
        if all(v.dtype == self.dtype for v in (*floats.values(), *filter(self.is_float, call.outputs))):
            return call
        read = {i: self.read(v) for i, v in floats.items() if operands is None or i in operands}
        outputs = tuple(self.read(v) if self.is_float(v) else v for v in call.outputs)
        return dataclasses.replace(call.rebind(read), outputs=outputs)

    def is_float(self, value: ir.Value | None) -> TypeGuard[ir.Value]:
        """Decide whether a value is a floating-point number; data of a type that cannot be inferred is."""
        if value is None or value.dtype is None:
            return value is not None and value in self.facts.data
        return value.dtype.is_floating_point()
