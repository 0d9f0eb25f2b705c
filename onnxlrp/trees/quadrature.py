"""Exact Shapley values of the path-dependent game, as an integral of the trees' own gradient.

Let every feature be known by itself with probability t. A comparison whose feature is not known goes to its true branch
with the share z of the samples. If b is its outcome for a row, it goes there with probability `u = z + κ·a·(b − z)`:
where no comparison above has its feature, κ = t and a = 1; else a is 1 if the row meets all those comparisons, Z is the
product of their shares, and `κ = t / (Z + t·(1 − Z))`, since the feature is known with greater probability where the
row passes than where it does not. The expected value E of a node is then `E_no + u·(E_yes − E_no)`.

Shapley values are the integral over t of the derivative with respect to each feature's own probability (Owen 1972):
`φ_i = Σ_k ∫₀¹ P_k · κ′ · a·(b − z) · (E_yes − E_no) dt`, over the comparisons k of feature i, each reached with
probability P_k, where κ′ is the derivative of κ. The integrand is a polynomial in t, of a degree below the number of
distinct features on a path, so Gauss–Legendre quadrature is exact.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Self

import numpy as np
import onnx_ir as ir

from onnxlrp.trees.compact_constants import floats, merged_places, positions, whole_numbers
from onnxlrp.trees.comparisons import Outcomes
from onnxlrp.trees.forest import Array
from onnxlrp.trees.parts import joined, split
from onnxlrp.trees.unfolded import Level, Unfolded

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder

Leaves = Callable[["Builder", Array], ir.Value]


class Quadrature:
    """Shapley values of unfolded trees: the constructor emits the constants, `contributions` the nodes that compute on
    rows."""

    def __init__(self, op: Builder, trees: Unfolded, rows_type: ir.DataType, dtype: ir.DataType) -> None:
        self.op, self.trees, self.dtype = op, trees, dtype
        self.sizes = [level.size for level in trees.levels]
        self.outcomes, self.met = Outcomes(op, trees, rows_type), _Met(op, trees)
        points, weights = np.polynomial.legendre.leggauss(max(1, (trees.distinct + 1) // 2))
        self.t = op.constant(((points + 1) / 2).reshape(-1, 1, 1), dtype)
        self.weights = op.constant((weights / 2).reshape(-1, 1, 1), dtype)
        self.points = points.size
        self._set_shares(op, op.Unsqueeze(floats(op, trees.share, dtype), op.ints([1])))

    @property
    def largest(self) -> int:
        """Number of elements for each row in the largest array."""
        return self.points * self.trees.node.size

    def against(self, op: Builder, outcome: ir.Value) -> Self:
        """Return the same trees in the game against one background row, or one for each sample: its outcomes,
        [comparisons, 1] or [comparisons, N], are the shares of the true branches."""
        other = copy.copy(self)
        other._set_shares(op, outcome)
        return other

    def _set_shares(self, op: Builder, share: ir.Value) -> None:
        self.share, self.shares = share, split(op, share, self.sizes)
        self.known: list[ir.Value] = [self.t] * len(self.sizes)
        self.slopes: list[ir.Value | None] = [None] * len(self.sizes)
        if self.met.ranks:
            above = self.met.of(op, share)
            rest = op.Add(above, op.Mul(self.t, op.Sub(1.0, above)))
            known = split(op, op.Div(self.t, rest), self.sizes)
            slopes = split(op, op.Div(above, op.Mul(rest, rest)), self.sizes)
            for number, level in enumerate(self.trees.levels):
                if self.trees.repeats[level.span].any():
                    self.known[number], self.slopes[number] = known[number], slopes[number]

    def contributions(self, op: Builder, outcome: ir.Value, reached: ir.Value, leaves: Leaves) -> ir.Value:
        """Emit the contribution of each comparison to its feature, [comparisons, N], for outcomes [comparisons, N].

        `reached`, [1, trees, N] or [1, 1, 1], multiplies all values of a tree. `leaves` emits the values of leaves,
        [leaves, N] or [leaves, 1], by their nodes in the forest.
        """
        changes, chances = self._probabilities(op, outcome)
        differences = self._differences(op, chances, leaves)
        reached, results = op.Mul(reached, self.weights), []
        for number, level in enumerate(self.trees.levels):
            integral = self._integral(op, reached, differences[number], self.slopes[number])
            results.append(op.Mul(changes[number], integral))
            if number + 1 < len(self.sizes):
                reached = self._next_reached(op, level, reached, chances[number])
        return joined(op, results, 0)

    def _probabilities(self, op: Builder, outcome: ir.Value) -> tuple[Sequence[ir.Value], list[ir.Value]]:
        """Emit for each level a·(b − z), [comparisons, N], and the chance of the true branch, [points, comparisons,
        N]."""
        change = op.Sub(outcome, self.share)
        if self.met.ranks:
            change = op.Mul(change, self.met.of(op, outcome))
        changes = split(op, change, self.sizes)
        return changes, [op.Add(op.Mul(k, c), z) for k, c, z in zip(self.known, changes, self.shares, strict=True)]

    def _next_reached(self, op: Builder, level: Level, reached: ir.Value, chance: ir.Value) -> ir.Value:
        """Emit the probability of the next level's comparisons, [points, comparisons, N]."""
        yes = op.Mul(reached, chance)
        return self._to_children(op, level, (yes, op.Sub(reached, yes)), axis=1)

    def _to_children(self, op: Builder, level: Level, sides: tuple[ir.Value, ir.Value], axis: int) -> ir.Value:
        """Hand values on to the comparisons of the next level, along an axis: the first one to those on true branches,
        the second one to those on false branches."""
        pairs = zip(sides, level.compares, strict=True)
        return joined(op, [self._chosen(op, value, mask, axis) for value, mask in pairs if mask.any()], axis)

    def _differences(self, op: Builder, chances: Sequence[ir.Value], leaves: Leaves) -> list[ir.Value]:
        """Emit for each level the expected value on the true branch less that on the false one, [points, comparisons,
        N]."""
        found: list[ir.Value] = []
        below: Sequence[ir.Value] = ()
        nothing = op.full(op.Concat(op.ints([self.points, 1]), op.dim(chances[0], 2), axis=0), 0, self.dtype)
        for number in reversed(range(len(self.sizes))):
            level = self.trees.levels[number]
            yes, no = (
                self._children(op, level.children[side], level.compares[side], below[side : side + 1], nothing, leaves)
                for side in (0, 1)
            )
            found.append(op.Sub(yes, no))
            if number:
                expected = op.Add(no, op.Mul(chances[number], found[-1]))
                from_yes = int(self.trees.levels[number - 1].compares[0].sum())
                below = split(op, expected, [from_yes, level.size - from_yes], axis=1)
        return found[::-1]

    def _children(
        self, op: Builder, nodes: Array, compares: Array, below: Sequence[ir.Value], nothing: ir.Value, leaves: Leaves
    ) -> ir.Value:
        """Emit the expected values of the children on one side of a level, [points or 1, comparisons, N or 1].

        `below` holds those of the children that compare, unless none does; `nothing` is 0, [points, 1, N].
        """
        if compares.all():
            return below[0]
        ends = op.Unsqueeze(leaves(op, nodes[~compares]), op.ints([0]))
        if not compares.any():
            return ends
        both = op.Concat(below[0], op.Add(nothing, ends), axis=1)
        return op.Gather(both, merged_places(self.op, compares), axis=1)

    def _integral(self, op: Builder, reached: ir.Value, difference: ir.Value, slope: ir.Value | None) -> ir.Value:
        """Emit the weighted sum over the quadrature points, [comparisons, N]."""
        weights = reached if slope is None else op.Mul(reached, slope)
        if op.dims(difference)[0] == 1 and self.points > 1:
            total = op.ReduceSum(weights, op.ints([0]), keepdims=0)
            return op.Mul(total, op.Squeeze(difference, op.ints([0])))
        return op.ReduceSum(op.Mul(weights, difference), op.ints([0]), keepdims=0)

    def _chosen(self, op: Builder, value: ir.Value, mask: Array, axis: int) -> ir.Value:
        """Take the places along an axis that a mask marks."""
        return value if mask.all() else op.Gather(value, positions(self.op, mask), axis=axis)


class _Met:
    """The product of a value over all edges above a comparison that have its feature: joint outcomes, or shares."""

    def __init__(self, op: Builder, trees: Unfolded) -> None:
        place, self.ranks, size = np.zeros(trees.node.size, np.int64), [], 1
        order = np.zeros(trees.node.size, np.int64)
        for rank in range(1, int(trees.repeats.max(initial=0)) + 1):
            own = np.flatnonzero(trees.repeats == rank)
            above, false_branch = np.divmod(trees.above[own], 2)
            sign, shift = (op.constant(v.astype(np.int8).reshape(-1, 1)) for v in (1 - 2 * false_branch, false_branch))
            self.ranks.append((whole_numbers(op, above), (sign, shift), whole_numbers(op, place[above])))
            place[own], order[own] = np.arange(own.size), size + np.arange(own.size)
            size += own.size
        self.order = whole_numbers(op, order)

    def of(self, op: Builder, value: ir.Value) -> ir.Value:
        """Emit the product for each comparison, [comparisons, N]. `value`, [comparisons, N], is that of true branches;
        false branches have 1 − value, and comparisons without such an edge above get 1."""
        assert value.dtype is not None
        one = op.Concat(op.ints([1]), op.dim(value, 1), axis=0)
        products, latest = [op.full(one, 1, value.dtype)], None
        for above, (sign, shift), place in self.ranks:
            edge = op.Mul(op.Gather(value, above, axis=0), op.Cast(sign, to=value.dtype))
            edge = op.Add(edge, op.Cast(shift, to=value.dtype))
            latest = edge if latest is None else op.Mul(edge, op.Gather(latest, place, axis=0))
            products.append(latest)
        return op.Gather(op.Concat(*products, axis=0), self.order, axis=0)
