"""Gradients of inputs that are no floating-point numbers: words have none, ids have that of their embedding."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import onnx_ir as ir

from onnxlrp.analysis.reach import is_lookup
from onnxlrp.errors import InputError
from onnxlrp.operators.control_flow import bodies
from onnxlrp.plan.asked_points import check_points
from onnxlrp.plan.steps import Plan, Step, every_step


def words_without_gradient(plan: Plan, inputs: Collection[ir.Value]) -> dict[ir.Value, str]:
    """Find the inputs that a gradient says nothing of, each with a sentence for the plan."""
    words = encoded_words(plan.steps, inputs) if plan.composite.seed == "gradient" else []
    return {
        v: f"the input {v.name!r} holds words, which have no gradient: a composite of LRP explains it" for v in words
    }


def check_gradient(plan: Plan, inner: Collection[ir.Value]) -> None:
    """Raise InputError where a gradient, or its product with the input, is not defined.

    `inner` holds the inner values whose relevance is asked for.
    """
    composite = plan.composite
    if composite.seed != "gradient":
        return
    check_points(plan, inner)
    for value in encoded_words(plan.steps, inner):
        raise InputError(f"{composite}: {value.name!r} holds words, which have no gradient: take a composite of LRP")
    step = lookup_without_product(plan.steps) if composite.times_input else None
    if step is not None:
        raise InputError(
            f"{composite}: {step.operator} node {step.name!r} looks an embedding up inside a loop or branch, or in a "
            "table of integers; take composite='gradient', or one of LRP"
        )


def encoded_words(steps: Sequence[Step], values: Collection[ir.Value]) -> list[ir.Value]:
    """Find the values that hold words which are encoded or counted: words that are read as numbers have a gradient."""
    words = [v for v in values if v.dtype == ir.DataType.STRING]
    return [v for v in words if any(s.operator not in ("Cast", "CastLike") for s in _readers(steps, {v}))]


def _readers(steps: Sequence[Step], words: set[ir.Value]) -> Iterator[Step]:
    """Yield the steps at which words become something else; values that only move words about are added to `words`."""
    for step in reversed(steps):
        if not any(v in words for v in step.operands.values()):
            continue
        if inner := bodies(step.node):
            for body in inner:
                given = [*body.slices, *((value, operand) for value, _, operand, _ in body.states)]
                words.update(value for value, operand in given if step.node.inputs[operand] in words)
            yield from _readers(step.inner, words)
        elif any(v.dtype != ir.DataType.STRING for v in step.outputs):
            yield step
        words.update(v for v in step.outputs if v.dtype == ir.DataType.STRING)


def lookup_without_product(steps: Sequence[Step]) -> Step | None:
    """Find an embedding lookup whose gradient cannot be multiplied with the embedding.

    It lies inside a body, from which only sums come out, or its table holds integers that stand for floats.
    """
    outer = set(map(id, steps))
    for step in every_step(steps):
        found = step.outputs[0].dtype
        floating = found is not None and found.is_floating_point()
        if is_lookup(step.node, step.operands) and (id(step) not in outer or not floating):
            return step
    return None
