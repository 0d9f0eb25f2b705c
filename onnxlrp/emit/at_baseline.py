"""The model's values at a baseline, computed beside its own: constants, where the sizes of a sample are declared."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import onnx_ir as ir

from onnxlrp.emit.bounds import constant_of_input
from onnxlrp.emit.context import Context, shaped
from onnxlrp.graph.part_copies import copied_part
from onnxlrp.graph.provenance import mark_rule
from onnxlrp.graph.walks import mark_downstream, read_by, upstream
from onnxlrp.rule_language import Bound
from onnxlrp.source.constants import constants


def values_at_baseline(
    context: Context,
    score: ir.Value,
    inputs: Sequence[ir.Value],
    compared: Iterable[ir.Value],
    baseline: Bound,
    references: Mapping[ir.Value, ir.Value],
) -> dict[ir.Value, ir.Value]:
    """Run the model on the baseline, and return its values there by those of the model.

    `references` are the inputs that take the baseline, where each call gives it. `compared` are the values whose change
    is asked for. One sample stands for all where the batch is an axis of each of these, and nothing depends on another
    input, so that a session computes the values as it is created; else the baseline has the shape of the input.
    """
    op, graph = context.op, context.op.graph
    needed = set(upstream([score], read_by))
    nodes, inside = [node for node in graph if node in needed], set(inputs)
    mark_downstream(nodes, inside, lambda node: node.outputs, read_by)
    nodes = [node for node in nodes if node.outputs[0] in inside]
    own = [v for node in nodes for v in node.outputs]
    around = {v for node in nodes for v in read_by(node)} - inside - {None}
    alike = not references and around <= constants(graph)
    batch = _batch(inputs, [v for v in compared if v in inside]) if alike else None
    starts = []
    for value in inputs:
        assert value.dtype is not None
        typed = dataclasses.replace(context, dtype=value.dtype)
        row = references[value] if references else constant_of_input(typed, value, baseline, "a baseline")
        starts.append(row if batch is not None else shaped(op.Expand(row, op.shape(value)), value))
    copy = copied_part(graph, nodes, inputs, [])
    copies = [v for node in copy for v in node.outputs]
    for stand_in, start in zip(copy.inputs, starts, strict=True):
        ir.convenience.replace_all_uses_with(stand_in, start)
    moved = list(copy)
    copy.remove(moved, safe=False)
    for node in moved:
        mark_rule(node, "the model at the baseline")
    for value in copies if batch is not None else ():
        value.shape = None if value.shape is None else ir.Shape([_of_one(d, batch) for d in value.shape])
    graph.extend(moved)
    return dict(zip([*inputs, *own], [*starts, *copies], strict=True))


def _batch(inputs: Iterable[ir.Value], values: Iterable[ir.Value]) -> str | None:
    """The name of the batch's size, where all other sizes of the inputs and of the values are known and where no value
    has the batch in more than one axis; else None."""
    names = {v.shape[0].value if v.shape and isinstance(v.shape[0], ir.SymbolicDim) else None for v in inputs}
    name = names.pop() if len(names) == 1 else None
    if name is None:
        return None
    for value in (*inputs, *values):
        if value.shape is None or any(not isinstance(d, int) and not _is(d, name) for d in value.shape):
            return None
        if sum(_is(d, name) for d in value.shape) > 1:
            return None
    return name


def _of_one(size: int | ir.SymbolicDim, batch: str | None) -> int | ir.SymbolicDim:
    """A size in a batch of one sample. A size of another name is unknown: it may count samples too."""
    return size if isinstance(size, int) else 1 if _is(size, batch) else ir.SymbolicDim(None)


def _is(size: object, name: str | None) -> bool:
    return isinstance(size, ir.SymbolicDim) and size.value == name
