"""Find the inputs to explain: all that can carry relevance, or those that the caller names."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from onnxlrp.errors import InputError, NothingToExplainError
from onnxlrp.near_names import did_you_mean
from onnxlrp.printable import listed


def explained_inputs(graph: ir.Graph, names: Sequence[str] | None) -> list[ir.Value]:
    """Find the inputs to explain; `names` are the caller's, None for all.

    Raises InputError for a name that no input has, NothingToExplainError for an input whose declared shape is empty.
    """
    every = {str(v.name): v for v in graph.inputs}
    if names is None:
        return [v for v in graph.inputs if carries(v) and not is_empty(v)]
    unknown = [n for n in names if n not in every]
    if unknown:
        near = did_you_mean(unknown[0], every)
        raise InputError(f"the model has no input {', '.join(map(repr, unknown))}{near}; its inputs: {listed(every)}")
    if empty := [n for n in names if is_empty(every[n])]:
        raise NothingToExplainError(f"the input {empty[0]!r} is declared of shape {every[empty[0]].shape}: it is empty")
    return [every[n] for n in names]


def carries(value: ir.Value) -> bool:
    """Decide whether an input may carry relevance: a tensor of numbers or truth values, or of strings to be encoded."""
    return isinstance(value.type, ir.TensorType)


def is_empty(value: ir.Value) -> bool:
    """Decide whether an input is declared with no elements."""
    return value.shape is not None and 0 in value.shape
