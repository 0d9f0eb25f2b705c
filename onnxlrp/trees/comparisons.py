"""The outcomes of comparisons in the graph, for all rows at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from onnxlrp.trees.compact_constants import bits, floats, whole_numbers
from onnxlrp.trees.forest import MODES, Array, Forest
from onnxlrp.trees.rows_in_trees import outcomes
from onnxlrp.trees.unfolded import Unfolded

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder


def compare(op: Builder, mode: str, value: ir.Value, threshold: ir.Value) -> ir.Value:
    """Compare values with thresholds as a mode of tree nodes says."""
    outcome = {
        "BRANCH_LEQ": op.LessOrEqual,
        "BRANCH_LT": op.Less,
        "BRANCH_GTE": op.GreaterOrEqual,
        "BRANCH_GT": op.Greater,
        "BRANCH_EQ": op.Equal,
        "BRANCH_NEQ": op.Equal,
    }[mode](value, threshold)
    return op.Not(outcome) if mode == "BRANCH_NEQ" else outcome


def whole_part(op: Builder, value: ir.Value) -> ir.Value:
    """Convert a number as C casts it to int32: without its fraction, to −2³¹ where it is out of range or NaN."""
    size = op.Abs(value)
    return op.Where(op.Less(size, 2.0**31), op.Mul(op.Sign(value), op.Floor(size)), -(2.0**31))


class Outcomes:
    """The outcomes of an unfolded ensemble's comparisons: the constructor emits the constants, `of` the nodes that
    compare rows."""

    def __init__(self, op: Builder, trees: Unfolded, rows_type: ir.DataType) -> None:
        self.op, self.rows_type = op, rows_type
        members = list(trees.members())
        self.forest = trees.forest
        self.nodes, places = _distinct(trees.forest, np.concatenate([nodes for _, nodes in members]))
        self.modes = trees.forest.mode[self.nodes]
        self.features = whole_numbers(op, trees.forest.feature[self.nodes])
        self.thresholds = op.Unsqueeze(floats(op, trees.forest.threshold[self.nodes], rows_type), op.ints([1]))
        counts = np.cumsum([nodes.size for _, nodes in members])[:-1]
        self.first, *self.further = np.split(places, counts)
        self.continued = [at for at, _ in members[1:]]

    def of(self, op: Builder, rows: ir.Value, dtype: ir.DataType) -> ir.Value:
        """Emit the outcomes, 1 or 0 of type `dtype`, [comparisons, N], for rows [features, N]."""
        return self.joined(op, op.cast(self._primitive(op, op.Gather(rows, self.features, axis=0)), dtype))

    def stored(self, rows: Array) -> ir.Value:
        """Emit the outcomes of the distinct comparisons for constant rows [N, features], bool [distinct, N]."""
        op, values = self.op, rows.astype(self.rows_type.numpy()).T[self.forest.feature[self.nodes]]
        flags = outcomes(self.forest, self.nodes, values)
        return op.Reshape(bits(op, flags.reshape(-1)), op.ints(flags.shape))

    def joined(self, op: Builder, outcomes: ir.Value) -> ir.Value:
        """Emit the outcomes of all comparisons, [comparisons, N], from those of the distinct ones, [distinct, N]."""
        in_order = np.array_equal(self.first, np.arange(self.nodes.size))
        result = outcomes if in_order else op.Gather(outcomes, whole_numbers(self.op, self.first), axis=0)
        if not self.further:
            return result
        # At most one member of a chain holds for a number, and NaN passes if any member sends it to its true branch.
        for at, places in zip(self.continued, self.further, strict=True):
            more = op.Gather(outcomes, whole_numbers(self.op, places), axis=0)
            known = op.Gather(result, whole_numbers(self.op, at), axis=0)
            index = op.Unsqueeze(op.Cast(whole_numbers(self.op, at), to=ir.DataType.INT64), op.ints([1]))
            result = op.ScatterND(result, index, op.Max(known, more))
        return result

    def _primitive(self, op: Builder, values: ir.Value) -> ir.Value:
        """Emit the outcomes of the distinct comparisons, bool [distinct, N], from the value of the feature that each
        compares, [distinct, N]. Comparisons are sorted by their mode."""
        own, whole, missing = self.op, self.forest.whole[self.nodes], self.forest.missing[self.nodes]
        compared = values
        if whole.any():
            compared = op.Where(own.Unsqueeze(bits(own, whole), own.ints([1])), whole_part(op, values), values)
        modes, starts = np.unique(self.modes, return_index=True)
        ends = [*starts[1:], self.modes.size]
        parts = [
            compare(op, MODES[mode], _rows(op, compared, span), _rows(own, self.thresholds, span))
            for mode, *span in zip(modes, starts, ends, strict=True)
        ]
        outcome = parts[0] if len(parts) == 1 else op.Concat(*parts, axis=0)
        if missing.any():
            missing_passes = own.Unsqueeze(bits(own, missing), own.ints([1]))
            outcome = op.Or(outcome, op.And(missing_passes, op.IsNaN(values)))
        return outcome


def _rows(op: Builder, value: ir.Value, span: list[int]) -> ir.Value:
    start, end = map(int, span)
    whole = op.dims(value)[0] == end - start
    return value if whole else op.Slice(value, op.ints([start]), op.ints([end]), op.ints([0]))


def _distinct(forest: Forest, nodes: Array) -> tuple[Array, Array]:
    """Return one node for each distinct comparison, sorted by mode, and for every node the index of its comparison
    among these."""
    flags = forest.mode[nodes] * 4 + forest.whole[nodes] * 2 + forest.missing[nodes]
    _, code = np.unique(flags * (int(forest.feature.max(initial=0)) + 1) + forest.feature[nodes], return_inverse=True)
    levels, threshold = np.unique(forest.threshold[nodes], return_inverse=True)
    _, first, places = np.unique(code * levels.size + threshold, return_index=True, return_inverse=True)
    if 2 * first.size > nodes.size:
        # Few comparisons are equal: all are computed, and the file need not store which ones are equal.
        order = np.argsort(forest.mode[nodes], kind="stable")
        return nodes[order], np.argsort(order, kind="stable")
    return nodes[first], places.reshape(-1)
