"""Tree ensembles: relevance follows the path through every tree, by changes of the expectation at comparisons."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.operators.forests import class_count, forest, numbers
from onnxlrp.operators.post_transforms import has_transform, pair, transform, transformed
from onnxlrp.operators.registry import Reversed, custom, decomposed
from onnxlrp.operators.shape_functions import infer_classes, infer_targets
from onnxlrp.operators.tree_nodes import LEAF, MODES, Forest
from onnxlrp.operators.tree_tables import Tables, whole_numbers

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder

_ML = "ai.onnx.ml"
_BINARY_BASES = "it has two base values for two classes, on whose meaning runtimes disagree"


@dataclasses.dataclass(frozen=True)
class _Columns:
    """The map from the sums over the trees to the columns of the output: `sums · matrix + constant`."""

    matrix: np.ndarray
    """Matrix, [targets, columns]."""
    constant: np.ndarray
    """Constant, [columns]."""


def _columns(call: Call, trees: Forest) -> _Columns:
    """Return the map from sums to outputs that onnxruntime uses.

    If only the first of two classes has weights, their sum s is the score of the second class, and the first has
    `1 − s`, or `−s` if a weight is negative.
    """
    count, base = trees.values.shape[1], trees.base
    own = _Columns(np.eye(count), base if base.size == count else np.zeros(count))
    if call.op_type != "TreeEnsembleClassifier" or count != 2:
        return own
    first, second = bool(trees.has_weight[:, 0].any()), bool(trees.has_weight[:, 1].any())
    extra = float(base[0]) if base.size and first else 0.0
    if first and second:
        return dataclasses.replace(own, constant=np.array([extra, 0.0]))
    if second:
        return dataclasses.replace(own, constant=np.zeros(2))
    rest = 1.0 if (trees.values >= 0).all() else 0.0
    return _Columns(np.array([[-1.0, 1.0], [0.0, 0.0]]), np.array([rest - extra, extra]))


def one_tree(call: Call) -> tuple[Forest, np.ndarray] | None:
    """Return the only tree of an ensemble, and the output at its leaves, float32 [leaves, columns].

    None for ensembles of several trees, and for trees whose output at a leaf is not its weights alone.
    """
    roots = call.attr("tree_roots") if call.op_type == "TreeEnsemble" else set(call.attr("nodes_treeids", ()))
    if has_transform(call) or roots is None or len(roots) != 1:
        return None
    trees = forest(call)
    alone = trees.roots.size == 1 and trees.roots[0] == 0 and trees.aggregate in ("SUM", "AVERAGE")
    if not alone or trees.known_share is not None or trees.mode[0] == LEAF:
        return None
    columns = _columns(call, trees)
    sums = trees.values[trees.mode == LEAF]
    return trees, (sums @ columns.matrix + columns.constant).astype(np.float32)


def _alone(call: Call) -> bool:
    """Decide whether two classes share one score."""
    return call.op_type == "TreeEnsembleClassifier" and class_count(call) == 2 and set(call.attr("class_ids")) == {0}


def _refused(call: Call) -> str | None:
    return _BINARY_BASES if class_count(call) == 2 and numbers(call, "base_values").size == 2 else None


@decomposed("TreeEnsemble", domain=_ML, when=has_transform)
@decomposed("TreeEnsembleRegressor", domain=_ML, when=has_transform, inference=infer_targets("n_targets"))
def transformed_regressor(op: Builder, call: Call) -> list[ir.Value]:
    """Written out: the post-transform of the sums."""
    scores = op.run(call.variant(without=("post_transform",)))
    return [transformed(op, scores, transform(call), int(call.attr("n_targets", 1)))]


def _refused_transform(call: Call) -> str | None:
    probit = transform(call) == "PROBIT" and _alone(call)
    return "PROBIT of one score for two classes" if probit else _refused(call)


@decomposed(
    "TreeEnsembleClassifier", domain=_ML, when=has_transform, refuse=_refused_transform, inference=infer_classes
)
def transformed_classifier(op: Builder, call: Call) -> list[ir.Value]:
    """Written out: the post-transform of the sums; the label is the operator's own."""
    label, scores = op.run(call.variant(without=("post_transform",)), outputs=2)
    kind = transform(call)
    if not _alone(call):
        return [label, transformed(op, scores, kind, class_count(call))]
    if kind != "LOGISTIC":
        return [label, scores]
    return [label, op.Sigmoid(pair(op, op.Slice(scores, op.ints([1]), op.ints([2]), op.ints([1]))))]


_TREES: dict[str, Any] = {"receives": "factor", "piecewise_constant": True, "base": True}


@custom("TreeEnsemble", domain=_ML, **_TREES)
@custom("TreeEnsembleRegressor", domain=_ML, inference=infer_targets("n_targets"), **_TREES)
def tree_ensemble(op: Builder, call: Call, c: ir.Value, gradient: bool) -> Reversed:
    """Follows each tree's path, by the change of the expected value at every comparison; the ledger books the base.

    `R_i = Σ c·(E[child] − E[parent])` over the comparisons of feature i on the paths, with `c = R / y` and the
    expectation E, the weighted mean of a node's children; the sum over all features is c·(y − base). Under MIN and MAX
    the chosen tree gets all. Trees are constant between their thresholds, so the gradient is 0.
    """
    return _reverse(op, call, c, gradient)


@custom("TreeEnsembleClassifier", domain=_ML, per_output=True, refuse=_refused, inference=infer_classes, **_TREES)
def tree_classifier(op: Builder, call: Call, c: list[ir.Value | None], gradient: bool) -> Reversed:
    """Follows each tree's path, by the change of the expected value at every comparison; the ledger books the base."""
    scores = c[1]
    assert scores is not None, "a label carries no relevance"
    return _reverse(op, call, scores, gradient)


def _reverse(op: Builder, call: Call, c: ir.Value, gradient: bool) -> Reversed:
    x, dtype = call.original[0], c.dtype
    assert x is not None and dtype is not None
    if gradient:
        return Reversed({0: op.full(op.shape(x), 0, dtype)})
    # onnxruntime's CPU cannot add up halves in ScatterElements.
    wide = dtype if dtype == ir.DataType.DOUBLE else ir.DataType.FLOAT
    trees = forest(call)
    columns = _columns(call, trees)
    c = op.cast(c, wide)
    walk = _Walk(op, trees, _rows(op, x), wide)
    relevance, bias = walk.relevance(_into_sums(op, c, columns), _several(trees))
    bias = op.Add(
        op.ReduceSum(bias, keepdims=0), op.ReduceSum(op.Mul(c, op.constant(columns.constant, wide)), keepdims=0)
    )
    return Reversed({0: op.cast(relevance, dtype)}, bias=op.cast(bias, dtype))


def _rows(op: Builder, x: ir.Value) -> ir.Value:
    """Cast the samples to the type in which thresholds are compared: double for doubles, else float."""
    return op.cast(x, ir.DataType.DOUBLE if x.dtype == ir.DataType.DOUBLE else ir.DataType.FLOAT)


def _into_sums(op: Builder, c: ir.Value, columns: _Columns) -> ir.Value:
    """Convert factors of the output's columns to factors of the sums."""
    if np.array_equal(columns.matrix, np.eye(len(columns.matrix))):
        return c
    return op.MatMul(c, op.constant(columns.matrix.T, c.dtype))


def _several(trees: Forest) -> bool:
    """Decide whether a tree may have weights for several targets, or must win against the others (MIN, MAX)."""
    return trees.aggregate in ("MIN", "MAX") or bool((_targets(trees).sum(1) > 1).any())


def _targets(trees: Forest) -> np.ndarray:
    """Tell for which targets each tree has weights, bool [trees, targets]."""
    owner = np.zeros(trees.mode.size, np.int64)
    owner[trees.roots] = np.arange(len(trees.roots))
    for nodes in trees.levels:
        inner = nodes[trees.mode[nodes] != LEAF]
        for children in (trees.yes[inner], trees.no[inner]):
            owner[children] = owner[inner]
    spoken = np.zeros((len(trees.roots), trees.values.shape[1]), np.int64)
    np.add.at(spoken, owner, trees.has_weight.astype(np.int64))
    return spoken > 0


class _Walk:
    """A walk through all trees at once, level by level, over the nodes that samples reach, [samples, trees]."""

    def __init__(self, op: Builder, trees: Forest, rows: ir.Value, dtype: ir.DataType) -> None:
        self.op, self.trees, self.rows, self.dtype = op, trees, rows, dtype
        self.tables = Tables(op, trees, dtype)
        self.modes = np.unique(trees.mode[trees.mode != LEAF])

    @functools.cached_property
    def features(self) -> ir.Value:
        return self.tables.of_comparisons(self.trees.feature)

    @functools.cached_property
    def thresholds(self) -> ir.Value:
        assert self.rows.dtype is not None
        return self.tables.of_comparisons(self.trees.threshold, self.rows.dtype)

    def _path(self) -> Iterator[tuple[ir.Value | None, ir.Value]]:
        """Yield (None, roots), then after each comparison the feature that was compared and the nodes reached."""
        op = self.op
        size = op.Concat(op.dim(self.rows, 0), op.ints([self.trees.roots.size]), axis=0)
        nodes = op.Expand(self.tables.roots, size)
        yield None, nodes
        for _ in range(self.trees.depth):
            feature = op.Gather(self.features, nodes)
            true = self._compare(op.GatherElements(self.rows, feature, axis=1), nodes)
            yes, no = self.tables.children
            nodes = op.Where(true, op.Gather(yes, nodes), op.Gather(no, nodes))
            yield feature, nodes

    def _compare(self, value: ir.Value, nodes: ir.Value) -> ir.Value:
        """Decide whether a sample's feature passes the comparison of its node."""
        op, trees, tables = self.op, self.trees, self.tables
        threshold = op.Gather(self.thresholds, nodes)
        compared = value
        if trees.whole.any():
            whole = tables.of_comparisons(trees.whole, ir.DataType.BOOL)
            compared = op.Where(op.Gather(whole, nodes), _whole_part(op, value), value)
        true: ir.Value | None = None
        for mode in self.modes:
            passes = _comparison(op, MODES[mode], compared, threshold)
            if len(self.modes) > 1:
                own = tables.of_comparisons(trees.mode == mode, ir.DataType.BOOL)
                passes = op.And(passes, op.Gather(own, nodes))
            true = passes if true is None else op.Or(true, passes)
        assert true is not None
        if trees.missing.any():
            missing = tables.of_comparisons(trees.missing, ir.DataType.BOOL)
            true = op.Or(true, op.And(op.Gather(missing, nodes), op.IsNaN(value)))
        return true

    def relevance(self, c: ir.Value, several: bool) -> tuple[ir.Value, ir.Value]:
        """Compute the relevance [samples, features] and the roots' share from the sums' factors [samples, targets]."""
        op = self.op
        if several:
            expected, weigh = self._of_targets(c)
        else:
            expected, weigh = self._of_one(c)
        path = self._path()
        _, nodes = next(path)
        before = op.Gather(expected, nodes)
        bias = weigh(before)
        total = op.full(op.shape(self.rows), 0, self.dtype)
        for feature, nodes in path:
            after = op.Gather(expected, nodes)
            change = weigh(op.Sub(after, before))
            total = op.ScatterElements(total, feature, change, axis=1, reduction="add")
            before = after
        return total, bias

    def _of_one(self, c: ir.Value):  # type: ignore[no-untyped-def]
        """Return expectations [nodes] and the weighting of their changes by a factor; for trees of one target each."""
        op, trees = self.op, self.trees
        expected = self.tables.expected(trees.values.sum(1))
        if trees.values.shape[1] > 1:
            c = op.Gather(c, whole_numbers(op, _targets(trees).argmax(1)), axis=1)
        return expected, lambda changes: op.Mul(c, changes)

    def _of_targets(self, c: ir.Value):  # type: ignore[no-untyped-def]
        """Return expectations [nodes, targets], and the weighting of their changes by factors, where trees have several
        targets or one tree wins."""
        op, trees = self.op, self.trees
        expected = self.tables.expected(trees.values)
        factors = op.Unsqueeze(c, op.ints([1]))
        if trees.aggregate in ("MIN", "MAX"):
            factors = op.Mul(factors, self._winners())
            return expected, lambda changes: op.ReduceSum(op.Mul(changes, factors), op.ints([2]), keepdims=0)
        column = op.Unsqueeze(c, op.ints([2]))
        return expected, lambda changes: op.Squeeze(op.MatMul(changes, column), op.ints([2]))

    def _winners(self) -> ir.Value:
        """Mark the winning trees by 1, [samples, trees, targets].

        The winner is the first tree whose leaf is the smallest or largest of all leaves with a weight for the target.
        """
        op, trees = self.op, self.trees
        sign = 1.0 if trees.aggregate == "MAX" else -1.0
        scores = np.where(trees.has_weight, sign * trees.values, -np.inf)
        *_, (_, leaves) = self._path()
        best = op.ArgMax(op.Gather(self.tables.of_leaves(scores, self.dtype), leaves), axis=1, keepdims=1)
        places = op.Unsqueeze(op.ints(range(len(trees.roots))), op.ints([0, 2]))
        return op.Cast(op.Equal(places, best), to=self.dtype)


def _whole_part(op: Builder, value: ir.Value) -> ir.Value:
    """Convert a number as C casts it to int32: without its fraction, to −2³¹ where it is out of range or NaN."""
    size = op.Abs(value)
    return op.Where(op.Less(size, 2.0**31), op.Mul(op.Sign(value), op.Floor(size)), -(2.0**31))


def _comparison(op: Builder, mode: str, value: ir.Value, threshold: ir.Value) -> ir.Value:
    compare = {
        "BRANCH_LEQ": op.LessOrEqual,
        "BRANCH_LT": op.Less,
        "BRANCH_GTE": op.GreaterOrEqual,
        "BRANCH_GT": op.Greater,
        "BRANCH_EQ": op.Equal,
        "BRANCH_NEQ": op.Equal,
    }[mode](value, threshold)
    return op.Not(compare) if mode == "BRANCH_NEQ" else compare
