"""The class that is explained where none is asked for: the arg max of the visible output, or the file's own label."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxlrp
from tests.oracle.reference import Runner
from tests.source.nets import run
from tests.source.output_functions import HEADS, PAIRS, SIGMOIDS_BESIDE_TANH, Function, split
from tests.source.sketch import Sketch

Array = np.ndarray
ROWS = np.random.default_rng(2).normal(size=(400, 6)).astype(np.float32)
WEIGHT = np.random.default_rng(1).normal(size=(6, 6))


def _complements(g: Any, z: str) -> str:
    """[p, 1 − p] of three scores."""
    p = g.Sigmoid(split(g, z, 3, 3)[0])
    return g.Concat(p, g.Sub(1.0, p), axis=1)


def _boxes(g: Any, z: str) -> str:
    """Two coordinates of a box beside four probabilities."""
    box, scores = split(g, z, 2, 4)
    return g.Concat(box, g.Sigmoid(scores), axis=1)


def _rows_of_pairs(g: Any, z: str) -> str:
    """Three softmaxes of two scores each, read as six classes."""
    return g.Reshape(g.Softmax(g.Reshape(z, np.array([-1, 3, 2])), axis=2), np.array([-1, 6]))


def _falling(g: Any, z: str) -> str:
    """The largest output has the smallest score."""
    return g.Sub(1.0, g.Sigmoid(z))


def _mixed_slopes(g: Any, z: str) -> str:
    """5·σ beside 1 − σ."""
    a, b = split(g, z, 3, 3)
    return g.Concat(g.Mul(5.0, g.Sigmoid(a)), g.Sub(1.0, g.Sigmoid(b)), axis=1)


def _weighted(g: Any, z: str) -> str:
    """A softmax whose classes are weighted afterwards: another class may be the largest."""
    return g.Mul(g.Softmax(z, axis=1), np.array([[1.0, 4.0, 0.5, 1.0, 2.0, 0.2]]))


def _tied(g: Any, z: str) -> str:
    """Saturated probabilities: the first of many equal ones is the class."""
    return g.HardSigmoid(g.Mul(z, 40.0))


OWN: dict[str, Callable[[Any, str], str]] = {
    "[p, 1 - p] of three": _complements,
    "boxes beside sigmoids": _boxes,
    "three softmaxes as six classes": _rows_of_pairs,
    "1 - sigmoid": _falling,
    "5 * sigmoid beside 1 - sigmoid": _mixed_slopes,
    "softmax * class weights": _weighted,
    "ties": _tied,
    "sigmoids beside tanh": SIGMOIDS_BESIDE_TANH.write,
}
KINDS = {name: function.write for name, function in HEADS.items()} | OWN


def model(write: Callable[[Any, str], str], classes: int = 6, floating: type = np.float32) -> onnx.ModelProto:
    g = Sketch(floating)
    z = g.MatMul("x", WEIGHT if classes == 6 else WEIGHT[:, :1])
    return g.model(write(g, z), classes, width=6)


def check(source: onnx.ModelProto, expected: Array | None = None, **options: Any) -> onnxlrp.Explainer:
    """The default is the arg max of the output (or the expected class), and what is said to be it, in every row."""
    explainer = onnxlrp.Explainer(onnxlrp.convert(source, "epsilon", **options))
    default = explainer({"x": ROWS})
    wanted = default.outputs["y"].argmax(1) if expected is None else expected
    np.testing.assert_array_equal(default.target, wanted)
    asked = explainer({"x": ROWS}, target=wanted)
    np.testing.assert_array_equal(default.relevance["x"], asked.relevance["x"])
    np.testing.assert_array_equal(default.score, asked.score)
    return explainer


@pytest.mark.parametrize("name", KINDS)
def test_the_arg_max_of_the_visible_output(name):
    check(model(KINDS[name]))


@pytest.mark.parametrize("name", PAIRS)
def test_two_classes_of_one_score(name):
    check(model(PAIRS[name].write, 2))


def test_some_scores_say_otherwise():
    """The heads above are worth trying: the largest score is not always that of the largest output."""
    for write in (HEADS["softmax beside softmax"].write, *(OWN[n] for n in OWN if n != "boxes beside sigmoids")):
        default = onnxlrp.Explainer(onnxlrp.convert(model(write), "epsilon"))({"x": ROWS})
        assert (default.outputs["y"].argmax(1) != (ROWS @ WEIGHT).argmax(1)).any()


@pytest.mark.parametrize("name", ["softmax beside sigmoids", "[p, 1 - p] of three", "1 - sigmoid"])
def test_several_targets(name):
    """Every target that is left at −1 is the arg max of the output."""
    explainer = onnxlrp.Explainer(onnxlrp.convert(model(KINDS[name]), "epsilon", targets=3))
    default = explainer({"x": ROWS})
    best = default.outputs["y"].argmax(1)
    np.testing.assert_array_equal(default.target, np.repeat(best[:, None], 3, axis=1))
    mixed = explainer({"x": ROWS}, target=np.stack([np.full(400, 4), np.full(400, -1), best], 1))
    np.testing.assert_array_equal(mixed.target[:, 1], best)
    np.testing.assert_array_equal(mixed.relevance["x"][:, 1], mixed.relevance["x"][:, 2])
    np.testing.assert_array_equal(mixed.relevance["x"][:, 1], default.relevance["x"][:, 0])


@pytest.mark.parametrize("name", ["softmax beside sigmoids", "[p, 1 - p] of three", "1 - sigmoid"])
def test_a_model_without_a_target_input(name):
    """Its class is fixed to the arg max of the output."""
    without = onnxlrp.Explainer(onnxlrp.convert(model(KINDS[name]), "epsilon", target_input="none"))({"x": ROWS})
    explainer = check(model(KINDS[name]))
    asked = explainer({"x": ROWS}, target=without.outputs["y"].argmax(1))
    np.testing.assert_array_equal(without.relevance["x"], asked.relevance["x"])
    np.testing.assert_array_equal(without.target, asked.target)


def test_tokens():
    """The arg max at the position that is explained, [N, T, V]."""
    g = Sketch(np.float32)
    z = g.MatMul("x", WEIGHT)
    a, b = g.Split(z, np.array([3, 3]), outputs=2, axis=2)
    source = g.model(g.Concat(g.Softmax(a, axis=2), g.Sigmoid(b), axis=2), 6, shape=["N", "T", 6])
    source.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", "T", 6]))
    explainer = onnxlrp.Explainer(onnxlrp.convert(source, "epsilon", target="token"))
    x = ROWS.reshape(100, 4, 6)
    for position in (None, 1):
        default = explainer({"x": x}, position=position)
        best = default.outputs["y"][:, -1 if position is None else position].argmax(1)
        np.testing.assert_array_equal(default.target, best)
        asked = explainer({"x": x}, target=best, position=position)
        np.testing.assert_array_equal(default.relevance["x"], asked.relevance["x"])


# ----------------------------------------------------------------------------------- a label output that says otherwise

COUPLING = np.random.default_rng(7).normal(size=(3, 3))
PAIRS_WON = np.array([[1.0, 0.0, -1.0], [-1.0, 1.0, 0.0], [0.0, -1.0, 1.0]])
NUMBERS = np.array([10, 20, 30])
STRINGS = np.array(["cat", "dog", "hen"], dtype=object)


def labelled(labels: Array, mapped: bool = False) -> onnx.ModelProto:
    """Three decisions between pairs of classes: probabilities couple them, the label counts who won how often."""
    g = Sketch(np.float32)
    decisions = g.MatMul("x", WEIGHT[:, :3])
    probabilities = g.Softmax(g.MatMul(decisions, COUPLING), axis=1)
    votes = g.MatMul(g.Add(g.Sign(decisions), g.Mul(decisions, 1e-3)), PAIRS_WON)
    best = g.ArgMax(votes, axis=1, keepdims=0)
    kind = TensorProto.INT64 if labels.dtype.kind == "i" else TensorProto.STRING
    source = g.model(probabilities, 3, width=6)
    source.graph.initializer.append(numpy_helper.from_array(labels, "labels"))
    lookup = helper.make_node("ArrayFeatureExtractor", ["labels", best], ["found"], domain="ai.onnx.ml")
    flat = helper.make_node("Reshape", ["found", "flat"], ["label"])
    source.graph.initializer.append(numpy_helper.from_array(np.array([-1]), "flat"))
    source.graph.node.extend([lookup, flat])
    source.graph.output.insert(0, helper.make_tensor_value_info("label", kind, ["N"]))
    source.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    if mapped:
        _map(source, labels)
    return source


def _map(source: onnx.ModelProto, labels: Array) -> None:
    """Answer with a map from label to probability, as converters do by default."""
    given = {"classlabels_int64s": labels.tolist()} if labels.dtype.kind == "i" else {"classlabels_strings": [*labels]}
    source.graph.node.append(helper.make_node("ZipMap", ["y"], ["maps"], domain="ai.onnx.ml", **given))
    key = TensorProto.INT64 if labels.dtype.kind == "i" else TensorProto.STRING
    value = helper.make_tensor_type_proto(TensorProto.FLOAT, [])
    kind = helper.make_sequence_type_proto(helper.make_map_type_proto(key, value))
    source.graph.output[1].CopyFrom(helper.make_value_info("maps", kind))


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("labels", [NUMBERS, STRINGS], ids=["numbers", "strings"])
def test_a_label_by_other_votes(labels, mapped):
    """The label's class is explained, not the most probable one, and the plan says so."""
    decisions = ROWS @ WEIGHT[:, :3].astype(np.float32)
    voted = ((np.sign(decisions) + 1e-3 * decisions) @ PAIRS_WON).argmax(1)
    assert (voted != (decisions @ COUPLING).argmax(1)).sum() > 100
    explained = onnxlrp.convert(labelled(labels, mapped), "epsilon")
    assert "label" in str(explained.plan)
    explainer = onnxlrp.Explainer(explained)
    default = explainer({"x": ROWS})
    np.testing.assert_array_equal(default.outputs["label"], labels[voted])
    np.testing.assert_array_equal(default.target, voted)
    asked = explainer({"x": ROWS}, target=voted)
    np.testing.assert_array_equal(default.relevance["x"], asked.relevance["x"])
    np.testing.assert_allclose(
        default.relevance["x"], ROWS * (WEIGHT[:, :3] @ COUPLING)[:, voted].T, rtol=1e-3, atol=1e-5
    )


def test_a_label_of_the_same_scores():
    """A label that is the arg max of the explained output says nothing else."""
    source = labelled(NUMBERS)
    next(node for node in source.graph.node if node.op_type == "ArgMax").input[0] = "y"
    check(source)


def machine(labels: Array, mapped: bool = False) -> onnx.ModelProto:
    """A linear support vector classifier of three classes: labels by votes of pairs, probabilities by iteration."""
    rng = np.random.default_rng(4)
    given: dict[str, Any] = {"kernel_type": "LINEAR", "kernel_params": [0.0, 0.0, 3.0], "vectors_per_class": [2, 2, 2]}
    given |= {"support_vectors": rng.normal(size=36).tolist(), "coefficients": rng.normal(size=12).tolist()}
    given |= {"rho": [0.3, -0.2, 0.1], "prob_a": [-0.3, -2.0, -0.7], "prob_b": [0.9, -0.8, 0.6]}
    numbers = labels.dtype.kind == "i"
    given |= {"classlabels_ints" if numbers else "classlabels_strings": labels.tolist()}
    node = helper.make_node("SVMClassifier", ["x"], ["label", "y"], domain="ai.onnx.ml", **given)
    kind = TensorProto.INT64 if numbers else TensorProto.STRING
    outputs = [helper.make_tensor_value_info("label", kind, ["N"])]
    outputs.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3]))
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 6])]
    graph = helper.make_graph([node], "machine", inputs, outputs)
    source = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 3)], ir_version=10
    )
    if mapped:
        _map(source, labels)
    return source


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("labels", [NUMBERS, STRINGS], ids=["numbers", "strings"])
def test_a_support_vector_classifier_labels_by_votes(labels, mapped):
    explained = onnxlrp.convert(machine(labels, mapped), "epsilon")
    assert "label" in str(explained.plan)
    explainer = onnxlrp.Explainer(explained)
    default = explainer({"x": ROWS})
    voted = np.argmax(default.outputs["label"][:, None] == labels[None], axis=1)
    if not mapped:
        assert (voted != default.outputs["y"].argmax(1)).sum() > 5
    np.testing.assert_array_equal(default.target, voted)
    asked = explainer({"x": ROWS}, target=voted)
    np.testing.assert_array_equal(default.relevance["x"], asked.relevance["x"])


def test_two_classes_without_probabilities():
    """The runtime gives the decision f as [f, −f], where f > 0 means the second class.

    What is explained by default must be evidence for the class that the label names, whose score is ∣f∣.
    """
    rng = np.random.default_rng(4)
    vectors, coefficients = rng.normal(size=(4, 6)), rng.normal(size=4)
    given: dict[str, Any] = {"kernel_type": "LINEAR", "kernel_params": [0.0, 0.0, 3.0], "vectors_per_class": [2, 2]}
    given |= {"support_vectors": vectors.ravel().tolist(), "coefficients": coefficients.tolist(), "rho": [0.0]}
    node = helper.make_node(
        "SVMClassifier", ["x"], ["label", "y"], domain="ai.onnx.ml", classlabels_ints=[0, 1], **given
    )
    graph = helper.make_graph(
        [node],
        "machine",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 6])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, ["N"]),
            helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2]),
        ],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 3)]
    explained = onnxlrp.convert(helper.make_model(graph, opset_imports=opsets, ir_version=10), "epsilon")
    assert "`target` counts the scores, not the labels" in str(explained.plan)
    default = onnxlrp.Explainer(explained)({"x": ROWS})
    parts = ROWS * (coefficients @ vectors)
    decision = default.outputs["y"][:, 0]
    np.testing.assert_allclose(np.abs(parts.sum(1)), np.abs(decision), rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(default.outputs["label"], decision > 0)
    away = np.abs(decision) > 0.05
    evidence = parts * np.sign(parts.sum(1))[:, None]
    np.testing.assert_allclose(default.relevance["x"][away], evidence[away], rtol=1e-2, atol=1e-3)


def test_the_bare_graph():
    """Without the explainer, in any runtime: target −1 and no target are the same class."""
    source = model(KINDS["softmax beside sigmoids"])
    proto = onnxlrp.convert(source, "epsilon").to_proto()
    default = run(proto, {"x": ROWS})
    asked = run(proto, {"x": ROWS, "target": default["y"].argmax(1)})
    np.testing.assert_array_equal(default["x_relevance"], asked["x_relevance"])
    mixed = np.where(np.arange(400) % 2, default["y"].argmax(1), -1)
    np.testing.assert_array_equal(run(proto, {"x": ROWS, "target": mixed})["x_relevance"], default["x_relevance"])


def test_double_precision():
    """Two probabilities that are equal in float32 only: the larger is the class."""
    close = Function(lambda g, z: g.Add(g.Mul(g.Sigmoid(z), 1e-9), 0.5))
    source = model(close.write, floating=np.float64)
    explained = onnxlrp.convert(source, "epsilon")
    x = ROWS.astype(np.float64)
    runner = Runner(explained.to_proto())
    default = runner({"x": x})
    asked = runner({"x": x, "target": default["y"].argmax(1)})
    np.testing.assert_array_equal(default["x_relevance"], asked["x_relevance"])
