"""Support vector machines against a walk over pairs, vectors and features in numpy."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto

import onnxlrp
from onnxlrp.errors import UnsupportedOperatorError
from tests.operators.classical_case import explain, normal
from tests.operators.draws.classical import single
from tests.oracle import support_vectors as oracle

Array = np.ndarray
FLOAT, DOUBLE, INT, STRING = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64, TensorProto.STRING
POST = ("NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO")


KERNELS = ("LINEAR", "POLY", "RBF", "SIGMOID")


def regression(kernel: str, seed: int = 7, degree: float = 2.0, **attributes) -> onnx.ModelProto:
    """Five support vectors; features keep away from 0, so that no kernel does."""
    u = np.abs(normal(seed, 5, 4)) + 0.2
    made = {"coefficients": normal(seed + 1, 5).tolist(), "support_vectors": u.ravel().tolist(), "n_supports": 5}
    made |= {"rho": [0.4], "kernel_type": kernel, "kernel_params": [0.3, 0.5, degree]}
    return single("SVMRegressor", **made, **attributes)


@pytest.mark.parametrize("degree", [2.0, 3.0])
@pytest.mark.parametrize("kernel", KERNELS)
def test_svm_regressor(kernel, degree):
    source = regression(kernel, degree=degree)
    x = np.abs(normal(9, 6, 4)) + 0.1
    found = explain(source, x)
    machine = oracle.machine(source.graph.node[0])
    values = machine.values(x)
    np.testing.assert_allclose(found["y"], values, rtol=1e-4, atol=1e-5)
    expected = np.stack(
        [machine.relevance(row, value) for row, value in zip(x.astype(np.float64), values, strict=True)]
    )
    np.testing.assert_allclose(found["x_relevance"], expected, rtol=1e-3, atol=1e-5)


def test_a_support_vector_itself_and_the_reference():
    """Where x is a support vector, where it is the reference, and far away: finite, and the sum is f(x) − f(r)."""
    source = regression("RBF")
    machine = oracle.machine(source.graph.node[0])
    (decision,) = machine.decisions
    far = machine.reference + np.array([1e3, -1e4, 1e6, 0])
    near = machine.reference + np.array([1e-4, 0, 0, -1e-4])
    x = np.stack([*decision.vectors[:2], machine.reference, near, far]).astype(np.float32)
    found = explain(source, x)
    values = machine.values(x)
    expected = [machine.relevance(row, value) for row, value in zip(x.astype(np.float64), values, strict=True)]
    np.testing.assert_allclose(found["x_relevance"], expected, rtol=1e-3, atol=2e-6)
    np.testing.assert_allclose(found["x_relevance"].sum(1), values[:, 0] - machine.base(decision), atol=2e-5)
    assert abs(found["x_relevance"][2]).max() < 1e-6


def test_one_class():
    """The sign passes; the gradient of a sign is 0."""
    source = regression("RBF", one_class=1)
    x = np.abs(normal(9, 6, 4))
    found = explain(source, x)
    assert set(np.unique(found["y"])) <= {-1.0, 1.0}
    machine = oracle.machine(source.graph.node[0])
    expected = np.stack([machine.relevance(row, y) for row, y in zip(x.astype(np.float64), found["y"], strict=True)])
    np.testing.assert_allclose(found["x_relevance"], expected, rtol=1e-3, atol=1e-4)
    assert not explain(source, x, composite="gradient")["x_relevance"].any()


def test_without_vectors():
    w, x = normal(0, 4), normal(1, 6, 4)
    attributes = {"coefficients": w.tolist(), "rho": [0.3], "kernel_type": "RBF", "kernel_params": [0.1, 0.0, 3.0]}
    found = explain(single("SVMRegressor", **attributes), x, composite="lrp0")
    np.testing.assert_allclose(found["x_relevance"], w * x, atol=1e-5)


def classification(kernel: str, classes: int, seed: int = 11, probable: bool = False, **attributes) -> onnx.ModelProto:
    sizes = [2, 3, 2][:classes]
    count, pairs = sum(sizes), classes * (classes - 1) // 2
    u = np.abs(normal(seed, count, 4)) + 0.2
    made = {"coefficients": normal(seed + 1, classes - 1, count).ravel().tolist(), "vectors_per_class": sizes}
    made |= {"support_vectors": u.ravel().tolist(), "rho": normal(seed + 2, pairs).tolist()}
    made |= {"kernel_type": kernel, "kernel_params": [0.3, 0.5, 2.0], "classlabels_strings": ["a", "b", "c"][:classes]}
    if probable:
        made |= {"prob_a": [-1.0, -1.2, -0.8][:pairs], "prob_b": [0.1, -0.2, 0.3][:pairs]}
    return single("SVMClassifier", label=STRING, **made, **attributes)


@pytest.mark.parametrize("post", POST)
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("kernel", KERNELS)
def test_svm_classifier(kernel, classes, post):
    """Of two classes −f and f (or 1 − f), of more one column a pair."""
    source = classification(kernel, classes, post_transform=post)
    x = np.abs(normal(13, 6, 4)) + 0.1
    machine = oracle.machine(source.graph.node[0])
    values = machine.values(x)
    columns = range(2) if classes == 2 else range(values.shape[1])
    for column in columns:
        chosen = np.eye(len(columns))[np.full(6, column)]
        found = explain(source, x, chosen)
        f = np.zeros_like(values)
        f[:, 0 if classes == 2 else column] = values[:, 0 if classes == 2 else column]
        expected = np.stack([machine.relevance(row, r) for row, r in zip(x.astype(np.float64), f, strict=True)])
        sign = -1 if classes == 2 and column == 0 else 1
        np.testing.assert_allclose(found["x_relevance"], sign * expected, rtol=2e-3, atol=1e-5)


@pytest.mark.parametrize("classes", [2, 3])
def test_svm_probabilities(classes):
    """Explained are the log-odds of the class that the label names: of every pair it is in, `−(A·f + B)` or its
    negative, added up."""
    source = classification("RBF", classes, probable=True)
    x = np.abs(normal(13, 6, 4)) + 0.1
    machine = oracle.machine(source.graph.node[0])
    values = machine.values(x)
    a, b = (np.array([v, w, u][: values.shape[1]]) for v, w, u in ((-1.0, -1.2, -0.8), (0.1, -0.2, 0.3)))
    pairs = [(i, j) for i in range(classes) for j in range(i + 1, classes)]
    signs = np.array([[1 if c == i else -1 if c == j else 0 for i, j in pairs] for c in range(classes)])
    scores = -(values * a + b) @ signs.T
    found = explain(source, x)
    label = ["abc".index(name) for name in found["label"]]
    for n, row in enumerate(x.astype(np.float64)):
        arrived = -values[n] * a * signs[label[n]]
        np.testing.assert_allclose(found["x_relevance"][n], machine.relevance(row, arrived), rtol=2e-3, atol=1e-5)
    np.testing.assert_allclose(found["relevance_ledger"][0, 0], scores[range(len(x)), label].sum(), rtol=1e-4)
    for options in ({"composite": "gradient"}, {"explain_probability": True}):
        with pytest.raises(UnsupportedOperatorError, match="iteration couples its probabilities"):
            onnxlrp.convert(source, **options)


def test_linear_machine_of_classes():
    w, x = normal(0, 3, 4), normal(1, 6, 4)
    attributes = {"coefficients": w.ravel().tolist(), "rho": [0.3], "kernel_params": [0.1, 0.0, 3.0]}
    for post in POST:
        source = single("SVMClassifier", label=INT, classlabels_ints=[4, 5, 6], post_transform=post, **attributes)
        found = explain(source, x, composite="lrp0")
        np.testing.assert_allclose(found["x_relevance"], w[(x @ w.T).argmax(1)] * x, atol=1e-5)


@pytest.mark.parametrize("kernel", KERNELS)
def test_gradients_of_kernels(kernel):
    """Against differences of the oracle."""
    source = classification(kernel, 3)
    machine = oracle.machine(source.graph.node[0])
    x, weights = np.abs(normal(13, 4, 4)) + 0.1, normal(14, 4, 3)
    found = explain(source, x, weights, composite="gradient")["x_relevance"]
    step = 1e-5
    for f in range(4):
        moved = np.eye(4)[f] * step
        slope = (machine.values(x + moved) - machine.values(x - moved)) / (2 * step)
        np.testing.assert_allclose(found[:, f], (slope * weights).sum(1), rtol=1e-3, atol=1e-4)
