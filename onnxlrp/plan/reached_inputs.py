"""The explained inputs that relevance reaches, and what is said where it reaches none."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from onnxlrp.analysis.facts import Facts
from onnxlrp.analysis.reach import dead_ends, values_leading_to_input
from onnxlrp.errors import NothingToExplainError
from onnxlrp.plan.asked_points import inputs_without_points
from onnxlrp.plan.steps import Embeddings, InnerMap, Plan
from onnxlrp.plan.without_numbers import words_without_gradient
from onnxlrp.printable import listed
from onnxlrp.source.explained_inputs import is_empty
from onnxlrp.source.question import Question
from onnxlrp.source.read import is_score


def reached_inputs(graph: ir.Graph, facts: Facts, plan: Plan, question: Question) -> tuple[list[ir.Value], list[str]]:
    """Find the inputs of a question that relevance reaches, and sentences about those that it does not reach.

    Raises NothingToExplainError where it reaches none, or not each of those that the caller named.
    """
    if question.by_name and not question.inputs:
        return [], []
    if plan.inner_map is not None:
        return _under_map(plan, plan.inner_map, question)
    arrived = {v for s in plan.steps for v in s.operands.values()} | {question.score}
    words = words_without_gradient(plan, question.inputs) | inputs_without_points(plan, question.inputs)
    reached = [v for v in question.inputs if v in arrived and v not in words]
    if not reached:
        empty = [f"the input {v.name!r} is declared empty" for v in graph.inputs if is_empty(v)]
        stopped = [*words.values(), *plan.stopped, *empty] or dead_ends(question.score, facts.data)
        stops = "; ".join(stopped[:5]) or f"no path leads from {question.name!r} to an input"
        raise NothingToExplainError(
            f"relevance of {question.name!r} reaches none of the inputs: {stops.rstrip('.')}. A value upstream of it "
            "can be explained: make it an output of the model, and name it by output="
        )
    missed = [v for v in question.inputs if v not in reached]
    if missed and question.by_name:
        names = listed(v.name for v in missed)
        stops = "; ".join([*words.values(), *plan.stopped][:5])
        raise NothingToExplainError(f"relevance of {question.name!r} does not reach {names}: {stops}")
    return reached, [*words.values(), *_about_missed(graph, facts, question, missed)]


def _under_map(plan: Plan, wanted: InnerMap, question: Question) -> tuple[list[ir.Value], list[str]]:
    """Find the inputs that a map of inner values is laid on."""
    arrived = {v for s in plan.steps for v in s.operands.values()}
    for value in wanted.ends:
        if value not in arrived and value is not question.score:
            stops = "; ".join(plan.stopped[:5]) or f"no path leads from {question.name!r} to it"
            raise NothingToExplainError(f"the gradient of {question.name!r} does not reach {value.name!r}: {stops}")
    reached, missed = ([v for v in question.inputs if (v in wanted.axes) is given] for given in (True, False))
    if isinstance(wanted, Embeddings):
        if missed and question.by_name:
            raise NothingToExplainError(
                f"{plan.composite}: {missed[0].name!r} is looked up in no table on the way to {question.name!r}"
            )
        return reached, []
    names = listed(v.name for v in missed)
    return reached, [f"the map has no place on {names}, whose axes are not those of the layer"] if missed else []


def _about_missed(graph: ir.Graph, facts: Facts, question: Question, missed: Sequence[ir.Value]) -> list[str]:
    """Say where relevance ends on the way to inputs of numbers or words that it does not reach."""
    notes = []
    for value in missed:
        leading = values_leading_to_input(graph, facts.operands, facts.data, [value])
        where = dead_ends(question.score, leading)
        if where and (value.dtype == ir.DataType.STRING or is_score(value)):
            notes.append(f"relevance does not reach the input {value.name!r}: {'; '.join(where[:3])}")
    return notes
