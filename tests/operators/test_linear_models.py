"""Linear models against numpy: coefficient times feature, and the outputs that they had."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import onnxlrp
from onnxlrp.operators.registry import table
from tests.operators.case import onnxruntime
from tests.operators.classical_case import explain, normal
from tests.operators.draws.classical import model, node, single

Array = np.ndarray
FLOAT, DOUBLE, INT, STRING = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64, TensorProto.STRING
POST = ("NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO")


def test_every_operator_of_the_domain_has_an_entry():
    known = {s.name for s in onnx.defs.get_all_schemas() if s.domain == "ai.onnx.ml"}
    assert known == {row.operator for row in table() if row.domain == "ai.onnx.ml"}


@pytest.mark.parametrize("post", POST)
@pytest.mark.parametrize("targets", [1, 3])
def test_linear_regressor(post, targets):
    """Coefficient times feature, of the score before a softmax or sigmoid."""
    w, b, x = normal(0, targets, 4), normal(1, targets), normal(2, 6, 4)
    attributes = {"coefficients": w.ravel().tolist(), "intercepts": b.tolist(), "targets": targets}
    found = explain(single("LinearRegressor", post_transform=post, **attributes), x)
    chosen = (x @ w.T + b).argmax(1)
    np.testing.assert_allclose(found["x_relevance"], w[chosen] * x, atol=1e-4)
    np.testing.assert_allclose(found["relevance_ledger"][-1, 2], b[chosen].sum(), atol=1e-4)


def test_a_score_of_zero_behind_a_softmax_of_others():
    """SOFTMAX_ZERO leaves a score of 0 what it is; asked for it, there is nothing to explain, and no infinity."""
    source = single("LinearRegressor", coefficients=[0.0] * 4 + [1.0] * 4, targets=2, post_transform="SOFTMAX_ZERO")
    x = normal(2, 3, 4)
    explained = onnxruntime(onnxlrp.convert(source, "lrp0", ledger=True).to_proto())
    found = explained({"x": x, "target": np.zeros(1, np.int64)})
    np.testing.assert_array_equal(found["y"], [[0, 1]] * 3)
    assert not found["x_relevance"].any()
    assert not found["relevance_ledger"].any()


def test_intercepts_of_another_number_are_none():
    w, x = normal(0, 2, 4), normal(2, 6, 4)
    source = single("LinearRegressor", coefficients=w.ravel().tolist(), intercepts=[5.0], targets=2)
    found = explain(source, x, composite="lrp0")
    np.testing.assert_allclose(found["x_relevance"], w[(x @ w.T).argmax(1)] * x, atol=1e-5)


def linear_classifier(w: Array, b: Array, labels, **attributes) -> onnx.ModelProto:
    texts = isinstance(labels[0], str)
    named = {"classlabels_strings" if texts else "classlabels_ints": list(labels)}
    attributes |= {"coefficients": w.ravel().tolist(), "intercepts": b.tolist()}
    return single("LinearClassifier", label=STRING if texts else INT, **named, **attributes)


@pytest.mark.parametrize("labels", [(3, 5, 9), ("a", "b", "c"), ("ä", "ß", "字")])
@pytest.mark.parametrize("post", POST)
def test_linear_classifier(post, labels):
    w, b, x = normal(3, 3, 4), normal(4, 3), normal(5, 8, 4)
    found = explain(linear_classifier(w, b, labels, post_transform=post), x, composite="lrp0")
    chosen = (x @ w.T + b).argmax(1)
    np.testing.assert_allclose(found["x_relevance"], w[chosen] * x, atol=1e-5)
    gradient = explain(linear_classifier(w, b, labels, post_transform=post), x, composite="gradient")
    assert np.abs(gradient["x_relevance"]).max() > 1e-3


@pytest.mark.parametrize("labels", [(3, 5), ("a", "b")])
@pytest.mark.parametrize("post", POST)
def test_one_row_for_two_classes(post, labels):
    """`1 − s` and `s`; of a LOGISTIC the explained scores are −s and s."""
    w, b, x = normal(3, 1, 4), normal(4, 1), normal(5, 8, 4)
    source = linear_classifier(w, b, labels, post_transform=post)
    for column, sign in ((0, -1), (1, 1)):
        found = explain(source, x, np.eye(2)[np.full(8, column)], composite="lrp0")
        np.testing.assert_allclose(found["x_relevance"], sign * w * x, atol=1e-5)


@pytest.mark.parametrize("kind", [DOUBLE, INT, TensorProto.INT32])
def test_other_inputs_of_a_classifier(kind):
    w, b = normal(3, 3, 4), normal(4, 3)
    source = linear_classifier(w, b, (0, 1, 2))
    source.graph.input[0].type.tensor_type.elem_type = kind
    x = np.random.default_rng(6).integers(-3, 4, (5, 4)).astype(helper.tensor_dtype_to_np_dtype(kind))
    found = explain(source, x, composite="lrp0")
    np.testing.assert_allclose(found["x_relevance"], w[(x @ w.T + b).argmax(1)] * x, atol=1e-5)
    assert found["x_relevance"].dtype == np.float32


def test_normalised_probabilities():
    """Exporters scale probabilities to sum to 1: what feeds the softmax is explained all the same."""
    w, b, x = normal(3, 3, 4), normal(4, 3), normal(5, 8, 4)
    for post, explained in (("SOFTMAX", True), ("LOGISTIC", True), ("NONE", False)):
        attributes = {"coefficients": w.ravel().tolist(), "intercepts": b.tolist(), "classlabels_ints": [0, 1, 2]}
        nodes = [
            node("LinearClassifier", ["x"], ["label", "p"], post_transform=post, **attributes),
            node("Normalizer", ["p"], ["y"], norm="L1"),
        ]
        found = explain(model(nodes, {"x": (FLOAT, ["N", 4])}, {"label": INT, "y": FLOAT}), x, composite="lrp0")
        scores = x @ w.T + b
        chosen = scores.argmax(1)
        expected = w[chosen] * x
        if not explained:
            expected = expected / np.abs(scores).sum(1, keepdims=True)
        np.testing.assert_allclose(found["x_relevance"], expected, atol=1e-5)
