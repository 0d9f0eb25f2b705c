"""Tree ensembles: relevance by Shapley values, or by the changes along the path through every tree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from onnxlrp.errors import InputError
from onnxlrp.graph.call import Call
from onnxlrp.operators.changes import Multipliers
from onnxlrp.operators.post_transforms import has_transform, pair, transform, transformed
from onnxlrp.operators.registry import Reversed, custom, decomposed
from onnxlrp.operators.shape_functions import infer_classes, infer_targets
from onnxlrp.trees.base_scores import base_scores, expected_sums
from onnxlrp.trees.columns import column
from onnxlrp.trees.ensemble_attributes import class_count, forest, numbers
from onnxlrp.trees.forest import LEAF, Forest
from onnxlrp.trees.path_changes import PathChanges, has_several_targets
from onnxlrp.trees.rows_in_trees import baselines_of
from onnxlrp.trees.score_columns import differ_by_sample, factors_of_sums, score_columns
from onnxlrp.trees.shapley import shapley_contrast, shapley_interactions, shapley_values

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder
    from onnxlrp.operators.reverse_builder import ReverseBuilder

_ML = "ai.onnx.ml"
_BINARY_BASES = "it has two base values for two classes, on whose meaning runtimes disagree"
_HALF_WEIGHED = (
    "some leaves have no weight for one of its two classes, which onnxruntime then transforms in another way"
)


def one_tree(call: Call) -> tuple[Forest, np.ndarray] | None:
    """Return the only tree of an ensemble, and the output at its leaves, float32 [leaves, columns].

    None for ensembles of several trees, and for trees whose output at a leaf is not its weights alone.
    """
    by_tree = column(call.attributes, "tree_roots" if call.op_type == "TreeEnsemble" else "nodes_treeids")
    if has_transform(call) or by_tree is None or not by_tree.size or (by_tree != by_tree[0]).any():
        return None
    trees = forest(call)
    alone = trees.roots.size == 1 and trees.roots[0] == 0 and trees.aggregate in ("SUM", "AVERAGE")
    if not alone or trees.known_share is not None or trees.mode[0] == LEAF or differ_by_sample(call, trees):
        return None
    columns = score_columns(call, trees)
    sums = trees.values[trees.mode == LEAF]
    return trees, (sums @ columns.matrix + columns.constant).astype(np.float32)


def _alone(call: Call) -> bool:
    """Decide whether two classes share one score."""
    classes = column(call.attributes, "class_ids") if call.op_type == "TreeEnsembleClassifier" else None
    return classes is not None and class_count(call) == 2 and classes.size > 0 and not classes.any()


def _refused(call: Call) -> str | None:
    return _BINARY_BASES if class_count(call) == 2 and numbers(call, "base_values").size == 2 else None


@decomposed("TreeEnsemble", domain=_ML, when=has_transform)
@decomposed("TreeEnsembleRegressor", domain=_ML, when=has_transform, inference=infer_targets("n_targets"))
def transformed_regressor(op: Builder, call: Call) -> list[ir.Value]:
    """Written out: the post-transform of the sums."""
    scores = op.run(call.variant(without=("post_transform",)))
    return [transformed(op, scores, transform(call), int(call.attr("n_targets", 1)))]


def _refused_transform(call: Call) -> str | None:
    if transform(call) == "PROBIT" and _alone(call):
        return "PROBIT of one score for two classes"
    return _refused(call) or (_HALF_WEIGHED if differ_by_sample(call, forest(call)) else None)


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


def tree_change(op: ReverseBuilder, call: Call, before: Call, g: Any) -> Multipliers:
    """Shapley values of the change from the row at the baseline, over the change of each column. Columns that do not
    change get 0."""
    trees = forest(call)
    if trees.aggregate in ("MIN", "MAX") or differ_by_sample(call, trees):
        raise InputError(
            f"{call.op_type} {call.name!r} does not add up its trees alone, so that the change between two samples has "
            "no Shapley values: explain it with a composite of LRP"
        )
    x, x0 = (_rows(op, c.operand(0)) for c in (call, before))
    g = g[1] if isinstance(g, list) else g
    wide = _wide(g)
    factors = factors_of_sums(op, op.cast(g, wide), score_columns(call, trees))
    values, change = shapley_contrast(op, trees, x, x0, factors), op.cast(op.Sub(x, x0), wide)
    still = op.Equal(change, op.number(0.0, change))
    return {0: op.cast(op.Div(values, op.Where(still, op.number(1.0, change), change)), g.dtype)}


_TREES: dict[str, Any] = {
    "multiplier": tree_change,
    "receives": "factor",
    "piecewise_constant": True,
    "base": base_scores,
    "interacts": True,
}


@custom("TreeEnsemble", domain=_ML, **_TREES)
@custom("TreeEnsembleRegressor", domain=_ML, inference=infer_targets("n_targets"), **_TREES)
def tree_ensemble(op: ReverseBuilder, call: Call, c: ir.Value, gradient: bool) -> Reversed:
    """Relevance goes to the features by their Shapley values, which add up to the output less its base value.

    They are those of the path-dependent game (Lundberg et al. 2020), times the factor c = R / y of the relevance R of
    the output y; the ledger books the base as bias. Under MIN and MAX, and where the composite says `trees="path"`,
    relevance follows the path through the trees instead, by the change of the expected value at every comparison. Trees
    are constant between their thresholds, so the gradient is 0.
    """
    return _reverse(op, call, c, gradient)


@custom("TreeEnsembleClassifier", domain=_ML, per_output=True, refuse=_refused, inference=infer_classes, **_TREES)
def tree_classifier(op: ReverseBuilder, call: Call, c: list[ir.Value | None], gradient: bool) -> Reversed:
    """Relevance goes to the features by their Shapley values, which add up to the output less its base value."""
    scores = c[1]
    assert scores is not None, "a label carries no relevance"
    return _reverse(op, call, scores, gradient)


def _reverse(op: ReverseBuilder, call: Call, c: ir.Value, gradient: bool) -> Reversed:
    x, dtype = call.original[0], c.dtype
    assert x is not None and dtype is not None
    if gradient:
        return Reversed({0: op.full(op.shape(x), 0, dtype)})
    wide = _wide(c)
    trees = forest(call)
    columns = score_columns(call, trees)
    c = op.cast(c, wide)
    factors, rows = factors_of_sums(op, c, columns), _rows(op, x)
    pairs: ir.Value | None = None
    if call.attr("game") == "path" or trees.aggregate in ("MIN", "MAX"):
        _refuse_interactions(call)
        relevance, bias = PathChanges(op, trees, rows, wide).relevance(factors, has_several_targets(trees))
    else:
        background = baselines_of(call)
        relevance = shapley_values(op, trees, rows, factors, op.tables, background)
        bias = op.Mul(factors, op.constant(expected_sums(trees, background), wide))
        if (width := call.attr("interactions")) is not None:
            pairs = op.cast(shapley_interactions(op, trees, rows, factors, width, background), dtype)
    bias = op.Add(
        op.ReduceSum(bias, keepdims=0), op.ReduceSum(op.Mul(c, op.constant(columns.constant, wide)), keepdims=0)
    )
    conserves = not differ_by_sample(call, trees)
    return Reversed({0: op.cast(relevance, dtype)}, conserves, bias=op.cast(bias, dtype), interactions=pairs)


def _refuse_interactions(call: Call) -> None:
    if call.attr("interactions") is not None:
        raise InputError(
            f"interactions: {call.op_type} {call.name!r} is explained by changes along the paths, which have none; "
            "Shapley values have, of ensembles that add up their trees: explain them without trees='path'"
        )


def _wide(value: ir.Value) -> ir.DataType:
    """The type that relevance is computed in: onnxruntime's CPU cannot add up halves in ScatterElements."""
    return ir.DataType.DOUBLE if value.dtype == ir.DataType.DOUBLE else ir.DataType.FLOAT


def _rows(op: Builder, x: ir.Value) -> ir.Value:
    """Cast the samples to the type in which thresholds are compared: double for doubles, else float."""
    return op.cast(x, ir.DataType.DOUBLE if x.dtype == ir.DataType.DOUBLE else ir.DataType.FLOAT)
