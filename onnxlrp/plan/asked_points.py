"""Check that a model can be run at other points than the input, and say in the plan that it is."""

from __future__ import annotations

from collections.abc import Collection

import onnx_ir as ir

from onnxlrp.composites import Composite
from onnxlrp.errors import InputError
from onnxlrp.plan.steps import Plan


def points_note(composite: Composite) -> str | None:
    """Say at which other points the model runs; None for composites without points and baseline."""
    points = composite.points
    if composite.reference is not None:
        baseline = "the reference that a call gives" if composite.is_given_in_calls else "the baseline"
        return (
            f"the model runs at {baseline} too; relevance is the change of the input from it times the multiplier, "
            "and adds up to the change of the score"
        )
    if points is None:
        return None
    count = len(points.scales)
    if points.baseline is not None:
        return (
            f"model and gradient run at {count} points between the baseline and the input; relevance is the weighted "
            "sum of the gradients times the input less the baseline"
        )
    return (
        f"model and gradient run at {count} points, the input plus noise that the file holds; relevance is the mean of "
        "the gradients"
    )


def inputs_without_points(plan: Plan, inputs: Collection[ir.Value]) -> dict[ir.Value, str]:
    """Find the inputs that the composite takes no other points of, each with a sentence for the plan: between integers
    there are none."""
    if plan.composite.points is None and plan.composite.reference is None:
        return {}
    whole = [v for v in inputs if v.dtype is not None and not v.dtype.is_floating_point()]
    return {
        v: f"the input {v.name!r} is {v.dtype}, and {plan.composite} runs the model at points between such values: "
        "make the floats that are computed from it, such as an embedding, an input of the model"
        for v in whole
    }


def check_points(plan: Plan, inner: Collection[ir.Value]) -> None:
    """Raise InputError where relevance of inner values is asked for, which have no sum over points of their own."""
    for value in inner if plan.composite.points is not None else ():
        raise InputError(
            f"{plan.composite} explains inputs alone, and {value.name!r} is an inner value: take composite='gradient' "
            "for its gradient at the input"
        )
