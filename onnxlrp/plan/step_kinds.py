"""Decides what a step without layer parameters does with relevance: pass it, share it out, or follow the values."""

from __future__ import annotations

import onnx_ir as ir

from onnxlrp.analysis.activations import activation_of
from onnxlrp.analysis.cells import in_cell
from onnxlrp.analysis.elementwise_functions import function_of, shifted_function_of
from onnxlrp.analysis.elementwise_regions import region_entry
from onnxlrp.analysis.facts import Facts
from onnxlrp.analysis.gates import divides, gate_kind
from onnxlrp.analysis.labels import label_of
from onnxlrp.analysis.reach import is_lookup
from onnxlrp.composites import Composite
from onnxlrp.errors import InputError
from onnxlrp.operators.registry import Kind, Operator, find
from onnxlrp.plan.shifted_layers import leads_to_kernel
from onnxlrp.plan.steps import Step, StepKind
from onnxlrp.rule_language import EVENLY, IN_PROPORTION
from onnxlrp.rules import Pass


class StepDecider:
    """Decides the kind and the rule of each step by the facts of a graph and by a composite; `convolutions` are those
    of the graph, for rules that depend on depth."""

    def __init__(self, facts: Facts, composite: Composite, convolutions: list[ir.Node]) -> None:
        self.facts, self.composite, self.convolutions = facts, composite, convolutions
        self.gradient = composite.seed == "gradient"
        self.norm = composite.stabilised(composite.norm)

    def treat(self, step: Step) -> None:
        """Decide what a step without layer parameters does."""
        entry, call, facts = step.entry, step.call, self.facts
        if self.gradient:
            step.kind = _gradient_kind(entry)
            step.why = "derivative: 0, constant between steps" if entry.piecewise_constant else "derivative"
            if self.composite.reference is not None:
                step.why = "its change from the baseline, over that of its operand"
            return
        entrance = region_entry(step.node, facts)
        if entrance is not None:
            known = activation_of(step.node, entrance, facts)
            name = "an activation" if known is None else known.name
            step.operands, step.why = {0: entrance}, f"{name}, written out"
            step.same_sign = known is not None and known.same_sign
            self._activation(step)
        elif entry.kind is Kind.ELEMENTWISE:
            # Data to the power of data: the base takes all.
            first, several = min(step.operands), len(facts.relevance_operands(step.node)) > 1
            step.operands, step.why = {first: step.operands[first]}, "activation"
            step.same_sign = entry.sign_of(call) == "same"
            self._activation(step, passes=several)
        elif is_lookup(step.node, step.operands):
            step.kind, step.why = StepKind.LOOKUP, "embedding lookup"
        elif entry.kind is Kind.CUSTOM:
            step.kind, step.why = StepKind.CUSTOM, entry.summary
        elif entry.kind is Kind.ROUTING or entry.linearity == "selection":
            self._routing(step)
        elif entry.linearity in ("sum", "affine"):
            self._sum(step)
        else:
            self._product(step)
        if (label := label_of(step.node, facts)) is not None:
            step.why = f"{step.why} ({label})"

    def _activation(self, step: Step, *, passes: bool = False) -> None:
        """Choose the kind of an activation's step: relevance passes if f(0) = 0, else f(0) keeps its share."""
        step.kind = StepKind.RECTIFIER if step.entry.activation == "rectifier" else StepKind.PASS_THROUGH
        if passes or step.kind is StepKind.RECTIFIER or self.composite.activations == "pass":
            step.why += ": passes unchanged"
            return
        function = function_of(step.node, step.operands, self.facts)
        if function.argument not in step.operands.values():
            step.operands, step.same_sign = {0: function.argument}, False
        step.function = function
        if function.vanishes:
            step.why += ": passes unchanged"
            return
        step.same_sign = False
        step.kind = StepKind.OFFSET if function.is_finite else StepKind.SLOPE
        step.why += (
            ": keeps its value at 0" if function.is_finite else ": no value at 0, in proportion to its derivative"
        )

    def _routing(self, step: Step) -> None:
        step.kind = StepKind.ROUTING
        step.why = "the winner takes all" if step.entry.selects_by_value else "follows the values"
        if step.entry.average is None:
            return
        before = sum(self.facts.order[n] < self.facts.order[step.node] for n in self.convolutions)
        rule = self.composite.pooling(before, len(self.convolutions))
        if rule is not None:
            step.kind, step.rule = StepKind.SUM, self.composite.stabilised(rule)
            step.why = "max pooling as average pooling"
            step.call = step.entry.average(step.call)
            step.entry = find(step.call) or step.entry

    def _sum(self, step: Step) -> None:
        step.kind = StepKind.SUM
        if step.entry.linearity == "affine":
            rule, step.why = self.composite.batch_norm, "batch norm that no layer took in"
            if isinstance(rule, Pass):
                step.kind, step.rule = StepKind.PASS_THROUGH, None
            else:
                step.rule = self.composite.stabilised(rule)
            return
        step.rule = self.norm
        constants = len([v for v in step.call.inputs if v is not None]) > len(step.operands)
        shifts = step.entry.elementwise and constants
        if shifts and len(step.operands) == 1 and leads_to_kernel(step.outputs[0], self.facts):
            step.kind, step.rule = StepKind.PASS_THROUGH, None
            step.why = "a shift upstream of a kernel: its change passes"
        elif shifts:
            step.why = "a constant is added: it absorbs its share"
            self._shifted(step)
        else:
            step.why = "in proportion to the contributions"

    def _shifted(self, step: Step) -> None:
        """Turn an affine step on the input side into an offset step where it adds a constant to an activation. Such
        steps otherwise pass relevance unchanged; but there the constant is part of the function's value at 0, and keeps
        its share."""
        inside = step.outputs[0] not in self.facts.input_side
        if inside or len(step.operands) != 1 or self.composite.activations == "pass":
            return
        function = shifted_function_of(step.node, next(iter(step.operands.values())), self.facts)
        if function is not None and not function.vanishes:
            step.operands, step.function, step.rule = {0: function.argument}, function, None
            step.kind, step.why = StepKind.OFFSET, "a shifted activation: keeps its value at 0"

    def _product(self, step: Step) -> None:
        """Decide the step of a product: with constants it passes relevance; between two data operands the composite
        shares it."""
        operands = step.operands
        linear = (0,) if step.entry.linearity == "quotient" else tuple(operands)
        if len(operands) == 1:
            inside = next(iter(operands)) in linear
            if not inside:
                step.why = "a constant divided by data"
                self._activation(step)
                return
            step.kind, step.why = StepKind.SCALE, "times a constant"
            if not step.entry.scales:
                step.kind, step.rule, step.why = StepKind.SUM, self.norm, "linear"
            return
        step.kind = StepKind.PRODUCT
        step.rule = self.norm
        if not set(operands) <= set(linear):
            step.shares, step.why = {linear[0]: 1.0}, "the numerator takes all"
            return
        # A bias is added to the product: it takes what it contributes.
        bias = {} if step.entry.layer is None else {i: 1.0 for i in operands if i == step.entry.layer.bias}
        factors = {i: v for i, v in operands.items() if i not in bias}
        step.shares, step.why = dict.fromkeys(factors, 1 / len(factors)) | bias, "product of data: half each"
        if len(factors) == 1:
            step.why = "in proportion to the contributions"
            return
        whole = [i for i, v in factors.items() if not divides(v, self.facts)]
        if step.entry.elementwise and len(whole) == 1:
            step.shares, step.why = {whole[0]: 1.0} | bias, "the numerator takes all"
            return
        cell = in_cell(step.node, self.facts)
        told = {"gate": "gate", "soft": "rectified operand"}
        told = {kind: name for kind, name in told.items() if cell or self._tells(kind, step.entry)}
        kinds = {i: gate_kind(v, self.facts) for i, v in factors.items()} if told else {}
        for kind, name in told.items():
            gates = [i for i, found in kinds.items() if found == kind]
            if len(gates) == 1:
                step.shares = {i: 1.0 for i in operands if i not in gates}
                step.why = f"the signal takes all, the {name} none{': a recurrent cell' if cell else ''}"
                return
            if len(gates) > 1:
                return

    def _tells(self, kind: str, entry: Operator) -> bool:
        """Decide whether the composite tells gates of a kind from signals, in the products of an operator."""
        if self.composite.product == "gated":
            return kind == "gate" and entry.elementwise
        return self.composite.product != "uniform"


def check_rule(step: Step) -> None:
    """Raise InputError where a composite gives a step without weights a rule that needs them."""
    known = {StepKind.SUM: (IN_PROPORTION, EVENLY), StepKind.PRODUCT: (IN_PROPORTION,)}.get(step.kind)
    if known is not None and step.rule is not None and step.rule.shares() not in known:
        raise InputError(
            f"{step.operator} {step.name!r} has no weights, so it cannot share by {step.rule}: the composite's norm, "
            "batch_norm and pooling rules are Norm, Epsilon or LRP0, and Flat where nothing is multiplied"
        )


def _gradient_kind(entry: Operator) -> StepKind:
    if entry.kind is Kind.CUSTOM:
        return StepKind.CUSTOM
    if entry.kind is Kind.ELEMENTWISE:
        return StepKind.RECTIFIER if entry.activation == "rectifier" else StepKind.PASS_THROUGH
    return StepKind.ROUTING
