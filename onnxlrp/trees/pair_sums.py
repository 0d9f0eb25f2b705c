"""Shapley interactions of tree ensembles, as an integral of the trees' own second derivatives.

The index of two features i and j is `∫₀¹ ∂²E/∂p_i∂p_j dt`, with the expected value E of `quadrature` as a function of
the probability p with which each feature is known (Grabisch & Roubens 1999). A comparison is reached with a product of
probabilities, so the second derivative is a sum over pairs: a comparison k of one feature, and an edge above it whose
comparison has the other feature. Let k be reached with probability P_k and go to its true branch with probability u_k,
and let the edge be taken with probability u. The pair contributes `(P_k / u) · ∂u/∂p_j · ∂u_k/∂p_i · (E_yes − E_no)`,
with the expected values of the two branches of k; where u is 0, so is its derivative.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from onnxlrp.trees.compact_constants import whole_numbers
from onnxlrp.trees.feature_sums import sums_by_feature
from onnxlrp.trees.forest import Array
from onnxlrp.trees.parts import joined
from onnxlrp.trees.quadrature import Leaves, Quadrature
from onnxlrp.trees.unfolded import Level, Unfolded

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder

_LEAST = 1e-30
"""Stands for a probability of 0 in a denominator: its numerator is 0 as well."""


class PairSums(Quadrature):
    """Shapley interactions of unfolded trees: the constructor emits the constants, `sums` the nodes that compute on
    rows."""

    def __init__(self, op: Builder, trees: Unfolded, rows_type: ir.DataType, dtype: ir.DataType, width: int) -> None:
        super().__init__(op, trees, rows_type, dtype)
        self.above = _features_above(trees)
        levels = zip(trees.levels[1:], self.above, strict=True)
        own = _flat([np.broadcast_to(trees.feature[level.span], above.shape) for level, above in levels])
        other = _flat(self.above)
        self.kept = np.flatnonzero(own != other)
        """Pairs of different features, among all pairs of a comparison and an edge above it."""
        code = np.minimum(own, other)[self.kept] * width + np.maximum(own, other)[self.kept]
        self.codes, self.pair = np.unique(code, return_inverse=True)
        """Pairs of features that occur, each as `smaller · width + larger`, and for each kept pair its place there."""

    @property
    def largest(self) -> int:
        return max([super().largest, *(self.points * above.size for above in self.above)])

    def sums(self, op: Builder, outcome: ir.Value, reached: ir.Value, leaves: Leaves) -> ir.Value:
        """Emit half the index of each pair of `codes`, [pairs, N]; the arguments are those of `contributions`."""
        changes, chances = self._probabilities(op, outcome)
        differences = self._differences(op, chances, leaves)
        reached, effects, results = op.Mul(reached, op.Mul(self.weights, 0.5)), None, []
        for number, level in enumerate(self.trees.levels):
            slope, change = self.slopes[number], op.Unsqueeze(changes[number], op.ints([0]))
            change = change if slope is None else op.Mul(change, slope)
            if effects is not None:
                gains = op.Unsqueeze(op.Mul(op.Mul(reached, change), differences[number]), op.ints([1]))
                products = op.ReduceSum(op.Mul(gains, effects), op.ints([0]), keepdims=0)
                count = op.ints([self.above[number - 1].size])
                results.append(op.Reshape(products, op.Concat(count, op.dim(outcome, 1), axis=0)))
            if number + 1 < len(self.sizes):
                effects = self._effects(op, level, effects, change, chances[number])
                reached = self._next_reached(op, level, reached, chances[number])
        products = op.Gather(joined(op, results, 0), whole_numbers(self.op, self.kept), axis=0)
        return sums_by_feature(self.op, op, products, self.pair, self.codes.size)

    def _next_reached(self, op: Builder, level: Level, reached: ir.Value, chance: ir.Value) -> ir.Value:
        """Emit the probability of the next level's comparisons, [points, comparisons, N].

        A false branch is reached with the very factor that `_effects` divides by, so that its rounding cancels out even
        where it is small.
        """
        sides = op.Mul(reached, chance), op.Mul(reached, op.Sub(1.0, chance))
        return self._to_children(op, level, sides, axis=1)

    def _effects(
        self, op: Builder, level: Level, above: ir.Value | None, change: ir.Value, chance: ir.Value
    ) -> ir.Value:
        """Emit for the next level's comparisons the logarithmic derivative of each edge above, [points, edges,
        comparisons, N], the nearest edge first."""
        yes = op.Div(change, op.Max(chance, _LEAST))
        no = op.Div(op.Neg(change), op.Max(op.Sub(1.0, chance), _LEAST))
        nearest = op.Unsqueeze(self._to_children(op, level, (yes, no), axis=1), op.ints([1]))
        if above is None:
            return nearest
        return op.Concat(nearest, self._to_children(op, level, (above, above), axis=2), axis=1)


def _flat(arrays: Sequence[Array]) -> Array:
    return np.concatenate([np.zeros(0, np.int64), *(array.reshape(-1) for array in arrays)])


def _features_above(trees: Unfolded) -> list[Array]:
    """List for each level but the first the features of the edges above its comparisons, [edges, comparisons], the
    nearest edge first."""
    found: list[Array] = []
    for before, level in zip(trees.levels, trees.levels[1:]):
        parent = trees.parent[level.span] // 2
        nearest = trees.feature[parent][None]
        found.append(np.concatenate([nearest, found[-1][:, parent - before.start]]) if found else nearest)
    return found
