"""The base value of the explained score: the constant that the relevance of trees and kernels leaves out.

Relevance of a tree ensemble or kernel adds up to the change of its output from a base. Where every step from there to
the score is affine, relevance passes it as a factor that no sample changes, and adds up to the change of the score from
`score(bases)`: the same affine steps, run on the bases in the place of the outputs, and on 0 in the place of inputs
that reach the score without trees or kernels. This holds exactly only if no stabiliser takes a share of it, so these
steps are marked `Step.exact`.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from onnxlrp.analysis.facts import Facts
from onnxlrp.analysis.values_inside import value_of_one_sample, zeros_of_one_sample
from onnxlrp.errors import InputError
from onnxlrp.graph.walks import read_by
from onnxlrp.plan.steps import Plan, Step, StepKind
from onnxlrp.rule_language import IN_PROPORTION
from onnxlrp.rules import Epsilon

_DELIVERING = frozenset({StepKind.PASS_THROUGH, StepKind.SCALE, StepKind.ROUTING, StepKind.LOOKUP, StepKind.CUSTOM})
"""Kinds of step that may hand on all relevance that arrives, whatever the values are."""
_SIZES = frozenset({"Shape", "Size"})
_MOST_EPSILON = Epsilon().epsilon
"""Largest ε that is left out of exact steps; a caller's larger one is meant to take its share."""


class _NoBaseError(Exception):
    """Raised with the reason why the score has no base value that is the same for every sample."""


def decide_base(plan: Plan, facts: Facts, score: ir.Value) -> None:
    """Set `Plan.base`, and mark the steps that relevance has to pass exactly for it.

    A plan that has trees or kernels but no base value gets a note with the reason.
    """
    if not plan.has_base or plan.composite.seed != "score":
        return
    search = _Search(plan.steps, facts)
    try:
        search.from_score(score)
        plan.base = search.evaluated(score)
    except _NoBaseError as error:
        plan.notes.append(f"relevance and a base value need not add up to the score: {error}")
        return
    for step in search.affine:
        step.exact = step.kind in (StepKind.SUM, StepKind.LAYER)


class _Search:
    """The search for the values at which affine steps upstream of the score begin."""

    def __init__(self, steps: list[Step], facts: Facts) -> None:
        self.maker = {v: s for s in steps for v in s.outputs}
        self.rounds = any(s.layer is not None and s.layer.kernel_rounds for s in steps)
        self.facts = facts
        self.feeds: dict[ir.Value, np.ndarray] = {}
        self.affine: list[Step] = []

    def from_score(self, score: ir.Value) -> None:
        """Walk upstream from the score through affine steps, to bases and to inputs."""
        if self.rounds:
            raise _NoBaseError("a layer computes in rounded numbers")
        waiting, seen = [score], set()
        while waiting:
            value = waiting.pop()
            if value in seen:
                continue
            seen.add(value)
            step = self.maker.get(value)
            if step is not None and step.entry.base is not None:
                self.feeds[value] = self._base(step)
            elif self._obstacle(value) is None:
                self.feeds[value] = _zeros(value)
            else:
                self._check_affine(value, step)
                assert step is not None
                self.affine.append(step)
                waiting += step.operands.values()

    def _base(self, step: Step) -> np.ndarray:
        """Compute the base of a tree ensemble or kernel, all of whose relevance arrives at explained inputs."""
        for value in step.operands.values():
            obstacle = self._obstacle(value)
            if obstacle is not None:
                raise _NoBaseError(f"on the way to the inputs, {obstacle}")
        assert step.entry.base is not None
        base = step.entry.base(step.call)
        if base is None or not np.isfinite(base).all():
            raise _NoBaseError(f"the base of {_named(step)} depends on the sample")
        return base

    def _obstacle(self, value: ir.Value) -> str | None:
        """Say what keeps a part of a value's relevance from the explained inputs; None where all of it arrives."""
        waiting, seen = [value], set()
        while waiting:
            value = waiting.pop()
            if value in seen or (value.is_graph_input() and value in self.facts.leads_to_input):
                continue
            seen.add(value)
            step = self.maker.get(value)
            if step is None:
                return f"{value.name!r} is no explained input"
            if not _delivers(step) or value in self.facts.missing:
                return f"{_named(step)} may keep relevance"
            waiting += step.operands.values()
        return None

    def _check_affine(self, value: ir.Value, step: Step | None) -> None:
        """Raise an error unless a value is an affine function of its step's operands, by constant coefficients."""
        if step is None:
            raise _NoBaseError(f"{value.name!r} is no explained input")
        if not _is_affine(step):
            raise _NoBaseError(f"{_named(step)} is not affine, or shares by a rule of its own")
        others = [v for i, v in enumerate(step.call.inputs) if v is not None and i not in step.operands]
        if not all(self._is_constant(v) for v in others):
            raise _NoBaseError(f"the coefficients of {_named(step)} depend on the sample")

    def _is_constant(self, value: ir.Value) -> bool:
        """Decide whether a value depends on nothing but the sizes of inputs."""
        waiting, seen = [value], set()
        while waiting:
            value = waiting.pop()
            node = value.producer()
            if value in self.facts.constants or value in seen or (node is not None and _is_size(node)):
                continue
            if node is None:
                return False
            seen.add(value)
            waiting += [v for v in read_by(node) if v is not None]
        return True

    def evaluated(self, score: ir.Value) -> np.ndarray:
        """Evaluate the score of one sample at the bases."""
        if score in self.feeds:
            return self.feeds[score]
        try:
            base = value_of_one_sample(score, self.feeds)
        except InputError as error:
            raise _NoBaseError(str(error)) from error
        if not np.isfinite(base).all() or (base.ndim > 1 and len(base) != 1):
            raise _NoBaseError(f"{score.name!r} cannot be computed for one sample")
        return base


def _named(step: Step) -> str:
    return f"{step.operator} {step.name!r}"


def _delivers(step: Step) -> bool:
    """Decide whether a step hands on all relevance to its operands."""
    if step.kind not in _DELIVERING or (step.kind is StepKind.CUSTOM and not step.entry.delivers):
        return False
    return step.kind is not StepKind.ROUTING or _moves_data_alone(step)


def _moves_data_alone(step: Step) -> bool:
    """Decide whether a step selects from data, and nothing from constants such as those of a Pad."""
    sources = (0,) if step.entry.lookup else step.entry.operands(step.call)
    return all(i in step.operands for i in sources)


def _is_affine(step: Step) -> bool:
    """Decide whether a step's output is affine in its operands, and its relevance in proportion to their shares."""
    if step.kind in (StepKind.SCALE, StepKind.ROUTING):
        return not step.entry.selects_by_value
    rule = step.rule
    if step.kind not in (StepKind.SUM, StepKind.LAYER) or rule is None or step.reference is not None:
        return False
    written = step.layer is not None or step.call.op_type == step.node.op_type
    plain = rule.epsilon <= _MOST_EPSILON and rule.relative == 0 and rule.zero_params is None
    return written and plain and rule.shares() == IN_PROPORTION


def _is_size(node: ir.Node) -> bool:
    return node.domain == "" and node.op_type in _SIZES


def _zeros(value: ir.Value) -> np.ndarray:
    zeros = zeros_of_one_sample(value)
    if zeros is None:
        raise _NoBaseError(f"{value.name!r} has no known shape of numbers")
    return zeros
