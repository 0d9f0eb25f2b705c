"""Ensembles that skl2onnx writes out of trees of one leaf's number or vote each: IsolationForest and AdaBoost.

Fixed batches of these and of other kinds beside them.
"""

from __future__ import annotations

import functools
import warnings
from typing import Any

import numpy as np
import onnx
import pytest

import onnxlrp
from tests.operators.case import onnxruntime

pytestmark = pytest.mark.peers
pytest.importorskip("sklearn")
skl2onnx = pytest.importorskip("skl2onnx")

from sklearn import datasets, ensemble, linear_model, neural_network, pipeline, preprocessing, tree  # noqa: E402

Array = np.ndarray
TYPES = skl2onnx.common.data_types
IRIS = datasets.load_iris()
X, Y = IRIS.data.astype(np.float32), IRIS.target


def exported(model: Any, batch: int | None = None, **options: Any) -> onnx.ModelProto:
    """The model as skl2onnx writes it."""
    kind = [("x", TYPES.FloatTensorType([batch, X.shape[1]]))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return skl2onnx.to_onnx(
            model, initial_types=kind, options={id(model): options} if options else None, target_opset={"": 18, ML: 3}
        )


ML = "ai.onnx.ml"


def explain(source: onnx.ModelProto, x: Array, **options: Any) -> onnxlrp.Explanation:
    """Explained with a ledger that closes; the model's own outputs must be what they were."""
    found = onnxlrp.Explainer(onnxlrp.convert(source, "epsilon", ledger=True, **options))({"x": x})
    for name, value in onnxruntime(source)({"x": x}).items():
        np.testing.assert_array_equal(found.outputs[name], value)
    assert found.ledger is not None
    assert found.ledger.gaps.max() < 1e-3 * max(1.0, np.abs(found.ledger.values).max())
    return found


def mean_path_length(model: ensemble.IsolationForest, x: Array) -> Array:
    """The exponent of scikit-learn's score: `score_samples = −2^(−E[h]/c)`."""
    return -np.log2(-model.score_samples(x))


@pytest.mark.parametrize("batch", [None, 30])
def test_isolation_forest_from_its_path_lengths(batch):
    """The path lengths are a forest of all trees: what is taken from x₀ … x₃ is their difference from the base."""
    model = ensemble.IsolationForest(n_estimators=20, max_samples=64, random_state=0).fit(X)
    source = exported(model, batch, score_samples=True)
    found = explain(source, X[:30], output="score_samples", relevance_at=["dec_C0"])
    np.testing.assert_allclose(found.outputs["score_samples"].ravel(), model.score_samples(X[:30]), rtol=1e-4)
    plan = onnxlrp.convert(source, "epsilon", output="score_samples").plan
    assert sum(row.operator == "LeafFunction" for row in plan.rows()) == 1


def test_path_lengths_as_output():
    """The sum of path lengths is explained exactly: its relevance and the base add up, and follow mean imputation."""
    model = ensemble.IsolationForest(n_estimators=50, random_state=0).fit(X)
    source = exported(model, score_samples=True)
    source.graph.output.append(onnx.helper.make_tensor_value_info("dec_C0", onnx.TensorProto.FLOAT, [None, 1]))
    found = explain(source, X, output="dec_C0")
    np.testing.assert_allclose(found.score, mean_path_length(model, X), rtol=1e-4)
    effects = np.empty_like(X)
    for column in range(X.shape[1]):
        changed = np.repeat(X, 30, axis=0)
        changed[:, column] = np.tile(np.random.default_rng(column).choice(X[:, column], 30), len(X))
        effects[:, column] = mean_path_length(model, X) - mean_path_length(model, changed).reshape(-1, 30).mean(1)
    assert np.corrcoef(found.relevance["x"].ravel(), effects.ravel())[0, 1] > 0.7


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("classes", [2, 3])
def test_adaboost_from_its_votes(classes, depth):
    """A vote is a tree's; the weighed sum of all is the score in front of the final exponentials."""
    x, y = X[classes > Y], Y[classes > Y]
    base = tree.DecisionTreeClassifier(max_depth=depth)
    model = ensemble.AdaBoostClassifier(base, n_estimators=8, random_state=0).fit(x[:, ::-1].copy(), y)
    source = exported(model, zipmap=False)
    for target in range(classes):
        converted = onnxlrp.convert(source, "epsilon", output="probabilities", ledger=True)
        found = onnxlrp.Explainer(converted)({"x": x[:, ::-1].copy()}, target=target)
        assert found.ledger is not None and found.ledger.gaps.max() < 1e-3
        assert found.relevance["x"].any()
    expected = onnxruntime(source)({"x": x[:, ::-1].copy()})
    np.testing.assert_array_equal(found.outputs["probabilities"], expected["probabilities"])
    np.testing.assert_array_equal(found.outputs["label"], model.predict(x[:, ::-1].copy()))


def test_adaboost_regressor():
    """The weighed median is one tree's output: that tree takes all."""
    model = ensemble.AdaBoostRegressor(n_estimators=6, random_state=0).fit(X[:, 1:], X[:, 0])
    kind = [("x", TYPES.FloatTensorType([None, 3]))]
    found = explain(skl2onnx.to_onnx(model, initial_types=kind, target_opset={"": 18, ML: 3}), X[:, 1:])
    np.testing.assert_allclose(found.score, model.predict(X[:, 1:]), rtol=1e-4)


@functools.cache
def fitted() -> dict[str, Any]:
    """Models of several kinds."""
    scaler, normalizer = preprocessing.StandardScaler(), preprocessing.Normalizer()
    made = {
        "linear": linear_model.Ridge(),
        "scaled": pipeline.make_pipeline(scaler, linear_model.LogisticRegression()),
        "normalised": pipeline.make_pipeline(normalizer, linear_model.LogisticRegression()),
        "boosted": ensemble.GradientBoostingClassifier(n_estimators=3, random_state=0),
        "network": neural_network.MLPClassifier((4,), max_iter=20, random_state=0),
        "votes": ensemble.AdaBoostClassifier(n_estimators=3, random_state=0),
    }
    return {name: model.fit(X, Y) for name, model in made.items()}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("name", ["linear", "scaled", "normalised", "boosted", "network", "votes"])
def test_fixed_batches(name, batch):
    """The rows of a batch of its declared size are explained as they are in any other batch."""
    options = {} if name == "linear" else {"zipmap": False}
    sources = (exported(fitted()[name], size, **options) for size in (batch, None))
    fixed, free = (onnxlrp.Explainer(onnxlrp.convert(source, "epsilon")) for source in sources)
    found = np.concatenate([e.relevance["x"] for e in fixed.map({"x": X[:10]})])
    np.testing.assert_allclose(found, free({"x": X[:10]}).relevance["x"], rtol=1e-3, atol=1e-4)


def test_a_power_transform_upstream():
    """Its two functions are no numbers where the other is chosen, at their boundary neither: relevance is finite."""
    rows = np.random.default_rng(0).integers(-4, 5, (80, 4)).astype(np.float32) / 2
    model = pipeline.make_pipeline(preprocessing.PowerTransformer(), ensemble.RandomForestRegressor(5, random_state=0))
    source = exported(model.fit(rows, rows[:, 0] * rows[:, 1]))
    found = onnxlrp.Explainer(onnxlrp.convert(source))({"x": rows})
    assert np.isfinite(found.relevance["x"]).all()
    assert (found.relevance["x"] != 0).mean() > 0.8
