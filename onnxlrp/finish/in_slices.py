"""Pass that computes relevance for some samples at a time, so that a large batch needs the memory of a small one.

Relevance needs the values of all layers, and so a multiple of the memory of a forward pass, which drops each value
after its last use. Here a Loop computes the model and relevance for one slice of the samples after the other.

Samples must not depend on each other. Where that cannot be proved, the model's own outputs are computed for the whole
batch, as the source computes them, and the Loop computes the forward pass again: each slice compares its explained
output with that of the whole batch, and relevance is NaN for a sample where they differ.

Segments of layers that are computed again would help a single sample too, but they need the weights of all layers three
times (for the forward pass, for the segments and for relevance) and a pass more than slices; a ResNet-50 of one sample
has 100 MB of weights and 70 MB of values.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence

import numpy as np
import onnx_ir as ir

from onnxlrp.analysis.separate_samples import are_separate
from onnxlrp.finish.branch_constants import bring_constants
from onnxlrp.finish.large_nodes import are_large
from onnxlrp.graph.builder import Builder
from onnxlrp.graph.call import values_in
from onnxlrp.graph.names import Names
from onnxlrp.graph.part_copies import copied_part
from onnxlrp.graph.provenance import RULE
from onnxlrp.graph.row_slices import RowSlices
from onnxlrp.graph.walks import read_by, upstream
from onnxlrp.plan.asked_slices import AskedSlices
from onnxlrp.source.read import Source

BYTES = 2**26
"""Bytes that the values of a slice may take, as far as sizes are known, unless one sample takes more."""
_OPEN_SIZE = 2**10
"""Elements that an axis of open size is reckoned to have."""
_TOLERANCE = {ir.DataType.FLOAT16: 2e-2, ir.DataType.BFLOAT16: 1e-1}
"""Difference of a slice's output, by the sample's largest, above which samples are taken to depend on each other."""
NOTHING_SAVED = "memory='low' changes nothing here: tree ensembles compute a few rows at a time anyway"
"""A sentence for the plan of a model that is not cut into slices."""
_RULE = "slices"


@dataclasses.dataclass(frozen=True)
class Sliced:
    """A request for slices, and what of the model they may hold."""

    asked: AskedSlices
    ledger: str | None
    """Name of the conservation ledger, which is a sum over samples; None if there is none."""
    may_cut_outputs: bool
    """False where the model's own outputs can be asked for alone."""


@dataclasses.dataclass(frozen=True)
class Slices:
    """The slices of a model, decided while the sizes of its values are known."""

    sliced: Sliced
    most: int
    """Most samples of a slice."""
    dtype: ir.DataType
    """Type of the explained output."""
    once: bool
    """True if the model's own outputs are computed in the slices too, because their samples are separate."""

    @property
    def note(self) -> str:
        """A sentence for the plan."""
        at_once = "one sample" if self.most == 1 else f"up to {self.most:,} samples"
        how = "" if self.once else ", after the model's own outputs for all of them"
        return f"memory='low': relevance is computed for {at_once} at a time{how}"


def decide_slices(source: Source, sliced: Sliced) -> Slices | None:
    """Decide how many samples are computed at a time, and what of the model; None where slices would save nothing."""
    graph, own = source.model.graph, source.model.graph.outputs[: len(source.outputs)]
    needed = set(upstream(graph.outputs, read_by))
    if are_large(source, needed):
        return None
    forward = set(upstream(own, read_by))
    cut = [value for value in graph.inputs if sliced.asked.cuts(value)]
    once = sliced.may_cut_outputs and are_separate([node for node in graph if node in forward], cut, own)
    most = 1 if sliced.ledger is not None else max(1, BYTES // max(1, _bytes_of_sample(needed)))
    dtype = next(value.dtype for value in own if value.name == sliced.asked.output)
    return Slices(sliced, most, dtype or ir.DataType.FLOAT, once)


def put_in_slices(source: Source, op: Builder, slices: Slices) -> None:
    """Compute a finished graph's added outputs in slices of the samples, and the model's own where that is safe."""
    graph, asked = source.model.graph, slices.sliced.asked
    op.label(_RULE)
    own, added = list(graph.outputs[: len(source.outputs)]), list(graph.outputs[len(source.outputs) :])
    ends = list(dict.fromkeys([*own, *added] if slices.once else added))
    compared = None if slices.once else next(value for value in own if value.name == asked.output)
    needed = set(upstream([*ends, compared], read_by))
    names, nodes = Names(graph), [node for node in graph if node in needed]
    rows = RowSlices.of(op, op.dim(asked.samples, 0), slices.most)
    body = _body(graph, op, nodes, _cut_inputs(source, asked, nodes), ends, compared, slices.dtype, rows, names)
    stacked = [ir.Value(name=names.unique(f"{v.name}_slices"), type=v.type, shape=_stacked(v)) for v in ends]
    loop = [op.Reshape(rows.trips, op.ints([])), op.constant(True)]
    op.append(ir.Node("", "Loop", loop, [ir.AttrGraph("body", body)], outputs=stacked, name="lrp.slices"))
    results = {v: _joined(op, rows, v.name == slices.sliced.ledger, s) for v, s in zip(ends, stacked, strict=True)}
    for value, result in results.items():
        _take_place(value, result, names)
    graph.outputs[:] = [results.get(value, value) for value in graph.outputs]


def _cut_inputs(source: Source, asked: AskedSlices, nodes: Sequence[ir.Node]) -> list[ir.Value]:
    """List the inputs of which a slice reads its own samples: the model's, and those that choose targets or masks."""
    own = {port.name for port in source.inputs}
    read = {value for node in nodes for value in read_by(node)}
    inputs = [value for value in source.model.graph.inputs if value in read and value.shape]
    return [value for value in inputs if value.name not in own or asked.cuts(value)]


def _body(
    graph: ir.Graph,
    op: Builder,
    nodes: Sequence[ir.Node],
    data: Sequence[ir.Value],
    ends: Sequence[ir.Value],
    compared: ir.Value | None,
    dtype: ir.DataType,
    rows: RowSlices,
    names: Names,
) -> ir.Graph:
    """Write the Loop's body: a copy of nodes on a slice of the data, which gives the slice of `ends`.

    These are NaN for a sample whose output `compared`, of type `dtype`, is another in the slice than in the batch,
    unless that is None.
    """
    index = ir.Value(name=names.unique("lrp.slice"), type=ir.TensorType(ir.DataType.INT64), shape=ir.Shape([]))
    going = ir.Value(name=names.unique("lrp.going"), type=ir.TensorType(ir.DataType.BOOL), shape=ir.Shape([]))
    body = ir.Graph([index, going], [], nodes=[], name=names.unique("slice"), opset_imports=graph.opset_imports)
    run = op.inside(body, body.name or "")
    run.label(_RULE)
    start = rows.start(run, index)
    copy = copied_part(graph, nodes, data, ends if compared is None else [*ends, compared])
    _rename([v for part in (copy, *copy.subgraphs()) for v in values_in(part) if v.name], names)
    for stand_in, value in zip(list(copy.inputs), data, strict=True):
        ir.convenience.replace_all_uses_with(stand_in, _cut(run, value, start, rows.size), replace_graph_outputs=True)
    results, moved = list(copy.outputs), list(copy)
    copy.outputs.clear()
    copy.remove(moved)
    body.extend(moved)
    for node in moved:
        node.metadata_props.setdefault(RULE, _RULE)
    if compared is not None:
        same = _same(run, results.pop(), _cut(run, compared, start, rows.size), dtype)
        results = [_where_same(run, same, value) for value in results]
    body.outputs.extend([run.Identity(value) for value in (going, *results)])
    bring_constants(body, "slice", _RULE, names)
    return body


def _cut(run: Builder, value: ir.Value, start: ir.Value, size: ir.Value) -> ir.Value:
    """Emit a slice of the rows of a value; a single row, which stands for all samples, stays."""
    count = run.Shape(value, start=0, end=1)
    rows = run.Min(size, count)
    first = run.Min(start, run.Sub(count, rows))
    return run.Slice(value, first, run.Add(first, rows), run.ints([0]))


def _same(run: Builder, ours: ir.Value, whole: ir.Value, dtype: ir.DataType) -> ir.Value:
    """Decide for each sample of a slice, bool [rows, 1], whether its output is that of the whole batch."""
    ours, whole = run.Flatten(ours, axis=1), run.Flatten(whole, axis=1)
    difference = run.Where(run.Equal(ours, whole), run.constant(0, dtype), run.Abs(run.Sub(ours, whole)))
    most = run.ReduceMax(run.Abs(whole), run.ints([1]), keepdims=1)
    bound = run.Add(
        run.Mul(most, run.constant(_TOLERANCE.get(dtype, 1e-3), dtype)),
        run.constant(1e-6, dtype),
    )
    return run.LessOrEqual(run.ReduceMax(difference, run.ints([1]), keepdims=1), bound)


def _where_same(run: Builder, same: ir.Value, value: ir.Value) -> ir.Value:
    """Emit a value that is NaN for each sample whose output is not the same; places and sums stay as they are."""
    rank = len(value.shape or ())
    if value.dtype is None or not value.dtype.is_floating_point() or isinstance((value.shape or [0])[0], int):
        return value
    every = same if rank == 2 else run.Reshape(same, run.ints([-1, *[1] * (rank - 1)]))
    return run.Where(every, value, run.number(np.nan, value))


def _stacked(value: ir.Value) -> ir.Shape | None:
    return None if value.shape is None else ir.Shape([None, None, *list(value.shape)[1:]])


def _joined(op: Builder, rows: RowSlices, ledger: bool, stacked: ir.Value) -> ir.Value:
    """Emit the rows of all samples, or the sum of all slices' ledgers."""
    return op.ReduceSum(stacked, op.ints([0]), keepdims=0) if ledger else rows.joined(op, stacked)


def _take_place(value: ir.Value, end: ir.Value, names: Names) -> None:
    """Give a result the name, type, shape and description of the output in whose place it stands."""
    name, value.name = value.name, names.unique(f"{value.name}_at_once")
    end.name, end.type, end.shape, end.doc_string = name, value.type, value.shape, value.doc_string
    end.metadata_props.update(value.metadata_props)


def _rename(values: Iterable[ir.Value], names: Names) -> None:
    """Give the values of the body names of their own, and sizes of their own: a batch is a slice there."""
    for value in values:
        value.name = names.unique(f"{value.name}_slice")
        if value.shape is not None and not value.is_initializer():
            value.shape = ir.Shape([_own_size(size) for size in value.shape])


def _own_size(size: int | ir.SymbolicDim) -> int | ir.SymbolicDim:
    is_named = isinstance(size, ir.SymbolicDim) and size.value is not None
    return ir.SymbolicDim(f"{size}_slice") if is_named else size


def _bytes_of_sample(nodes: Iterable[ir.Node]) -> int:
    """Estimate the bytes of all values that some nodes compute for one sample."""
    return sum(_bytes(value) for node in nodes for value in node.outputs)


def _bytes(value: ir.Value) -> int:
    if value.dtype is None or value.shape is None or not len(value.shape) or isinstance(value.shape[0], int):
        return 0
    sizes = [size if isinstance(size, int) else _OPEN_SIZE for size in list(value.shape)[1:]]
    return math.ceil(math.prod(sizes) * value.dtype.itemsize)
