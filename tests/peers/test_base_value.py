"""Base value and relevance add up to the score, for ensembles and kernels as their converters write them."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import onnxlrp

pytestmark = pytest.mark.peers
pytest.importorskip("sklearn")
pytest.importorskip("skl2onnx")

from sklearn import decomposition, ensemble, gaussian_process, impute, linear_model, pipeline, svm, tree  # noqa: E402
from sklearn.preprocessing import MinMaxScaler, StandardScaler  # noqa: E402

from tests.peers import test_ensembles as exports  # noqa: E402
from tests.peers.test_classical import data, plain_attributes, write  # noqa: E402, F401

Array = np.ndarray
KERNELS = gaussian_process.kernels
FOREST = ensemble.RandomForestRegressor(5, random_state=0)
piped = pipeline.make_pipeline
REGRESSORS = [
    ensemble.RandomForestRegressor(20, random_state=0),
    ensemble.GradientBoostingRegressor(n_estimators=20, random_state=0),
    ensemble.HistGradientBoostingRegressor(max_iter=20),
    ensemble.BaggingRegressor(n_estimators=5, random_state=0),
    ensemble.VotingRegressor([("forest", FOREST), ("line", linear_model.LinearRegression())]),
    ensemble.StackingRegressor([("forest", FOREST), ("line", linear_model.Ridge())]),
    tree.DecisionTreeRegressor(random_state=0),
    piped(StandardScaler(), FOREST),
    piped(impute.SimpleImputer(), MinMaxScaler(), FOREST),
    svm.SVR(),
    svm.NuSVR(kernel="linear"),
    piped(StandardScaler(), svm.SVR()),
    piped(StandardScaler(), gaussian_process.GaussianProcessRegressor(KERNELS.RBF(3) + KERNELS.WhiteKernel())),
    gaussian_process.GaussianProcessRegressor(KERNELS.Matern(1.0) + KERNELS.WhiteKernel(), normalize_y=True),
]
CLASSIFIERS = [
    ensemble.RandomForestClassifier(20, random_state=0),
    ensemble.GradientBoostingClassifier(n_estimators=10, random_state=0),
    ensemble.HistGradientBoostingClassifier(max_iter=10),
    ensemble.AdaBoostClassifier(n_estimators=10, random_state=0),
    ensemble.BaggingClassifier(n_estimators=5, random_state=0),
    tree.DecisionTreeClassifier(random_state=0),
]


def check(source: onnx.ModelProto, x: Array, **options: str) -> None:
    """Base and relevance are the output itself, or add up to what the ledger says that relevance starts from."""
    explainer = onnxlrp.Explainer(onnxlrp.convert(source, ledger=True, **options), providers=["CPUExecutionProvider"])
    found = explainer({source.graph.input[0].name: x})
    assert found.base_value is not None and found.raw_score is not None
    (relevance,) = found.relevance.values()
    scale = max(np.abs(found.base_value).max(), np.abs(found.raw_score).max())
    sums = found.base_value + relevance.sum(axis=1, dtype=np.float64)
    np.testing.assert_allclose(sums, found.raw_score, atol=1e-5 * scale)
    assert abs(found.ledger.seeds(float(relevance.sum(dtype=np.float64))) - sums.sum()) < 1e-5 * scale * len(x)
    if explainer.interface.score_is_output:
        np.testing.assert_allclose(sums, found.score, atol=1e-5 * scale)


@pytest.mark.parametrize("model", REGRESSORS, ids=lambda model: type(model).__name__)
def test_regressors(model):
    x, y = data("diabetes")
    check(write(model.fit(x, y), x), x[:100])


@pytest.mark.parametrize("name", ["wine", "breast_cancer"])
@pytest.mark.parametrize("model", CLASSIFIERS, ids=lambda model: type(model).__name__)
def test_classifiers(model, name):
    x, y = data(name)
    check(write(model.fit(x, y), x), x[:100])


@pytest.mark.parametrize("name", ["wine", "breast_cancer"])
@pytest.mark.parametrize("maker", ["lightgbm", "xgboost"])
def test_boosters(maker, name):
    library = pytest.importorskip(maker)
    quiet = {"verbose": -1} if maker == "lightgbm" else {}
    model = {"lightgbm": "LGBMClassifier", "xgboost": "XGBClassifier"}[maker]
    x, y = data(name)
    check(write(getattr(library, model)(n_estimators=20, **quiet).fit(x, y), x), x[:100])


def test_a_layer_upstream_has_no_base_value():
    """Between the columns and a forest, a projection is shared out by ε, which keeps another part of each sample."""
    x, y = data("diabetes")
    made = onnxlrp.convert(write(piped(decomposition.PCA(4), FOREST).fit(x, y), x))
    assert made.interface.has_base and made.interface.base_values is None


def test_isolation_forests_from_their_path_lengths():
    """The score is 2 to a power of minus the mean path length, of which each tree's leaf knows its own."""
    model = ensemble.IsolationForest(n_estimators=10, random_state=0).fit(exports.X)
    check(exports.exported(model), exports.X, output="scores")
