"""Construction of a Scan from a function of its states and one slice of each sequence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import onnx_ir as ir

from onnxlrp.graph.provenance import mark_rule

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder

Body = Callable[["Builder", Sequence[ir.Value], Sequence[ir.Value]], tuple[Sequence[ir.Value], Sequence[ir.Value]]]
"""Signature of a step: (op, states, slices) -> (states after the step, outputs that are stacked over the steps)."""


def scan(
    op: Builder, label: str, states: Sequence[ir.Value], sequences: Sequence[ir.Value], body: Body
) -> tuple[list[ir.Value], list[ir.Value]]:
    """Emit a Scan and return the states after the last step and the stacked outputs of all steps.

    It runs forwards along axis 0 of the sequences; onnx's reference evaluator supports nothing else. The body may
    capture values of the graph around it.
    """
    graph = ir.Graph([], [], nodes=[], name="step", opset_imports=dict(op.graph.opset_imports))
    inner = op.inside(graph, "step")
    inner.label(label)
    before = [_argument(v, f"state_{i}") for i, v in enumerate(states)]
    slices = [_argument(v, f"slice_{i}", slice(1, None)) for i, v in enumerate(sequences)]
    graph.inputs.extend([*before, *slices])
    after, given = body(inner, before, slices)
    for value, known in zip(after, states, strict=True):
        value.shape, value.type = known.shape, known.type
    for index, value in enumerate([*after, *given]):
        graph.outputs.append(_result(inner, value, f"result_{index}"))
    inner.assert_inferred()
    node = ir.Node(
        "",
        "Scan",
        [*states, *sequences],
        [ir.AttrGraph("body", graph), ir.AttrInt64("num_scan_inputs", len(sequences))],
        num_outputs=len(graph.outputs),
    )
    mark_rule(node, label)
    op.graph.append(node)
    steps = None if sequences[0].shape is None else sequences[0].shape[0]
    for index, (out, value) in enumerate(zip(node.outputs, graph.outputs, strict=True)):
        out.type, out.shape = value.type, value.shape
        if index >= len(states):
            out.shape = None if value.shape is None else ir.Shape([steps, *value.shape])
    return list(node.outputs[: len(states)]), list(node.outputs[len(states) :])


def _result(op: Builder, value: ir.Value, name: str) -> ir.Value:
    """Return a value that may become an output: `value`, or a copy of it if it is an output or an input already."""
    if value.producer() is not None and value not in op.graph.outputs:
        return value
    out = op.alias(value, name)
    out.shape, out.type = value.shape, value.type
    return out


def _argument(value: ir.Value, name: str, axes: slice = slice(None)) -> ir.Value:
    """Create the body's input for a value, or for a slice of it."""
    shape = None if value.shape is None else ir.Shape(list(value.shape)[axes])
    return ir.Value(name=name, type=value.type, shape=shape)
