"""Contributions of groups of leaves to features, looked up in constant tables by the pattern of outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from onnxlrp.trees.compact_constants import INT32, whole_numbers
from onnxlrp.trees.comparisons import Outcomes
from onnxlrp.trees.feature_sums import sums_of_columns
from onnxlrp.trees.forest import Array
from onnxlrp.trees.leaf_groups import LeafGroups
from onnxlrp.trees.parts import joined
from onnxlrp.trees.path_changes import targets_of_trees
from onnxlrp.trees.pattern_values import Game, contributions_of_groups
from onnxlrp.trees.row_chunks import CHUNK, FEWEST_ROWS, UNCHUNKED, in_chunks
from onnxlrp.trees.unfolded import ROOT

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder


class PatternTables:
    """The contributions of an ensemble's trees, from tables: the constructor emits the tables, `by_chunks` the nodes
    that look up rows."""

    def __init__(
        self, op: Builder, groups: LeafGroups, game: Game, rows_type: ir.DataType, dtype: ir.DataType, width: int
    ) -> None:
        self.op, self.groups, self.features = op, groups, width
        self.outcomes = Outcomes(op, groups.trees, rows_type)
        forest = groups.trees.forest
        spoken, tree = targets_of_trees(forest), groups.trees.tree[groups.leaves // 2]
        nodes = groups.trees.leaf[groups.leaves // 2, groups.leaves % 2]
        self.tables: list[tuple[int, list[_Table]]] = []
        """Tables by the target that their trees have weights for."""
        for target in range(spoken.shape[1]):
            values = forest.values[nodes, target] * forest.scale
            alike = _alike(groups, np.unique(groups.group[spoken[tree, target]]))
            self.tables.append((target, [_Table(op, groups, game, values, chosen, dtype) for chosen in alike]))

    def by_chunks(self, x: ir.Value, factors: ir.Value) -> ir.Value:
        """Emit the contributions, [N, features], for rows [N, features] and factors of the sums [N, targets]."""
        looked_up = sum(table.features.size for _, tables in self.tables for table in tables)
        size = max(looked_up, self.groups.trees.node.size)
        if size < UNCHUNKED:
            return self._of(self.op, [x, factors])
        return in_chunks(self.op, max(FEWEST_ROWS, CHUNK // size), [x, factors], [self._of])

    def _of(self, op: Builder, given: Sequence[ir.Value]) -> ir.Value:
        rows, factors = given
        patterns, total = self._patterns(op, op.Transpose(rows, perm=[1, 0])), None
        for target, tables in self.tables:
            for table in tables:
                values = table.contributions(op, patterns, self.features)
                values = op.Mul(values, op.Gather(factors, op.ints([target]), axis=1))
                total = values if total is None else op.Add(total, values)
        assert total is not None
        return total

    def _patterns(self, op: Builder, rows: ir.Value) -> ir.Value:
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
        for number in range(int(inside.max(initial=0))):
            weight = np.where(inside > number, 2 ** np.maximum(inside - 1 - number, 0), 0)
            bit = op.Gather(outcome, whole_numbers(own, np.maximum(groups.inside[:, number], 0)), axis=0)
            bit = op.Mul(bit, own.Unsqueeze(whole_numbers(own, weight), own.ints([1])))
            pattern = bit if pattern is None else op.Add(pattern, bit)
        assert pattern is not None
        return pattern

    def _above(self, op: Builder, outcome: ir.Value) -> ir.Value:
        """Emit for each upper comparison the outcomes from the root down to its own, int32 [upper comparisons, N]."""
        trees, own = self.groups.trees, self.op
        levels: list[ir.Value] = []
        before = np.zeros(0, np.int64)
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


class _Table:
    """The table of some groups, [patterns of all these groups, slots], as a constant of the graph."""

    def __init__(
        self, op: Builder, groups: LeafGroups, game: Game, values: Array, chosen: Array, dtype: ir.DataType
    ) -> None:
        self.op = op
        batches = list(contributions_of_groups(groups, game, values, chosen))
        self.groups = np.concatenate([own for own, _ in batches])
        entries = [part.reshape(-1, part.shape[-1]).astype(dtype.numpy()) for _, part in batches]
        self.entries = op.constant(np.concatenate(entries))
        sizes = 2 ** groups.bits[self.groups]
        self.starts = np.cumsum(sizes) - sizes
        # Slots without a feature hold 0, whatever feature they are counted to.
        self.features = np.maximum(groups.slots[1][self.groups, : entries[0].shape[1]], 0).reshape(-1)

    def contributions(self, op: Builder, patterns: ir.Value, features: int) -> ir.Value:
        """Emit the sums of the groups' contributions, [N, features], for the patterns of all groups, [groups, N]."""
        own = self.op
        index = op.Gather(patterns, whole_numbers(own, self.groups), axis=0)
        index = op.Add(index, own.Unsqueeze(whole_numbers(own, self.starts), own.ints([1])))
        found = op.Gather(self.entries, op.Transpose(index, perm=[1, 0]), axis=0)
        return sums_of_columns(own, op, op.Reshape(found, op.ints([-1, self.features.size])), self.features, features)


def table_size(groups: LeafGroups) -> float:
    """Count the entries of all tables together, for all targets that the trees have weights for."""
    spoken, tree = targets_of_trees(groups.trees.forest), groups.trees.tree[groups.leaves // 2]
    total = 0.0
    for target in range(spoken.shape[1]):
        for chosen in _alike(groups, np.unique(groups.group[spoken[tree, target]])):
            slots = (groups.slots[1][chosen] >= 0).sum(1).max()
            total += float((2.0 ** groups.bits[chosen]).sum() * slots)
    return total


def _alike(groups: LeafGroups, chosen: Array) -> list[Array]:
    """Divide groups by their number of slots, so that tables hold few empty slots."""
    pairs = ((groups.slots[1][chosen] >= 0).sum(1) + 1) // 2
    return [chosen[pairs == number] for number in np.unique(pairs)]
