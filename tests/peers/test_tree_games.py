"""The games of tree ensembles, by brute force, against shap.TreeExplainer on scikit-learn's forests."""

from __future__ import annotations

import warnings

import numpy as np
import onnx
import pytest

from onnxlrp.trees.covers import with_covers
from tests.oracle import tree_games
from tests.oracle import trees as oracle

pytestmark = pytest.mark.peers
pytest.importorskip("sklearn")
shap = pytest.importorskip("shap")
skl2onnx = pytest.importorskip("skl2onnx")

from sklearn import ensemble  # noqa: E402

Array = np.ndarray
FEATURES = 4


@pytest.fixture(scope="module")
def data() -> Array:
    return np.random.default_rng(0).normal(size=(80, FEATURES)).astype(np.float32)


@pytest.fixture(scope="module")
def forest(data: Array) -> ensemble.RandomForestRegressor:
    """A forest whose trees compare one feature several times on a path."""
    target = data[:, 0] * data[:, 1] + np.sin(3 * data[:, 2]) + data[:, 3]
    return ensemble.RandomForestRegressor(5, max_depth=5, random_state=0).fit(data, target)


@pytest.fixture(scope="module")
def roots(forest: ensemble.RandomForestRegressor) -> list[oracle.Branch | oracle.Leaf]:
    """The trees as they are exported, with their covers and the mean over the trees in the leaves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source: onnx.ModelProto = skl2onnx.to_onnx(
            forest, initial_types=[("x", skl2onnx.common.data_types.FloatTensorType([None, FEATURES]))]
        )
    covers = [tree.tree_.weighted_n_node_samples for tree in forest.estimators_]
    return oracle.trees(with_covers(source, covers).graph.node[0])


def test_path_dependent_interactions(forest, roots, data):
    found = shap.TreeExplainer(forest).shap_interaction_values(data[:3].astype(np.float64))
    for x, wanted in zip(data, found, strict=False):
        game = tree_games.path_dependent(roots, x, 1)
        got = tree_games.interactions(game, FEATURES)[..., 0]
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(got.sum(1), tree_games.values(game, FEATURES)[:, 0], atol=1e-12)


def test_interventional_values(forest, roots, data):
    background = data[20:27]
    explainer = shap.TreeExplainer(forest, background, feature_perturbation="interventional")
    for x, wanted in zip(data, explainer.shap_values(data[:3]), strict=False):
        game = tree_games.interventional(roots, x, background, 1)
        np.testing.assert_allclose(tree_games.values(game, FEATURES)[:, 0], wanted, rtol=1e-5, atol=1e-6)
