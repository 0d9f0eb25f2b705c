"""The model's values at a baseline, computed beside its own: constants, where the sizes of a sample are declared."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from onnxlrp.analysis.reach import is_lookup
from onnxlrp.emit.bounds import constant_of_input
from onnxlrp.emit.context import Context
from onnxlrp.errors import InputError
from onnxlrp.graph.call import shaped
from onnxlrp.graph.part_copies import copied_part
from onnxlrp.graph.provenance import mark_rule
from onnxlrp.graph.walks import mark_downstream, read_by, upstream
from onnxlrp.plan.steps import Embeddings
from onnxlrp.rule_language import Bound
from onnxlrp.source.constants import constants


def values_at_baseline(
    context: Context,
    score: ir.Value,
    inputs: Sequence[ir.Value],
    compared: Iterable[ir.Value],
    baseline: Bound,
    given: Mapping[ir.Value, ir.Value],
) -> dict[ir.Value, ir.Value]:
    """Run the model on the baseline, and return its values there by those of the model.

    `given` has the baselines of inputs that take them from elsewhere: from each call, or from a table of embeddings.
    `compared` are the values whose change is asked for. One sample stands for all where the batch is an axis of each of
    these, and nothing depends on another input, so that a session computes the values as it is created; else the
    baseline has the shape of the input.
    """
    op, graph = context.op, context.op.graph
    nodes, inside = _between(graph, inputs, [score])
    around = {v for node in nodes for v in read_by(node)} - inside - {None}
    alone = not given and around <= constants(graph)
    batch = _batch(inputs, [v for v in compared if v in inside]) if alone else None
    starts = []
    for value in inputs:
        assert value.dtype is not None
        typed, row = dataclasses.replace(context, dtype=value.dtype), given.get(value)
        row = constant_of_input(typed, value, baseline, "a baseline") if row is None else row
        starts.append(row if batch is not None else shaped(op.Expand(row, op.shape(value)), value))
    own, copies = _run_again(graph, nodes, inputs, starts)
    for value in copies if batch is not None else ():
        value.shape = None if value.shape is None else ir.Shape([_of_one(d, batch) for d in value.shape])
    return dict(zip([*inputs, *own], [*starts, *copies], strict=True))


def embeddings_at_baseline(
    context: Context, wanted: Embeddings, baseline: Bound, references: Mapping[ir.Value, ir.Value]
) -> dict[ir.Value, ir.Value]:
    """Look up the embeddings of ids that are a baseline, and return them by the model's own. `references` are the
    inputs that take the ids, where each call gives them.

    Raises InputError where the baseline is no id.
    """
    ids = np.asarray(baseline, np.float64)
    tables = [step.call.operand(0).shape for step in wanted.steps if is_lookup(step.node, step.operands)]
    least = min((s[0] for s in tables if s is not None and isinstance(s[0], int)), default=np.inf)
    if (ids != np.floor(ids)).any() or (ids < 0).any() or (ids >= least).any():
        raise InputError(f"{context.composite}: the baseline of {wanted.ids[0].name!r} is an id of its table")
    starts = []
    for value in wanted.ids:
        assert value.dtype is not None
        own, row = dataclasses.replace(context, dtype=value.dtype), references.get(value)
        row = constant_of_input(own, value, ids, "a baseline") if row is None else row
        starts.append(shaped(context.op.Expand(row, context.op.shape(value)), value))
    nodes, _ = _between(context.op.graph, wanted.ids, wanted.lookups)
    own_values, copies = _run_again(context.op.graph, nodes, wanted.ids, starts)
    found = dict(zip(own_values, copies, strict=True))
    return {v: found[v] for v in wanted.lookups}


def _between(
    graph: ir.Graph, inputs: Sequence[ir.Value], ends: Sequence[ir.Value]
) -> tuple[list[ir.Node], set[ir.Value]]:
    """The nodes from some values to others, and all values that depend on the first."""
    needed = set(upstream(ends, read_by))
    nodes, inside = [node for node in graph if node in needed], set(inputs)
    mark_downstream(nodes, inside, lambda node: node.outputs, read_by)
    return [node for node in nodes if node.outputs[0] in inside and node.outputs[0] not in inputs], inside


def _run_again(
    graph: ir.Graph, nodes: Sequence[ir.Node], inputs: Sequence[ir.Value], starts: Sequence[ir.Value]
) -> tuple[list[ir.Value], list[ir.Value]]:
    """Copy nodes with other values in the place of some; returns the nodes' outputs, and those of their copies."""
    copy = copied_part(graph, nodes, inputs, [])
    copies = [v for node in copy for v in node.outputs]
    for stand_in, start in zip(copy.inputs, starts, strict=True):
        ir.convenience.replace_all_uses_with(stand_in, start)
    moved = list(copy)
    copy.remove(moved, safe=False)
    for node in moved:
        mark_rule(node, "the model at the baseline")
    graph.extend(moved)
    return [v for node in nodes for v in node.outputs], copies


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
