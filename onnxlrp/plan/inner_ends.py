"""The inner values at which relevance ends where no input is explained, so that nothing upstream of them is walked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx_ir as ir

from onnxlrp.analysis.facts import Facts
from onnxlrp.analysis.reach import values_leading_to_input
from onnxlrp.composites import Composite
from onnxlrp.errors import InputError
from onnxlrp.plan.inner_values import named_value
from onnxlrp.printable import listed


def inner_ends(
    graph: ir.Graph,
    facts: Facts,
    composite: Composite,
    names: Sequence[str],
    absorbed: Mapping[str, str],
    score: ir.Value,
) -> list[ir.Value]:
    """Find those of the named values that no other of them lies upstream of.

    Raises InputError if no value is named, or none has that name, or if the composite computes what only inputs have.
    """
    if not names:
        raise InputError("inputs=[] explains no input: name the inner values to explain by relevance_at")
    needs_inputs = (composite.map_weights, composite.rolling, composite.points, composite.reference)
    if any(need is not None for need in needs_inputs):
        raise InputError(f"{composite} is computed for inputs: inputs=[] does not go with it")
    values = [named_value(graph, name, absorbed) for name in dict.fromkeys(names)]
    leading = {v: values_leading_to_input(graph, facts.operands, facts.data, [v]) for v in values}
    ends = [v for v in values if not any(w is not v and v in leading[w] for w in values)]
    if score in ends:
        raise InputError(f"{score.name!r} is the explained score itself: name a value upstream of it by relevance_at")
    return ends


def ends_note(ends: Sequence[ir.Value]) -> str:
    """Say in a sentence for the plan where relevance ends."""
    return f"no input is explained: relevance ends at {listed(v.name for v in ends)}, and nothing upstream is walked"
