"""Contributions of groups of leaves, looked up in constant tables by the pattern of the comparisons' outcomes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from onnxlrp.trees.compact_constants import INT32, whole_numbers
from onnxlrp.trees.comparisons import Outcomes
from onnxlrp.trees.feature_sums import sums_by_feature
from onnxlrp.trees.forest import Array
from onnxlrp.trees.leaf_groups import LeafGroups
from onnxlrp.trees.pattern_values import Game, tables
from onnxlrp.trees.quadrature import joined
from onnxlrp.trees.unfolded import ROOT

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder


class Table:
    """The constant table of some groups, [patterns of all these groups, slots], in the graph."""

    def __init__(self, op: Builder, groups: LeafGroups, game: Game, values: Array, chosen: Array, dtype: ir.DataType) -> None:
        self.op = op
        order, parts = [], []
        for part, table in tables(groups, game, values, chosen):
            order.append(part)
            parts.append(table.reshape(-1, table.shape[-1]).astype(dtype.numpy()))
        self.groups = np.concatenate(order)
        sizes = 2 ** groups.bits[self.groups]
        self.starts = np.cumsum(sizes) - sizes
        self.entries = op.constant(np.concatenate(parts))
        self.features = groups.slots[1][self.groups, : parts[0].shape[1]]

    def contributions(self, op: Builder, patterns: ir.Value, features: int) -> ir.Value:
        """Emit the sums of the groups' contributions, [features, N], for the patterns of all groups, [groups, N]."""
        own, (count, slots) = self.op, self.features.shape
        index = op.Gather(patterns, whole_numbers(own, self.groups), axis=0)
        index = op.Add(index, own.Unsqueeze(whole_numbers(own, self.starts), own.ints([1])))
        entries = op.Gather(self.entries, op.Transpose(index, perm=[1, 0]), axis=0)
        rows = op.Transpose(op.Reshape(entries, op.ints([-1, count * slots])), perm=[1, 0])
        # Slots without a feature hold 0, whatever feature they are counted to.
        return sums_by_feature(own, op, rows, np.maximum(self.features.reshape(-1), 0), features)


class PatternTables:
    """The tables of an ensemble; constants are emitted at once, the rest for given rows."""

    def __init__(self, op: Builder, groups: LeafGroups, rows_type: ir.DataType, dtype: ir.DataType) -> None:
        self.op, self.groups, self.dtype = op, groups, dtype
        self.outcomes = Outcomes(op, groups.trees, rows_type)

    def patterns(self, op: Builder, rows: ir.Value) -> ir.Value:
        """Emit the pattern of each group, int32 [groups, N], for rows [features, N]."""
        own, groups = self.op, self.groups
        outcome = self.outcomes.of(op, rows, INT32)
        pattern: ir.Value | None = None
        if groups.upper.any():
            above = self._above(op, outcome)
            place = np.cumsum(groups.upper) - 1
            pattern = op.Gather(above, whole_numbers(own, place[np.maximum(groups.edge, 0) // 2]), axis=0)
            shift = np.where(groups.edge == ROOT, 0, 2 ** (groups.inside >= 0).sum(1))
            pattern = op.Mul(pattern, own.Unsqueeze(whole_numbers(own, shift), own.ints([1])))
        inside = (groups.inside >= 0).sum(1)
        for place in range(int(inside.max(initial=0))):
            weight = np.where(inside > place, 2 ** np.maximum(inside - 1 - place, 0), 0)
            bit = op.Gather(outcome, whole_numbers(own, np.maximum(groups.inside[:, place], 0)), axis=0)
            bit = op.Mul(bit, own.Unsqueeze(whole_numbers(own, weight), own.ints([1])))
            pattern = bit if pattern is None else op.Add(pattern, bit)
        assert pattern is not None
        return pattern

    def _above(self, op: Builder, outcome: ir.Value) -> ir.Value:
        """Emit for each upper comparison the outcomes from the root down to its own, int32 [upper comparisons, N]."""
        trees, own = self.groups.trees, self.op
        levels, before = [], np.zeros(0, np.int64)
        for level in trees.levels:
            here = level.start + np.flatnonzero(self.groups.upper[level.span])
            if not here.size:
                break
            pattern = op.Gather(outcome, whole_numbers(own, here), axis=0)
            if levels:
                parents = np.searchsorted(before, trees.parent[here] // 2)
                prefix = op.Gather(levels[-1], whole_numbers(own, parents), axis=0)
                pattern = op.Add(op.Mul(prefix, own.constant(np.int32(2))), pattern)
            levels.append(pattern)
            before = here
        return joined(op, levels, 0)
