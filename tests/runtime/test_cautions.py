"""Cautions: every doubt has an explanation that raises it and one beside it that does not."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import onnxlrp
from onnxlrp.errors import ExplanationWarning
from onnxlrp.interface import Interface
from onnxlrp.runtime.cautions import KINDS, cautions

MODELS = Path(__file__).parents[2] / "models"
X = np.array([[1, 2], [3, 1], [2, 2]], np.float32)


def model(nodes, weights, outputs=2, inputs=("x",), shape=("N", 2)):
    """A network from `inputs` of one shape to y [N, outputs]."""
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in inputs],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", outputs])],
        [onnx.numpy_helper.from_array(np.array(value, np.float32), name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def dense(w, b=(0, 0), end=None):
    """y = x·w + b, perhaps through a last operator."""
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["z" if end else "y"], name="fc")]
    nodes += [helper.make_node(end, ["z"], ["y"])] if end else []
    return model(nodes, {"w": w, "b": b}, outputs=len(w[0]))


def forest():
    """100 where the first feature is at most 1.5, else 101."""
    tree = helper.make_node(
        "TreeEnsembleRegressor",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        n_targets=1,
        nodes_treeids=[0, 0, 0],
        nodes_nodeids=[0, 1, 2],
        nodes_featureids=[0, 0, 0],
        nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"],
        nodes_values=[1.5, 0.0, 0.0],
        nodes_truenodeids=[1, 0, 0],
        nodes_falsenodeids=[2, 0, 0],
        target_treeids=[0, 0],
        target_nodeids=[1, 2],
        target_ids=[0, 0],
        target_weights=[100.0, 101.0],
    )
    source = model([tree], {}, outputs=1)
    source.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    return source


def heard(source, feeds, composite="epsilon", call=None, **options):
    """The cautions of one call, which are one warning at most."""
    explainer = onnxlrp.Explainer(onnxlrp.convert(source, composite, **options))
    feeds = feeds if isinstance(feeds, dict) else {"x": np.array(feeds, np.float32)}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        explainer(feeds, **(call or {}))
    assert len(caught) <= 1
    for warning in caught:
        assert warning.category is ExplanationWarning and warning.filename == __file__
        assert str(warning.message) == "\n".join(caution.sentence for caution in warning.message.cautions)
    return list(caught[0].message.cautions) if caught else []


def only(found, kind):
    """The sentence of the one caution that there is."""
    assert [caution.kind for caution in found] == [kind], found
    assert kind in KINDS
    return found[0].sentence


HEALTHY = dense([[1, 0.5], [2, 0.25]])


@pytest.mark.parametrize("composite", ["auto", "epsilon", "epsilon_plus", "deep_taylor", "gradient_x_input"])
@pytest.mark.parametrize("initial", ["output", "one"])
def test_a_sound_explanation_is_silent(composite, initial):
    for ledger in [False] if "gradient" in composite else [False, True]:
        assert heard(HEALTHY, X, composite, ledger=ledger, initial=initial) == []
        assert heard(dense([[1, 0.5], [2, 0.25]], end="Softmax"), X, composite, ledger=ledger, initial=initial) == []


@pytest.mark.parametrize("composite", ["auto", "epsilon", "epsilon_plus"])
@pytest.mark.parametrize(
    "name",
    [
        "breast_cancer_mlp/breast_cancer_mlp",
        "digits_cnn/digits_cnn.torchscript",
        "digits_lstm/digits_lstm",
        "wine_mlp/wine_mlp",
    ],
)
def test_trained_models_are_silent(name, composite):
    """With a ledger, so that scores behind a softmax or sigmoid are judged too."""
    path = MODELS / f"{name}.onnx"
    samples = np.load(path.parent / "samples.npz")
    feeds = {key: samples[key] for key in samples.files if key != "labels"}
    assert heard(path, feeds, composite, ledger=True) == []


# ------------------------------------------------------------------------------------------------------------- zero


def test_relevance_of_zero():
    biased = dense([[1, 0.5], [2, 0.25]], [0.1, 0])
    found = heard(biased, [[1, 2], [0, 0], [1, 1]])
    assert "0 everywhere in 1 of 3 samples (the first: sample 1), although the score is not." in only(found, "zero")
    assert (found[0].samples, found[0].first) == (1, 1)
    assert "the bias of 'fc'" in only(heard(biased, [[0, 0]], ledger=True), "zero")
    assert heard(HEALTHY, [[0, 0]]) == []  # the score is 0 too


def test_relevance_of_zero_of_a_score_that_is_not_visible():
    sentence = only(heard(dense([[1, 0.5], [2, 0.25]], [0.1, 0], "Softmax"), [[0, 0], [1, 1]]), "zero")
    assert "although the score" not in sentence and "1 of 2" in sentence


def test_deep_taylor_of_a_negative_score():
    negative = dense([[-1, -1], [-2, -2]])
    assert "max(0, score), and the score is negative" in only(heard(negative, X, "deep_taylor"), "zero")
    assert only(heard(negative, X), "negative")


def test_a_gradient_of_zero():
    nodes = [helper.make_node("Relu", ["x"], ["h"]), helper.make_node("Gemm", ["h", "w", "b"], ["y"])]
    dead = model(nodes, {"w": [[1, 2], [3, 4]], "b": [1, 2]})
    assert "flat or saturated" in only(heard(dead, -X, "gradient"), "zero")
    assert heard(dead, X, "gradient") == []


# ------------------------------------------------------------------------------------------------------------ large


def test_relevance_out_of_proportion():
    """Weights of 1000 and −999.9 on equal inputs: the score is 0.1, the shares are thousands."""
    cancelling = dense([[1000], [-999.9]], [0])
    sentence = only(heard(cancelling, [[1, 1], [2, 2]]), "large")
    assert "more than 100 times the score in all 2 samples, to 4e+03 for a score of 0.2 at worst" in sentence
    assert only(heard(cancelling, [[1, 1]], initial="one"), "large")
    assert only(heard(dense([[1000], [-999.9]], [0], "Sigmoid"), [[1, 1]], ledger=True), "large")
    assert heard(dense([[50], [-49]], [0]), [[1, 1]]) == []
    assert heard(cancelling, [[1, 1]], "gradient_x_input") == []


def test_a_score_that_happens_to_be_near_zero():
    """Neither beside usual samples nor beside the sample's other classes does it say anything."""
    for initial in ("output", "one"):
        assert heard(dense([[1], [-1]], [0]), [[1, 0], [2, 0], [1, 0.9999]], initial=initial) == []
    assert heard(dense([[1, 1], [-1, 1]]), [[1, 0.9999]], call={"target": 0}) == []


# --------------------------------------------------------------------------------------------------------- absorbed


def test_most_of_the_score_is_in_a_bias():
    biased = dense([[1, 0], [1, 0]], [10, 0])
    sentence = only(heard(biased, X), "absorbed")
    assert "less than half of the score arrives at the explained inputs in all 3 samples" in sentence
    assert "ledger=True" in sentence
    sentence = only(heard(biased, X, ledger=True), "absorbed")
    assert "Most of the score stays in the bias of 'fc'" in sentence and "zero_params='bias'" in sentence
    assert heard(biased, X, rules=[("fc", "Epsilon(zero_params='bias')")]) == []
    assert only(heard(biased, X, initial="one"), "absorbed")
    assert heard(dense([[1, 0], [1, 0]], [2, 0]), X) == []
    assert heard(biased, [[1, 1], [20, 20], [30, 30]]) == []  # in one sample of three


def test_a_score_of_the_other_sign_is_absorbed_too():
    """The inputs speak against a score that the bias carries alone."""
    assert only(heard(dense([[-1, -2], [-1, -2]], [10, 0]), X), "absorbed")


def test_most_of_the_score_is_in_epsilon():
    sentence = only(heard(HEALTHY, X, "epsilon(epsilon=1000)", ledger=True), "absorbed")
    assert "stays in ε at 'fc'" in sentence and "a smaller ε" in sentence


def test_most_of_the_score_goes_to_another_input():
    nodes = [helper.make_node("Add", ["x", "u"], ["s"], name="sum"), helper.make_node("Gemm", ["s", "w"], ["y"])]
    two = model(nodes, {"w": [[1, 0], [1, 0]]}, inputs=("x", "u"))
    feeds = {"x": X, "u": 5 * X}
    sentence = only(heard(two, feeds, inputs=["x"], ledger=True), "absorbed")
    assert "the relevance that ends at 'sum'" in sentence and "inputs=" in sentence
    assert heard(two, feeds, ledger=True) == []


def test_most_of_the_score_is_a_softmaxs_remainder():
    nodes = [
        helper.make_node("Softmax", ["x"], ["s"], name="attention"),
        helper.make_node("Gemm", ["s", "w"], ["y"], name="values"),
    ]
    sentence = only(heard(model(nodes, {"w": [[1, 0], [1.1, 0]]}), X / 10, "attn_lrp", ledger=True), "absorbed")
    assert "the remainder of 'attention'" in sentence and "does not conserve" in sentence


def test_a_score_that_is_not_visible_is_known_by_the_ledger_alone():
    hidden = dense([[1, 0], [1, 0]], [10, 0], "Softmax")
    assert heard(hidden, X) == []
    assert "inputs, summed over all samples. Most" in only(heard(hidden, X, ledger=True), "absorbed")
    assert "inputs. Most" in only(heard(hidden, X[:1], ledger=True), "absorbed")
    opposite = dense([[1], [1]], [0.5], "Sigmoid")  # 2.5 and -1.5 of 2 and -2: the sums say nothing of either
    assert heard(opposite, [[1, 1], [-1, -1]], ledger=True) == []


def test_the_base_value_of_trees_is_no_loss():
    """Relevance of a forest is the distance of the score from its base value, by design."""
    assert onnxlrp.convert(forest()).interface.has_base and not onnxlrp.convert(HEALTHY).interface.has_base
    assert heard(forest(), X, "auto") == [] and heard(forest(), X, "auto", ledger=True) == []


# --------------------------------------------------------------------------------------------------- negative scores


def test_the_change_from_the_base_value_is_what_must_arrive():
    """A file of which half of the relevance got lost is doubted; one whose scores are negative is not."""
    made = onnxlrp.convert(forest())
    explainer = onnxlrp.Explainer(made, providers=["CPUExecutionProvider"])
    x = np.array([[9, 9], [-9, 9]], np.float32)
    found = explainer.compute(explainer.prepare({"x": x}))
    assert found.base_value is not None and not cautions(found, explainer.interface)
    lost = dataclasses.replace(found, relevance={"x": found.relevance["x"] / 4})
    assert [c.kind for c in cautions(lost, explainer.interface)] == ["absorbed"]
    nothing = dataclasses.replace(found, relevance={"x": found.relevance["x"] * 0})
    assert [c.kind for c in cautions(nothing, explainer.interface)] == ["zero"]
    at_base = dataclasses.replace(nothing, score=found.base_value.astype(np.float32))
    assert not cautions(at_base, explainer.interface)


def test_a_class_whose_own_score_is_negative():
    source = dense([[1, -1], [1, -0.5]])
    sentence = only(heard(source, X, call={"target": [0, 1, 1]}), "negative")
    assert "negative in 2 of 3 samples (the first: sample 1)" in sentence and "contrastive" in sentence
    assert heard(source, X, call={"target": 0}) == []
    assert heard(source, X, "gradient_x_input", call={"target": 1}) == []
    one = model([helper.make_node("MatMul", ["x", "w"], ["z"]), helper.make_node("Squeeze", ["z", "a"], ["y"])], {})
    one.graph.initializer.append(onnx.numpy_helper.from_array(-np.ones((2, 1), np.float32), "w"))
    one.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1]), "a"))
    one.graph.output[0].type.tensor_type.shape.dim.pop()
    assert heard(one, X) == []  # one score has no class
    hidden = dense([[1, -1], [1, -0.5]], end="Softmax")
    assert heard(hidden, X[:1], call={"target": 1}) == []
    assert only(heard(hidden, X[:1], ledger=True, call={"target": 1}), "negative")


def test_the_signs_of_a_map_that_is_divided_by_a_negative_score():
    found = heard(dense([[1, -1], [1, -0.5]]), X, initial="one", call={"target": [0, 1, 0]})
    assert "signs of the whole map are reversed" in only(found, "turned")
    assert (found[0].samples, found[0].first) == (1, 1)
    assert heard(dense([[1, -1], [1, -0.5]]), X, initial="one") == []


# -------------------------------------------------------------------------------------------------------------- NaN


def test_nan_among_the_inputs():
    x = X.copy()
    x[1, 0] = np.nan
    found = heard(HEALTHY, x)
    assert "infinite in 1 of 3 samples (the first: sample 1): input 'x' holds 1 NaN" in only(found, "nan")


def test_nan_that_a_model_takes_as_a_missing_value():
    x = X.copy()
    x[1, 0] = np.nan
    found = heard(forest(), x, "auto")
    assert only(found, "nan").startswith("input 'x' holds 1 NaN: the model treats these as missing values")


@pytest.mark.parametrize("ledger", [False, True])
def test_numbers_that_overflow(ledger):
    found = heard(HEALTHY, [[3e38, 3e38], [1, 2]], ledger=ledger)
    sentence = only(found, "nan")
    assert "1 of 2 samples (the first: sample 0), though no input holds NaN" in sentence
    assert ("it starts at 'fc'" if ledger else "with ledger=True") in sentence and "may overflow" in sentence


# -------------------------------------------------------------------------------------------- other kinds of targets


def test_weights_have_no_score():
    source = dense([[1000, 0], [-999.9, 0]], [-10, 0])
    for ledger in (False, True):
        assert heard(source, [[1, 1]], target="weights", ledger=ledger) == []
    assert only(heard(source, [[0, 0], [1, 1]], target="weights"), "zero")


def test_many_targets():
    source = dense([[1, -1, 0], [1, -0.5, 0]], [0, 0, 5])
    found = heard(source, X, targets=2, call={"target": [[0, 0], [0, 1], [0, 0]]})
    assert "1 of 3 samples (the first: sample 1)" in only(found, "negative")
    assert only(heard(source, X, targets=2, call={"target": [[0, 2]]}), "zero")


def test_samples_on_another_axis():
    """Two steps of two samples: the second sample is 0 at both steps, and neither step is 0."""
    nodes = [
        helper.make_node("ReduceSum", ["x", "a"], ["h"], keepdims=0),
        helper.make_node("Gemm", ["h", "w", "b"], ["y"]),
    ]
    source = model(nodes, {"w": [[1, 0], [2, 0]], "b": [1, 0]}, shape=(2, "N", 2))
    source.graph.initializer.append(onnx.numpy_helper.from_array(np.array([0]), "a"))
    x = np.ones((2, 2, 2), np.float32)
    x[:, 1] = 0
    found = heard(source, x)
    assert (found[0].kind, found[0].samples, found[0].first, len(found)) == ("zero", 1, 1, 1)
    assert heard(source, x, targets=2, call={"target": [[0, 0]]})[0].first == 1


def test_samples_that_are_no_axis_of_the_inputs():
    """As many scores as boxes, of one picture: no sum of relevance belongs to one of them."""
    interface = Interface("0", "epsilon", "y", "", score_is_output=True)
    relevance, y = np.ones((1, 3)), np.array([[1e-5], [2e-5]])
    explanation = onnxlrp.Explanation({"x": relevance}, {"y": y}, {}, np.zeros(2, int), y[:, 0], None)
    assert cautions(explanation, interface) == []
    relevance[:] = 0
    assert [one.kind for one in cautions(explanation, interface)] == ["zero"]
    relevance[0, 1] = np.inf
    assert [one.kind for one in cautions(explanation, interface)] == ["nan"]


def test_no_samples():
    assert heard(HEALTHY, np.zeros((0, 2), np.float32)) == []


# ------------------------------------------------------------------------------------------- files, batches, callers


@pytest.mark.parametrize(
    ("end", "options", "visible"),
    [
        (None, {}, True),
        ("Softmax", {}, False),
        ("Sigmoid", {}, False),
        ("Softmax", {"explain_probability": True}, True),
        ("Tanh", {}, True),
    ],
)
def test_a_file_says_what_is_explained(end, options, visible):
    interface = onnxlrp.convert(dense([[1, 0.5], [2, 0.25]], end=end), "epsilon", initial="one", **options).interface
    assert (interface.score_is_output, interface.initial, interface.seed) == (visible, "one", "score")
    assert Interface.from_metadata(interface.to_metadata()) == interface


def test_an_older_file_says_less():
    """Without the newer fields the score is not known to be visible; NaN and zeros are told of all the same."""
    proto = onnxlrp.convert(dense([[1, 0], [1, 0]], [10, 0]), "epsilon").to_proto()
    newer = {"onnxlrp.score_is_output", "onnxlrp.initial", "onnxlrp.seed", "onnxlrp.has_base"}
    assert newer <= {entry.key for entry in proto.metadata_props}
    kept = {entry.key: entry.value for entry in proto.metadata_props if entry.key not in newer}
    helper.set_model_props(proto, kept)
    explainer = onnxlrp.Explainer(proto)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        explainer({"x": X})
    with pytest.warns(ExplanationWarning, match="0 everywhere"):
        explainer({"x": 0 * X})


def test_map_tells_once(tmp_path):
    explainer = onnxlrp.Explainer(onnxlrp.convert(dense([[1, -1], [1, -0.5]]), "epsilon"))
    x = np.tile(X, (3, 1))
    target = np.array([0, 0, 0, 0, 1, 0, 0, 1, 1])
    for to in (None, tmp_path / "out"):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            explanations = explainer.map({"x": x}, 2, target=target, to=to)
            assert to or len(list(explanations)) == 5
        assert len(caught) == 1 and caught[0].filename == __file__
        assert "negative in 3 of 9 samples (the first: sample 4)" in str(caught[0].message)


def test_the_majority_is_that_of_all_batches():
    """One batch of three lost most of its score: four samples of twelve."""
    explainer = onnxlrp.Explainer(onnxlrp.convert(dense([[1, 0], [1, 0]], [10, 0]), "epsilon"))
    x = np.repeat(np.array([[1, 1], [40, 40], [50, 50]], np.float32), 4, axis=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(list(explainer.map({"x": x}, 4))) == 3


def test_every_finding_of_a_call_is_in_one_warning():
    found = heard(dense([[1000, 1], [-1000.1, 1]]), [[1, 1], [0, np.nan]], call={"target": 0})
    assert [caution.kind for caution in found] == ["nan", "large", "negative"]
    assert all(one.sentence[0] != " " and "  " not in one.sentence and "{" not in one.sentence for one in found)
