"""The model that is perturbed: its score is that of the source, and nothing of the relevance part is left."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

import onnxlrp
from onnxlrp.evaluation.score_model import ScoreModel
from tests.evaluation import nets

ROOT = Path(__file__).parents[2] / "models"


@pytest.mark.parametrize(
    ("path", "input", "output"),
    [
        ("digits_cnn/digits_cnn.torchscript.onnx", "image", "logits"),
        ("digits_lstm/digits_lstm.onnx", "rows", "logits"),
        ("diabetes_regression/diabetes_regression.onnx", "features", "variable"),
    ],
)
def test_scores_are_those_of_the_source(path, input, output):
    x = np.load(ROOT / Path(path).parent / "samples.npz")[input]
    source = onnxruntime.InferenceSession(str(ROOT / path)).run([output], {input: x})[0]
    found = ScoreModel.of(onnxlrp.convert(ROOT / path), None)
    np.testing.assert_allclose(found.scores({input: x}), source.reshape(len(x), -1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("path", ["wine_mlp/wine_mlp.onnx", "breast_cancer_mlp/breast_cancer_mlp.onnx"])
def test_margins_order_classes_as_the_source_does(path):
    """Softmax and sigmoid are skipped, and a ZipMap's maps are no obstacle."""
    x = np.load(ROOT / Path(path).parent / "samples.npz")["features"]
    explained = onnxlrp.convert(ROOT / path)
    scores = ScoreModel.of(explained, None).scores({"features": x})
    given = onnxlrp.Explainer(explained)({"features": x})
    if scores.shape[1] > 1:
        assert (scores.argmax(1) == given.target).all()
    else:
        np.testing.assert_allclose(1 / (1 + np.exp(-scores[:, 0])), given.score, rtol=1e-4, atol=1e-7)


def test_nothing_of_the_relevance_is_left():
    model = nets.convolutions(np.random.default_rng(0))
    proto = ScoreModel.of(onnxlrp.convert(model, ledger=True), None).proto
    onnx.checker.check_model(proto, full_check=True)
    assert [value.name for value in proto.graph.input] == ["x"]
    assert [value.name for value in proto.graph.output] == ["y"]
    assert len(proto.graph.node) <= len(model.graph.node)
    assert not proto.metadata_props
    onnxlrp.convert(proto)


def test_what_bodies_read_stays():
    """A branch reads values of the graph around it."""
    from onnx import TensorProto, helper

    branch = [
        helper.make_graph([helper.make_node("Mul", ["h", factor], [f"o{factor}"])], factor, [],
                          [helper.make_tensor_value_info(f"o{factor}", TensorProto.FLOAT, ["N", 2])])
        for factor in ("one", "two")
    ]  # fmt: skip
    nodes = [
        helper.make_node("Relu", ["x"], ["h"]),
        helper.make_node("ReduceMax", ["x"], ["m"], keepdims=0),
        helper.make_node("Greater", ["m", "zero"], ["c"]),
        helper.make_node("If", ["c"], ["y"], then_branch=branch[0], else_branch=branch[1]),
    ]
    weights = {"one": np.array([1.0]), "two": np.array([2.0]), "zero": np.array(0.0)}
    model = nets.model(nodes, {"x": ["N", 2]}, {"y": ["N", 2]}, weights)
    found = ScoreModel.of(onnxlrp.convert(model), None)
    np.testing.assert_allclose(found.scores({"x": np.array([[1, -2]], np.float32)}), [[1, 0]])
