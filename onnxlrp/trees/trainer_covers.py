"""Sample counts of trained tree ensembles: scikit-learn's, LightGBM's, XGBoost's and CatBoost's own.

Models are recognised by their attributes, so that none of these packages is imported here.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from onnxlrp.errors import InputError
from onnxlrp.reprs import Brief
from onnxlrp.trees.forest import Array


@dataclasses.dataclass(frozen=True, eq=False)
class TreeCovers(Brief):
    """The nodes of one tree as its trainer numbers them, with the samples that reached each; node 0 is the root.

    A set of k categories is a chain of k comparisons with one category each, the samples shared out evenly.
    """

    cover: Array
    """Number of samples at each node, or their sum of weights or of second derivatives."""
    feature: Array
    """Index of the feature that a node compares; any number at leaves."""
    threshold: Array
    """Number that a node compares with; any at leaves."""
    low: Array
    """Child for numbers up to the threshold, or equal to it; a leaf's own number."""
    high: Array
    """Child for all other numbers; a leaf's own number."""
    is_equality: Array
    """True where a node asks for equality."""
    part: Array
    """Part of the low child's samples that come from this node: less than 1 for the members of a set, which share one
    low child."""


def covers_of(model: Any) -> list[TreeCovers]:
    """Read from a trained model how many of its training samples reached each node of its trees.

    The counts make the explanation of an exported file the one that `shap.TreeExplainer` gives for the trained model.

    Parameters
    ----------
    model
        A fitted tree, forest, extra trees, gradient boosting, histogram gradient boosting, isolation forest or other
        ensemble of trees of scikit-learn, or a pipeline that ends in one; a LightGBM or XGBoost model, by its
        scikit-learn interface or as a Booster; a CatBoost model with symmetric trees. XGBoost has sums of second
        derivatives, which equal the counts for squared errors; scikit-learn has sums of sample weights.

    Returns
    -------
    list
        One entry for each tree, in the order of training, for `onnxlrp.with_covers`.

    Raises
    ------
    InputError
        The model is none of these or is not fitted, or its trees compare in a way that exporters do not write.

    Examples
    --------
    ```python
    import onnx

    # forest is the trained model, and forest.onnx the file that skl2onnx wrote from it.
    model = onnxlrp.with_covers(onnx.load("forest.onnx"), onnxlrp.covers_of(forest))
    explained = onnxlrp.convert(model)
    ```
    """
    try:
        trees = _trees(model)
    except InputError:
        raise
    except Exception as e:  # each package raises its own errors
        raise InputError(f"covers_of: {type(model).__name__} cannot be read; is it fitted? {e}") from e
    if not trees:
        raise InputError(
            f"covers_of: {type(model).__name__} holds no trees that are known here; it takes fitted models of trees of "
            "scikit-learn, LightGBM, XGBoost and CatBoost. For others, give with_covers the counts by node number, or "
            "convert(background=) rows of data"
        )
    return trees


def _trees(model: Any) -> list[TreeCovers]:
    """Read all trees of a model; none if it is of an unknown kind."""
    for attribute, reader in _READERS.items():
        if getattr(model, attribute, None) is not None:
            return reader(model)
    return []


def _several(models: Any) -> list[TreeCovers]:
    members = models.ravel() if isinstance(models, np.ndarray) else models
    return [tree for member in members for tree in _trees(member)]


# ----------------------------------------------------------------------------------------------------- scikit-learn


def _scikit_learn(model: Any) -> list[TreeCovers]:
    tree = model.tree_
    return [
        _numbered(tree.weighted_n_node_samples, tree.feature, tree.threshold, tree.children_left, tree.children_right)
    ]


def _numbered(cover: Any, feature: Any, threshold: Any, low: Any, high: Any, leaf: Any = None) -> TreeCovers:
    """Build a tree from columns by node number; children of leaves are negative unless `leaf` marks the leaves."""
    low, high = np.asarray(low, np.int64), np.asarray(high, np.int64)
    leaf, own = low < 0 if leaf is None else np.asarray(leaf, bool), np.arange(low.size)
    return TreeCovers(
        cover=np.asarray(cover, np.float64),
        feature=np.asarray(feature, np.int64),
        threshold=np.asarray(threshold, np.float64),
        low=np.where(leaf, own, low),
        high=np.where(leaf, own, high),
        is_equality=np.zeros(low.size, bool),
        part=np.ones(low.size),
    )


def _histogram_boosting(model: Any) -> list[TreeCovers]:
    return [_of_histograms(predictor.nodes) for stage in model._predictors for predictor in stage]


def _of_histograms(nodes: Array) -> TreeCovers:
    if nodes["is_categorical"].any():
        raise InputError("covers_of: histogram gradient boosting with categories is not supported; encode them first")
    columns = ("count", "feature_idx", "num_threshold", "left", "right", "is_leaf")
    return _numbered(*(nodes[name] for name in columns))


# --------------------------------------------------------------------------------------------------------- XGBoost


def _xgboost(booster: Any, last: int | None = None) -> list[TreeCovers]:
    """Read the trees of all rounds, or of those up to the round `last`."""
    learner = json.loads(bytes(booster.save_raw("json")))["learner"]["gradient_booster"]
    model = learner.get("gbtree", learner).get("model", {})
    ends = model.get("iteration_indptr")
    kept = slice(None) if last is None or ends is None else slice(ends[last + 1])
    return [_of_xgboost(tree) for tree in model.get("trees", [])[kept]]


def _of_xgboost(tree: Mapping[str, Any]) -> TreeCovers:
    if any(tree.get("split_type", ())):
        raise InputError("covers_of: XGBoost's splits by categories are not supported; encode the categories first")
    columns = ("sum_hessian", "split_indices", "split_conditions", "left_children", "right_children")
    return _numbered(*(tree[name] for name in columns))


# -------------------------------------------------------------------------------------------------------- LightGBM


def _lightgbm(booster: Any) -> list[TreeCovers]:
    return [_of_lightgbm(tree["tree_structure"]) for tree in booster.dump_model()["tree_info"]]


def _of_lightgbm(root: Mapping[str, Any]) -> TreeCovers:
    """Number the nodes of a nested tree; a set of categories becomes a chain."""
    rows: list[list[Any]] = [[]]
    rest = [(root, 0)]
    while rest:
        node, number = rest.pop()
        if "split_feature" not in node:
            rows[number] = [node.get("leaf_count", 0), 0, 0.0, number, number, False, 1.0]
            continue
        is_equality = node["decision_type"] == "=="
        asked = [float(c) for c in node["threshold"].split("||")] if is_equality else [node["threshold"]]
        low = len(rows)
        rows += [[] for _ in range(len(asked) + 1)]
        chain = [number, *range(low + 2, low + 1 + len(asked))]
        each = _count(node["left_child"]) / len(asked)
        for i, (at, threshold, after) in enumerate(zip(chain, asked, [*chain[1:], low + 1], strict=True)):
            cover = node["internal_count"] - i * each
            rows[at] = [cover, node["split_feature"], threshold, low, after, is_equality, 1 / len(asked)]
        rest += [(node["left_child"], low), (node["right_child"], low + 1)]
    return TreeCovers(*(np.array(column) for column in zip(*rows, strict=True)))


def _count(node: Mapping[str, Any]) -> float:
    return float(node.get("internal_count", node.get("leaf_count", 0)))


# -------------------------------------------------------------------------------------------------------- CatBoost


def _catboost(model: Any) -> list[TreeCovers]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.json"
        model.save_model(str(file), format="json")
        content = json.loads(file.read_text())
    if "oblivious_trees" not in content:
        raise InputError("covers_of: CatBoost's trees are known where they are symmetric (grow_policy SymmetricTree)")
    return [_of_catboost(tree) for tree in content["oblivious_trees"]]


def _of_catboost(tree: Mapping[str, Any]) -> TreeCovers:
    """Write out a symmetric tree, level by level: its last split stands at the root, and bit k of a leaf's index says
    whether samples at the leaf pass split k."""
    splits = list(reversed(tree.get("splits") or ()))
    if any(split["split_type"] != "FloatFeature" for split in splits) or "leaf_weights" not in tree:
        raise InputError("covers_of: CatBoost's trees are known where they compare numbers and keep their leaf weights")
    covers = [np.asarray(tree["leaf_weights"], np.float64)]
    while covers[0].size > 1:
        covers.insert(0, covers[0].reshape(-1, 2).sum(1))
    inner = 2 ** len(splits) - 1
    level = np.repeat(np.arange(len(splits)), 2 ** np.arange(len(splits)))
    feature, border = (
        np.concatenate([np.array([split[name] for split in splits])[level], np.zeros(inner + 1)])
        for name in ("float_feature_index", "border")
    )
    own = np.arange(2 * inner + 1)
    low = np.where(own < inner, 2 * own + 1, -1)
    return _numbered(np.concatenate(covers), feature, border, low, np.where(low < 0, -1, low + 1))


_READERS: Mapping[str, Any] = {
    "steps": lambda model: _trees(model.steps[-1][1]),
    # With early stopping, the model predicts, and exporters write, the rounds up to the best one.
    "get_booster": lambda model: _xgboost(model.get_booster(), getattr(model, "best_iteration", None)),
    "save_raw": _xgboost,
    "booster_": lambda model: _lightgbm(model.booster_),
    "dump_model": _lightgbm,
    "get_leaf_weights": _catboost,
    "_predictors": _histogram_boosting,
    "tree_": _scikit_learn,
    "estimators_": lambda model: _several(model.estimators_),
}
"""Readers of the kinds of models, each with an attribute that tells its kind; the first attribute that a model has
decides."""


def one_table(trees: Sequence[TreeCovers]) -> tuple[TreeCovers, Array]:
    """Put the nodes of several trees into one table, and return it with the places of their roots."""
    sizes = np.array([tree.cover.size for tree in trees])
    roots = np.cumsum(sizes) - sizes
    columns = {f.name: np.concatenate([getattr(t, f.name) for t in trees]) for f in dataclasses.fields(TreeCovers)}
    for name in ("low", "high"):
        columns[name] = columns[name] + np.repeat(roots, sizes)
    return TreeCovers(**columns), roots
